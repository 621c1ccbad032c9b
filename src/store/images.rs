//! Images and the references that point to them: `images/HEX.json`, `refs/NAME.json`.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::host::config::registries::Registries;
use crate::name::image_selector::ImageSelector;
use crate::name::reference::Reference;
use crate::oci::digest::{Digest, ImageId};
use crate::state::lock::Exclusive;
use crate::state::record::{self, Record, RecordError};
use crate::state::schema::image::{ImageRecord, ReferenceRecord};
use crate::state::temporary::sync_directory;
use crate::store::{Store, StoreError};

/// The store's images.
#[derive(Clone, Copy, Debug)]
pub struct Images<'a> {
    store: &'a Store,
}

/// What a selector means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedImage {
    /// The image.
    pub record: ImageRecord,
    /// The reference by which it was found; absent where it was found by its id.
    pub reference: Option<Reference>,
}

/// An image and all that points to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedImage {
    /// The image.
    pub record: ImageRecord,
    /// Its references, in alphabetical order; none for one that has lost its tag.
    pub references: Vec<ReferenceRecord>,
}

impl<'a> Images<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self { store }
    }

    /// Stores `record`. All its blobs and layers must be in the store already.
    pub fn put(&self, record: &ImageRecord) -> Result<(), StoreError> {
        Ok(record::write_durable(&self.store.tmp(), &self.store.layout().image(&record.id), record)?)
    }

    /// The image of this id.
    pub fn get(&self, id: &ImageId) -> Result<Option<ImageRecord>, StoreError> {
        Ok(record::read(&self.store.layout().image(id))?)
    }

    /// Makes `reference` point to the image `id`, whatever it pointed to before. `manifest_digest` is what the registry has
    /// under it: the digest of a manifest or of an index.
    pub fn tag(&self, reference: &Reference, id: &ImageId, manifest_digest: &Digest) -> Result<(), StoreError> {
        let record = ReferenceRecord {
            reference: reference.clone(),
            image: id.clone(),
            manifest_digest: manifest_digest.clone(),
        };
        Ok(record::write_durable(&self.store.tmp(), &self.store.layout().reference(reference), &record)?)
    }

    /// The record of `reference`, exactly as it is written.
    pub fn reference(&self, reference: &Reference) -> Result<Option<ReferenceRecord>, StoreError> {
        Ok(record::read(&self.store.layout().reference(reference))?)
    }

    /// Makes `reference` point to nothing; returns what it pointed to. The image stays.
    pub fn untag(&self, reference: &Reference) -> Result<Option<ReferenceRecord>, StoreError> {
        let record = self.reference(reference)?;
        self.delete(&self.store.layout().reference(reference))?;
        Ok(record)
    }

    /// The image that the user means, if it is in the store.
    ///
    /// A name that says no registry is also looked for in `localhost`, and last under the names that registries.conf has for
    /// it. `name@digest` is only found if an image of that very
    /// name has that digest, whatever else has it. The beginning of an id is tried after names and must fit one image only.
    pub fn resolve(&self, selector: &ImageSelector) -> Result<Option<ResolvedImage>, StoreError> {
        match selector {
            ImageSelector::Id(digits) => self.resolve_id(digits.strip_prefix("sha256:").unwrap_or(digits)),
            ImageSelector::Reference(reference, digits) => {
                let local = reference.is_short().then(|| reference.in_localhost());
                let found = self.resolve_first(std::iter::once(reference).chain(local.as_ref()))?;
                let found = match (found, digits) {
                    (None, Some(digits)) => self.resolve_id(digits)?,
                    (found, _) => found,
                };
                if found.is_some() || !reference.is_short() {
                    return Ok(found);
                }
                // A short name may have been pulled as what registries.conf makes of it.
                let candidates = Registries::discover().candidates(reference, &|_| {});
                self.resolve_first(candidates.iter().flat_map(|candidates| &candidates.references))
            }
        }
    }

    /// The image of the first of these names that has one.
    fn resolve_first<'n>(
        &self,
        names: impl Iterator<Item = &'n Reference>,
    ) -> Result<Option<ResolvedImage>, StoreError> {
        for candidate in names {
            let found = match candidate.digest() {
                Some(digest) => self.find_digest(candidate, digest)?,
                None => self.reference(candidate)?,
            };
            // A reference without its image was left by a removal that did not come to its end.
            let Some(found) = found else { continue };
            if let Some(record) = self.get(&found.image)? {
                return Ok(Some(ResolvedImage { record, reference: Some(found.reference) }));
            }
        }
        Ok(None)
    }

    /// A reference of the same name as `wanted` whose manifest or index has `digest`.
    fn find_digest(&self, wanted: &Reference, digest: &Digest) -> Result<Option<ReferenceRecord>, StoreError> {
        if let Some(exact) = self.reference(wanted)? {
            return Ok(Some(exact));
        }
        let name = wanted.name();
        for found in self.references()?.good {
            if found.reference.name() != name {
                continue;
            }
            let is_platform_manifest =
                || Ok::<_, StoreError>(self.get(&found.image)?.is_some_and(|image| image.manifest.digest == *digest));
            if found.manifest_digest == *digest || is_platform_manifest()? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn resolve_id(&self, digits: &str) -> Result<Option<ResolvedImage>, StoreError> {
        if digits.is_empty() || !digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(None);
        }
        let mut matching = Vec::new();
        for path in paths_in(&self.store.layout().images())? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with(digits) && name.ends_with(".json") {
                matching.push(path);
            }
        }
        match &matching[..] {
            [] => Ok(None),
            [path] => {
                let record = record::read::<ImageRecord>(path)?;
                Ok(record.map(|record| ResolvedImage { record, reference: None }))
            }
            several => Err(StoreError::AmbiguousId { prefix: digits.into(), count: several.len() }),
        }
    }

    /// All images that can be read.
    pub fn list(&self) -> Result<Vec<ListedImage>, StoreError> {
        Ok(self.scan()?.0)
    }

    /// All images that can be read, and what is wrong with the records of the others.
    pub fn scan(&self) -> Result<(Vec<ListedImage>, Vec<StoreError>), StoreError> {
        let (records, references) = (self.records()?, self.references()?);
        let mut by_image: HashMap<ImageId, Vec<ReferenceRecord>> = HashMap::new();
        for reference in references.good {
            by_image.entry(reference.image.clone()).or_default().push(reference);
        }
        let images = records.good.into_iter().map(|record| {
            let mut references = by_image.remove(&record.id).unwrap_or_default();
            references.sort_by(|a, b| a.reference.cmp(&b.reference));
            ListedImage { record, references }
        });
        let bad = records.bad.into_iter().chain(references.bad);
        Ok((images.collect(), bad.map(|(_, error)| error.into()).collect()))
    }

    /// The files of records of images, and of references, that cannot be read, and what is wrong with them.
    pub fn unreadable(&self) -> Result<[Vec<(PathBuf, RecordError)>; 2], StoreError> {
        Ok([self.records()?.bad, self.references()?.bad])
    }

    /// All references that can be read.
    pub fn all_references(&self) -> Result<Vec<ReferenceRecord>, StoreError> {
        Ok(self.references()?.good)
    }

    /// Removes a record that cannot be read, in such a way that it is gone after a power cut, too.
    pub fn discard_unreadable(&self, file: &Path, _alone: &Exclusive) -> Result<(), StoreError> {
        self.delete(file)
    }

    /// The references that point to the image `id`, in alphabetical order.
    pub fn references_of(&self, id: &ImageId) -> Result<Vec<ReferenceRecord>, StoreError> {
        let mut found = self.references()?.good;
        found.retain(|reference| reference.image == *id);
        found.sort_by(|a, b| a.reference.cmp(&b.reference));
        Ok(found)
    }

    /// Removes the image's references and its record, in this order; the references. What they pointed to is left to a
    /// collection. Whether containers of the image may be there is for the caller to decide.
    pub fn forget(&self, id: &ImageId, _alone: &Exclusive) -> Result<Vec<ReferenceRecord>, StoreError> {
        let references = self.references_of(id)?;
        for found in &references {
            self.delete(&self.store.layout().reference(&found.reference))?;
        }
        self.delete(&self.store.layout().image(id))?;
        Ok(references)
    }

    pub(super) fn records(&self) -> Result<Scan<ImageRecord>, StoreError> {
        scan(&self.store.layout().images())
    }

    pub(super) fn references(&self) -> Result<Scan<ReferenceRecord>, StoreError> {
        scan(&self.store.layout().references())
    }

    fn delete(&self, path: &Path) -> Result<(), StoreError> {
        let deleted = match std::fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => Err(error),
            Ok(()) => path.parent().map_or(Ok(()), sync_directory),
        };
        deleted.map_err(|error| StoreError::io("removing", path, error))
    }
}

/// All records of one kind.
pub(super) struct Scan<T> {
    /// Those that could be read.
    pub good: Vec<T>,
    /// The files of the others, and what is wrong with them.
    pub bad: Vec<(PathBuf, RecordError)>,
}

fn scan<T: Record>(directory: &Path) -> Result<Scan<T>, StoreError> {
    let mut scan = Scan { good: Vec::new(), bad: Vec::new() };
    for path in paths_in(directory)? {
        match record::read(&path) {
            Ok(Some(record)) => scan.good.push(record),
            // Removed meanwhile.
            Ok(None) => {}
            Err(error) => scan.bad.push((path, error)),
        }
    }
    Ok(scan)
}

/// The visible entries of `directory`, in the order of their names.
pub(super) fn paths_in(directory: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let failed = |error| StoreError::io("listing", directory, error);
    let mut paths = Vec::new();
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(paths),
        other => other.map_err(failed)?,
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}
