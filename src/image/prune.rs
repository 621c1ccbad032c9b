//! `image prune`: removes images that nobody uses.

use jiff::Timestamp;

use super::filter::ImageFilter;
use super::list::{self, Summary};
use crate::failure::Failure;
use crate::name::filter::Filters;
use crate::oci::digest::ImageId;
use crate::state::journal::{self, ImageEvent};
use crate::state::lock::OnWait;
use crate::store::{Store, collect};

/// Which images go, of those that no container uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unused {
    /// Those that have no name.
    Dangling,
    /// All.
    All,
}

/// What was removed.
#[derive(Debug)]
pub struct Pruned {
    /// Images.
    pub images: Vec<ImageId>,
    /// Bytes that this and everything else that nothing pointed to took on the disk.
    pub freed: u64,
}

/// Removes the images that `filters` mean, and whatever nothing points to. `report` is told of damaged records: as long as
/// there is one, the content of the store stays, because nobody knows what it needs.
pub fn execute(
    store: &Store,
    which: Unused,
    filters: &Filters,
    report: &mut dyn FnMut(Failure),
    on_wait: OnWait<'_>,
) -> Result<Pruned, Failure> {
    let alone = store.lock_exclusive(on_wait)?;
    // Nobody knows what a container needs whose record cannot be read.
    if let Some(error) = collect::containers(store)?.1.into_iter().next() {
        return Err(error.into());
    }
    let (images, damaged) = list::execute(store)?;
    damaged.into_iter().for_each(|error| report(error.into()));
    let filter = ImageFilter::new(filters, &images, Timestamp::now())?;
    let goes = |image: &&Summary| {
        image.containers == 0 && (which == Unused::All || image.references.is_empty()) && filter.matches(image)
    };
    let mut removed = Vec::new();
    for image in images.iter().filter(goes) {
        let names = store.images().forget(&image.id, &alone)?;
        let name = names.first().map(|found| found.reference.to_string()).unwrap_or_default();
        journal::note_image(store.layout(), ImageEvent::Remove, image.id.hex(), &name);
        removed.push(image.id.clone());
    }
    let unreferenced = collect::free_all(store, &alone)?;
    drop(alone);
    let freed = unreferenced.bytes();
    unreferenced.discard()?;
    journal::note_image(store.layout(), ImageEvent::Prune, "", "");
    Ok(Pruned { images: removed, freed })
}
