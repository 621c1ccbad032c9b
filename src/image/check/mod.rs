//! `system check`: whether all that the store has of images is what it should be, and what can be done about it.
//!
//! Every blob is hashed. Every layer is unpacked once more from its blob, and compared with what is there. Nothing is taken
//! away that could be of use to anybody; what is made again takes the place of what was wrong when it is complete.

mod compare;
mod layers;
mod rebuild;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::progress::Progress;
use crate::failure::Failure;
use crate::name::reference::Reference;
use crate::oci::digest::{DiffId, Digest, ImageId};
use crate::state::lock::Exclusive;
use crate::state::record::RecordError;
use crate::state::schema::image::{ImageRecord, ReferenceRecord};
use crate::store::finding::{Finding, Kind};
use crate::store::images::ListedImage;
use crate::store::{Store, StoreError, collect, lists};

/// Blobs hashed, or layers unpacked, at once.
const AT_ONCE: usize = 4;

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Whether everything is there, of the right size.
    Quick,
    /// Every byte.
    Full,
}

/// What is done about what is found.
pub enum Repair<'a> {
    /// Nothing.
    No,
    /// Whatever can be.
    Yes {
        /// Nobody else is in the store.
        alone: &'a Exclusive,
        /// Unreferenced layers and blobs go if nobody has touched them for so long.
        max_age: Duration,
    },
}

/// What is asked for.
pub struct Request<'a> {
    /// What is looked at.
    pub depth: Depth,
    /// What is done.
    pub repair: Repair<'a>,
    /// Layers that containers which run have in use, each with the names of some of them.
    pub running: BTreeMap<DiffId, String>,
}

/// What was looked at, and what was found.
#[derive(Debug, Default)]
pub struct Report {
    /// What is not as it should be, or was not.
    pub findings: Vec<Finding>,
    /// Blobs looked at.
    pub blobs: usize,
    /// Layers looked at.
    pub layers: usize,
    /// Images looked at.
    pub images: usize,
}

/// A check on its way.
struct Check<'a> {
    store: &'a Store,
    request: &'a Request<'a>,
    findings: Mutex<Vec<Finding>>,
}

/// Checks everything that belongs to images. The caller holds the store's lock, shared or as the repair needs it.
pub fn execute(store: &Store, request: &Request<'_>, progress: &dyn Progress) -> Result<Report, Failure> {
    let check = Check { store, request, findings: Mutex::default() };
    let blobs = collect::all_blobs(store)?;
    if request.depth == Depth::Full {
        progress.message(&format!("verifying {} blobs", blobs.len()));
    }
    let bad = check.bad_blobs(&blobs);
    check.unreadable_records()?;
    check.references()?;
    let images = store.images().list()?;
    check.used_blobs(&images, &bad)?;
    check.unused_blobs(&images, &bad)?;
    let layers = layers::distinct(&images);
    if request.depth == Depth::Full {
        progress.message(&format!("comparing {} layers with their blobs", layers.len()));
    }
    layers::check(&check, &layers, &bad);
    if let Repair::Yes { alone, max_age } = &request.repair {
        collect::free_old(store, *max_age, alone)?.discard()?;
    }
    let findings = check.findings.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Report { findings, blobs: blobs.len(), layers: layers.len(), images: images.len() })
}

/// Does `work` to each of `items`, several at a time.
fn each<T: Sync>(items: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..items.len().min(AT_ONCE) {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(item);
                }
            });
        }
    });
}

/// What a user does to have an image again, by its names: only what has come from a registry can be pulled.
fn how_to_fetch(names: &BTreeSet<Reference>) -> Option<String> {
    let fetchable = names.iter().filter(|name| name.registry() != "localhost");
    let names: Vec<String> = fetchable.map(ToString::to_string).collect();
    (!names.is_empty()).then(|| format!("coracle pull {}", names.join(" ")))
}

