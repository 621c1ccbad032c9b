//! `rmi` and `image rm`.

use clap::Args;

use super::dispatch;
use super::render::output;
use super::rm::{REMOVAL_EXIT_STATUS, Removals};
use super::tree::{Globals, Invocation};
use crate::failure::Failure;
use crate::image::remove::{IfUsed, Removed};
use crate::name::filter::Filters;
use crate::name::image_selector::ImageSelector;

/// Remove images
///
/// Removes the name, and the image with its last name. An image that containers use is removed only with --force, which
/// removes these containers, too.
#[derive(Args, Clone, Debug)]
pub struct RmiArgs {
    /// Remove all images
    #[arg(short, long, conflicts_with = "images")]
    all: bool,
    /// Remove the containers that use an image, and all its names; an image that does not exist is no failure
    #[arg(short, long)]
    force: bool,
    /// An image that does not exist is no failure
    #[arg(short, long)]
    ignore: bool,
    /// Keep images without a name that this one was made on; there never are any: layers are no images
    #[arg(long)]
    no_prune: bool,
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "IMAGE", required_unless_present = "all")]
    images: Vec<String>,
}

impl Invocation for RmiArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] =
        &[("By name", "coracle rmi debian:12"), ("All of them", "coracle rmi --all")];
    const EXIT_STATUS: &'static [(&'static str, &'static str)] = REMOVAL_EXIT_STATUS;

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let mut removals = Removals::default();
        let images = if self.all {
            dispatch::list_images(&layout, &Filters::default())?.into_iter().map(|image| image.id.to_string()).collect()
        } else {
            self.images
        };
        let if_used = if self.force { IfUsed::RemoveContainers } else { IfUsed::Refuse };
        for image in images {
            let selector = image.parse::<ImageSelector>().map_err(Failure::from);
            match selector.and_then(|selector| dispatch::remove_image(&layout, &selector, if_used)) {
                Ok(removed) => output::write(&removed.iter().map(line).collect::<String>())?,
                Err(failure) if failure.code() == "E_NOTFOUND" && (self.ignore || self.force) => {}
                Err(failure) => removals.failed(&failure),
            }
        }
        Ok(removals.exit_code())
    }
}

pub(super) fn line(removed: &Removed) -> String {
    match removed {
        Removed::Untagged(reference) => format!("Untagged: {reference}\n"),
        Removed::Deleted(id) => format!("Deleted: {}\n", id.hex()),
    }
}
