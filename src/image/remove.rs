//! Removing images and their names.

use crate::container;
use crate::container::remove::IfRunning;
use crate::failure::{Explain, Failure};
use crate::name::container::ContainerId;
use crate::name::image_selector::ImageSelector;
use crate::name::reference::Reference;
use crate::oci::digest::ImageId;
use crate::state::lock::OnWait;
use crate::store::images::ResolvedImage;
use crate::store::{Store, collect};

/// One thing that was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// A name no longer points to the image.
    Untagged(Reference),
    /// The image itself.
    Deleted(ImageId),
}

/// What is done about an image that containers use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfUsed {
    /// It is left alone: an error.
    Refuse,
    /// The containers are removed, too.
    RemoveContainers,
}

/// Why an image was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// There is none.
    #[error("removing image {0}: there is no such image")]
    Unknown(String),
    /// Containers use it.
    #[error("removing image {image}: {count} container{} of it exist{}", plural(*.count, "s", ""), plural(*.count, "", "s"))]
    Used {
        /// The image, as the user named it.
        image: String,
        /// How many there are.
        count: usize,
        /// The identifier of one of them.
        container: String,
    },
}

fn plural(count: usize, several: &'static str, one: &'static str) -> &'static str {
    if count == 1 { one } else { several }
}

impl Explain for RemoveError {
    fn code(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "E_NOTFOUND",
            Self::Used { .. } => "E_BUSY",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unknown(_) => "`coracle images` lists all images".into(),
            Self::Used { container, image, .. } => {
                let short = container.get(..12).unwrap_or(container);
                format!("`coracle rm {short}` removes one of them, `coracle rmi --force {image}` all of them")
            }
        })
    }
}

/// Removes the name that was given, and the image with its last name; an image that was named by its id goes with all
/// its names. With [`IfUsed::RemoveContainers`] an image goes with all its names and containers in any case.
pub fn execute(
    store: &Store,
    selector: &ImageSelector,
    if_used: IfUsed,
    on_wait: OnWait<'_>,
) -> Result<Vec<Removed>, Failure> {
    let unknown = || RemoveError::Unknown(selector.to_string());
    let found = store.images().resolve(selector)?.ok_or_else(unknown)?;
    if if_used == IfUsed::RemoveContainers {
        // Before the store is locked: a container is never waited for while the store is held.
        for id in containers(store, &found.record.id)? {
            container::remove::execute(store.layout(), &id, IfRunning::Kill)?;
        }
    }
    let alone = store.lock_exclusive(on_wait)?;
    // What was found may be gone by now, or have become another image.
    let found = store.images().resolve(selector)?.ok_or_else(unknown)?;
    if if_used == IfUsed::Refuse
        && let Some(reference) = one_name_of_several(store, &found)?
    {
        store.images().untag(&reference)?;
        return Ok(vec![Removed::Untagged(reference)]);
    }
    let users = containers(store, &found.record.id)?;
    if let Some(container) = users.first() {
        let (image, container) = (selector.to_string(), container.to_string());
        return Err(RemoveError::Used { image, count: users.len(), container }.into());
    }
    let removed = store.images().remove(&found.record.id, &alone)?;
    let untagged = removed.references.into_iter().map(Removed::Untagged);
    Ok(untagged.chain([Removed::Deleted(found.record.id)]).collect())
}

/// The name by which the image was found, if it has others.
fn one_name_of_several(store: &Store, found: &ResolvedImage) -> Result<Option<Reference>, Failure> {
    let Some(reference) = &found.reference else { return Ok(None) };
    let listed = store.images().list()?.into_iter().find(|image| image.record.id == found.record.id);
    Ok(listed.is_some_and(|image| image.references.len() > 1).then(|| reference.clone()))
}

