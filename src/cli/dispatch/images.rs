//! Images of the store.

use std::path::PathBuf;

use jiff::Timestamp;

use super::say_waiting;
use crate::cli::error;
use crate::container::remove as container_remove;
use crate::container::remove::{IfRunning, OwnVolumes};
use crate::failure::Failure;
use crate::image::filter::ImageFilter;
use crate::image::history::Step;
use crate::image::list::Summary;
use crate::image::mount::{self, IfBusy};
use crate::image::remove::{self, IfUsed, Removed};
use crate::image::tree::{self, Direction};
use crate::image::{history, list, tag};
use crate::name::filter::Filters;
use crate::name::image_selector::ImageSelector;
use crate::name::reference::Reference;
use crate::oci::digest::ImageId;
use crate::state::layout::Layout;
use crate::store::Store;

/// The images that `filters` mean, in any order. One whose record is damaged is reported and left out.
pub fn list_images(layout: &Layout, filters: &Filters) -> Result<Vec<Summary>, Failure> {
    let store = Store::open(layout.clone())?;
    let (images, damaged) = list::execute(&store)?;
    damaged.into_iter().for_each(|damaged| error::report(&damaged.into()));
    let filter = ImageFilter::new(filters, &images, Timestamp::now())?;
    Ok(images.into_iter().filter(|image| filter.matches(image)).collect())
}

/// Removes a name of an image, and the image with its last name; by its id, an image with all its names. `E_NOTFOUND` if
/// there is none, `E_BUSY` if containers use it and are not to be removed.
pub fn remove_image(layout: &Layout, selector: &ImageSelector, if_used: IfUsed) -> Result<Vec<Removed>, Failure> {
    let store = Store::open(layout.clone())?;
    container_remove::collect_leftovers(layout);
    let mut remove_container =
        |id: &str| match container_remove::execute(layout, &id.parse()?, IfRunning::KILL, OwnVolumes::Keep) {
            Err(failure) if failure.code() != "E_NOTFOUND" => Err(failure),
            _ => Ok(()),
        };
    remove::execute(&store, selector, if_used, &mut remove_container, &mut say_waiting)
}

/// Gives an image more names.
pub fn tag_image(layout: &Layout, image: &ImageSelector, names: &[Reference]) -> Result<(), Failure> {
    let store = Store::open(layout.clone())?;
    let _stays = store.lock_shared(&mut say_waiting)?;
    tag::tag(&store, image, names)
}

/// Takes names away from an image, all where `names` is empty.
pub fn untag_image(layout: &Layout, image: &ImageSelector, names: &[Reference]) -> Result<(), Failure> {
    let store = Store::open(layout.clone())?;
    let _stays = store.lock_shared(&mut say_waiting)?;
    tag::untag(&store, image, names)
}

/// Whether there is such an image.
pub fn image_exists(layout: &Layout, image: &ImageSelector) -> Result<bool, Failure> {
    Ok(Store::open(layout.clone())?.images().resolve(image)?.is_some())
}

/// The image's id, and the steps by which it was made, newest first.
pub fn image_history(layout: &Layout, image: &ImageSelector) -> Result<(ImageId, Vec<Step>), Failure> {
    let store = Store::open(layout.clone())?;
    let found = tag::find(&store, image)?.record;
    let steps = history::execute(&store, &found)?;
    Ok((found.id, steps))
}

/// The image's layers.
pub fn image_tree(layout: &Layout, image: &ImageSelector, direction: Direction) -> Result<tree::Report, Failure> {
    let store = Store::open(layout.clone())?;
    let found = tag::find(&store, image)?.record;
    tree::execute(&store, &found, direction)
}

/// The image's id, and where it is mounted now.
pub fn mount_image(layout: &Layout, image: &ImageSelector) -> Result<(ImageId, PathBuf), Failure> {
    let store = Store::open(layout.clone())?;
    // It stays while it is being mounted; what is removed later is as with files that are open.
    let _stays = store.lock_shared(&mut say_waiting)?;
    let found = tag::find(&store, image)?.record;
    let path = mount::mount(&store, &found)?;
    Ok((found.id, path))
}

/// Takes the image's mount away; its id.
pub fn unmount_image(layout: &Layout, image: &ImageSelector, if_busy: IfBusy) -> Result<ImageId, Failure> {
    let store = Store::open(layout.clone())?;
    let found = tag::find(&store, image)?.record;
    mount::unmount(&store, &found.id, if_busy)?;
    Ok(found.id)
}

/// The images that are mounted, and where.
pub fn mounted_images(layout: &Layout) -> Result<Vec<(Summary, PathBuf)>, Failure> {
    let store = Store::open(layout.clone())?;
    let images = list_images(layout, &Filters::default())?;
    Ok(images.into_iter().filter_map(|image| mount::mounted_at(&store, &image.id).map(|path| (image, path))).collect())
}