impl Check<'_> {
    fn alone(&self) -> Option<&Exclusive> {
        match &self.request.repair {
            Repair::No => None,
            Repair::Yes { alone, .. } => Some(alone),
        }
    }

    fn report(
        &self,
        kind: Kind,
        subject: impl ToString,
        problem: impl ToString,
        repaired: bool,
        advice: impl ToString,
    ) {
        let (subject, problem, advice) = (subject.to_string(), problem.to_string(), advice.to_string());
        let finding = Finding { kind, subject, problem, repaired, advice };
        self.findings.lock().unwrap_or_else(PoisonError::into_inner).push(finding);
    }

    /// What is wrong with each blob whose bytes are not those that it is named after.
    fn bad_blobs(&self, blobs: &[Digest]) -> BTreeMap<Digest, String> {
        let bad = Mutex::new(BTreeMap::new());
        if self.request.depth == Depth::Full {
            each(blobs, |digest| {
                let problem = match self.store.blobs().verify(digest) {
                    Ok(()) => return,
                    Err(StoreError::DamagedBlob(_)) => "its bytes have another digest".to_owned(),
                    Err(error) => Failure::from(error).to_string(),
                };
                bad.lock().unwrap_or_else(PoisonError::into_inner).insert(digest.clone(), problem);
            });
        }
        bad.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that cannot be read.
    fn unreadable_records(&self) -> Result<(), Failure> {
        let [images, references] = self.store.images().unreadable()?;
        let known = self.store.images().all_references()?;
        for (file, error) in images {
            self.unreadable_image(&file, &error, &known)?;
        }
        for (file, error) in references {
            self.unreadable_reference(&file, &error)?;
        }
        Ok(())
    }

    fn unreadable_image(&self, file: &Path, error: &RecordError, known: &[ReferenceRecord]) -> Result<(), Failure> {
        let stem = stem(file);
        let id: Option<ImageId> = format!("sha256:{stem}").parse().ok();
        let pointers: Vec<&ReferenceRecord> = known.iter().filter(|found| Some(&found.image) == id.as_ref()).collect();
        let names: BTreeSet<Reference> = pointers.iter().map(|found| found.reference.clone()).collect();
        let may_go = matches!(error, RecordError::Damaged { .. });
        if let (Some(id), Some(alone), true) = (&id, self.alone(), may_go) {
            let rebuilt = pointers
                .iter()
                .any(|found| rebuild::image(self.store, &found.manifest_digest, id, &[]).is_ok_and(|is_it| is_it));
            if rebuilt {
                self.report(Kind::Image, &stem, error, true, "made again from its manifest");
                return Ok(());
            }
            if pointers.is_empty() {
                self.store.images().discard_unreadable(file, alone)?;
                self.report(Kind::Image, &stem, error, true, "removed: it has no name");
                return Ok(());
            }
        }
        let advice = how_to_fetch(&names).unwrap_or_else(|| repair_advice(self.alone()));
        self.report(Kind::Image, &stem, error, false, advice);
        Ok(())
    }

    fn unreadable_reference(&self, file: &Path, error: &RecordError) -> Result<(), Failure> {
        let name = stem(file).replace("%2f", "/");
        let again = match name.parse::<Reference>() {
            Ok(name) if name.registry() != "localhost" => format!("coracle pull {name}"),
            _ => format!("coracle tag IMAGE {name}"),
        };
        let may_go = matches!(error, RecordError::Damaged { .. });
        match self.alone() {
            Some(alone) if may_go => {
                self.store.images().discard_unreadable(file, alone)?;
                self.report(Kind::Reference, &name, error, true, format!("removed; to have the name again: {again}"));
            }
            _ => self.report(Kind::Reference, &name, error, false, again),
        }
        Ok(())
    }

    /// References that lead nowhere.
    fn references(&self) -> Result<(), Failure> {
        let unreadable = self.store.images().unreadable()?;
        let is_unreadable = |id: &ImageId| unreadable[0].iter().any(|(file, _)| stem(file) == id.hex());
        for found in self.store.images().all_references()? {
            if is_unreadable(&found.image) || self.store.images().get(&found.image)?.is_some() {
                continue;
            }
            let problem = format!("its image {} has no record", found.image.short());
            let again = how_to_fetch(&[found.reference.clone()].into());
            let name = &found.reference;
            if self.alone().is_none() {
                self.report(Kind::Reference, name, problem, false, again.unwrap_or_else(|| repair_advice(None)));
            } else if rebuild::image(self.store, &found.manifest_digest, &found.image, &[]).is_ok_and(|is_it| is_it) {
                self.report(Kind::Reference, name, problem, true, "its image was made again from its manifest");
            } else {
                self.store.images().untag(name)?;
                let again = again.map(|again| format!("; to have it again: {again}")).unwrap_or_default();
                self.report(Kind::Reference, name, problem, true, format!("removed{again}"));
            }
        }
        Ok(())
    }

    /// Blobs that images consist of.
    fn used_blobs(&self, images: &[ListedImage], bad: &BTreeMap<Digest, String>) -> Result<(), Failure> {
        for (digest, (sizes, names)) in used(self.store, images) {
            let problem = match (self.store.blobs().size(&digest), bad.get(&digest)) {
                (None, _) => "it is missing".to_owned(),
                (Some(_), Some(problem)) => problem.clone(),
                (Some(size), None) if sizes.iter().any(|wanted| *wanted != size) => {
                    format!("it has {size} bytes, and not as many as it should have")
                }
                _ => continue,
            };
            let again = how_to_fetch(&names);
            let (Some(again), Some(alone)) = (&again, self.alone()) else {
                let lost = || "its image still runs, but cannot be pushed or saved: make it again".to_owned();
                self.report(Kind::Blob, digest, problem, false, again.unwrap_or_else(lost));
                continue;
            };
            // Out of the way of the pull that brings it again.
            if self.store.blobs().contains(&digest) {
                self.store.blobs().remove(&digest, alone)?;
            }
            self.report(Kind::Blob, digest, problem, false, again);
        }
        Ok(())
    }

    /// Damaged blobs that nobody needs.
    fn unused_blobs(&self, images: &[ListedImage], bad: &BTreeMap<Digest, String>) -> Result<(), Failure> {
        let used: HashSet<Digest> = used(self.store, images).into_keys().collect();
        for (digest, problem) in bad.iter().filter(|(digest, _)| !used.contains(digest)) {
            if let Some(alone) = self.alone() {
                self.store.blobs().remove(digest, alone)?;
            }
            let advice = if self.alone().is_some() { "removed: no image uses it".into() } else { repair_advice(None) };
            self.report(Kind::Blob, digest, problem, self.alone().is_some(), advice);
        }
        Ok(())
    }
}