fn containers(store: &Store, image: &ImageId) -> Result<Vec<ContainerId>, Failure> {
    let names = collect::containers_of(store, image)?;
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{inspect, list};
    use crate::oci::digest::Digest;
    use crate::oci::platform::Platform;
    use crate::state::layout::Layout;
    use crate::state::schema::image::{BlobDescriptor, ImageRecord, RunDefaults};

    /// A store with one image of two names.
    fn store() -> (tempfile::TempDir, Store, ImageId) {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::discover(Some(directory.path().join("data")), Some(directory.path().join("run"))).unwrap();
        let store = Store::open(layout).unwrap();
        let config = br#"{"author":"me","config":{"Env":["A=1"]},"history":[{"comment":"first"},{"comment":"last"}]}"#;
        let manifest = br#"{"annotations":{"k":"v"}}"#;
        let id = store.blobs().put(config).unwrap();
        let record = ImageRecord {
            id: id.clone(),
            manifest: BlobDescriptor {
                digest: store.blobs().put(manifest).unwrap(),
                media_type: "application/vnd.oci.image.manifest.v1+json".into(),
                size: manifest.len() as u64,
            },
            platform: Platform { os: "linux".into(), architecture: "amd64".into(), variant: None },
            created: Some("2026-11-22T18:52:06Z".into()),
            layers: Vec::new(),
            size: 7,
            config: RunDefaults::default(),
        };
        store.images().put(&record).unwrap();
        for name in ["debian:12", "localhost/mine"] {
            store.images().tag(&name.parse().unwrap(), &id, &record.manifest.digest).unwrap();
        }
        (directory, store, id)
    }

    fn remove(store: &Store, text: &str) -> Result<Vec<Removed>, Failure> {
        execute(store, &text.parse().unwrap(), IfUsed::Refuse, &mut |_| {})
    }

    #[test]
    fn the_image_goes_with_its_last_name() {
        let (_directory, store, id) = store();
        let untagged = |name: &str| Removed::Untagged(name.parse().unwrap());
        assert_eq!(remove(&store, "debian:12").unwrap(), [untagged("docker.io/library/debian:12")]);
        assert_eq!(remove(&store, "debian:12").unwrap_err().code(), "E_NOTFOUND");
        assert_eq!(remove(&store, "mine").unwrap(), [untagged("localhost/mine"), Removed::Deleted(id.clone())]);
        assert!(!store.blobs().contains(&id));
    }

    #[test]
    fn by_its_id_it_goes_with_all_names() {
        let (_directory, store, id) = store();
        assert_eq!(remove(&store, &id.hex()[..6]).unwrap().len(), 3);
        assert_eq!(list::execute(&store).unwrap().0.len(), 0);
        assert_eq!(remove(&store, id.hex()).unwrap_err().code(), "E_NOTFOUND");
    }

    #[test]
    fn an_image_in_use_stays() {
        let (_directory, store, id) = store();
        let container = store.layout().containers().join("c".repeat(64));
        std::fs::create_dir(&container).unwrap();
        let record = format!(r#"{{"v":1,"image_id":"{id}","layers":[]}}"#);
        std::fs::write(container.join("record.json"), record).unwrap();
        assert_eq!(remove(&store, "debian:12").unwrap().len(), 1, "a name can go");
        let failure = remove(&store, "mine").unwrap_err();
        assert_eq!(failure.code(), "E_BUSY");
        assert!(failure.hint().unwrap().contains("cccccccccccc"), "{:?}", failure.hint());
        assert_eq!(list::execute(&store).unwrap().0[0].containers, 1);
    }

    #[test]
    fn everything_about_an_image() {
        let (_directory, store, id) = store();
        let report = inspect::execute(&store, &"debian:12".parse().unwrap()).unwrap().unwrap();
        assert_eq!((report.id.as_str(), report.author.as_str(), report.comment.as_str()), (id.hex(), "me", "last"));
        assert_eq!(report.repo_tags, ["docker.io/library/debian:12", "localhost/mine:latest"]);
        assert_eq!(report.config["Env"][0], "A=1");
        assert_eq!(report.annotations["k"], "v");
        let keys: Vec<String> = serde_json::to_value(&report).unwrap().as_object().unwrap().keys().cloned().collect();
        let podman = "Id Digest RepoTags RepoDigests Parent Comment Created Config Author Architecture Os Size \
                      VirtualSize RootFS Labels Annotations ManifestType User History";
        assert_eq!(keys.join(" "), podman);
        assert!(inspect::execute(&store, &"other".parse().unwrap()).unwrap().is_none());
        let summary = &list::execute(&store).unwrap().0[0];
        assert_eq!((summary.references.len(), summary.created.unwrap().as_second()), (2, 1_795_373_526));
        assert_eq!(summary.manifest, Digest::of(br#"{"annotations":{"k":"v"}}"#));
    }
}