/// What to do about what cannot be fetched.
fn repair_advice(tried: Option<&Exclusive>) -> String {
    match tried {
        None => "coracle system check --repair".into(),
        Some(_) => "it cannot be repaired: remove the image by rmi, and make it again".into(),
    }
}

fn stem(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

type Users = (BTreeSet<u64>, BTreeSet<Reference>);

/// The blobs that images consist of: the sizes they should have, and the names of the images.
fn used(store: &Store, images: &[ListedImage]) -> BTreeMap<Digest, Users> {
    let mut used: BTreeMap<Digest, Users> = BTreeMap::new();
    for image in images {
        let mut add = |digest: &Digest, size: Option<u64>| {
            let users = used.entry(digest.clone()).or_default();
            users.0.extend(size);
            users.1.extend(image.references.iter().map(|found| found.reference.clone()));
        };
        let ImageRecord { id, manifest, layers, .. } = &image.record;
        if image.record.is_list() {
            // What an index that cannot be read names is nobody's to know.
            let mut members = HashSet::new();
            lists::add_members(store, &manifest.digest, &mut members);
            members.iter().for_each(|blob| add(blob, None));
        } else {
            add(id, None);
        }
        add(&manifest.digest, Some(manifest.size));
        layers.iter().for_each(|layer| add(&layer.descriptor.digest, Some(layer.descriptor.size)));
        image.references.iter().for_each(|found| add(&found.manifest_digest, None));
    }
    used
}
