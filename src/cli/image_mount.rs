//! `image mount` and `image unmount`.

use clap::Args;
use serde_json::{Value, json};

use super::render::{json as render_json, output, table};
use super::tree::{Globals, Invocation};
use super::{dispatch, error};
use crate::failure::{EXIT_OWN_FAILURE, Failure};
use crate::image::list::Summary;
use crate::image::mount::IfBusy;
use crate::name::filter::Filters;
use crate::name::reference::Reference;
use crate::state::layout::Layout;

/// Show the files of an image in a directory
///
/// Mounts the image, read-only, and prints where. Without an image, lists those that are mounted. Works in the namespaces of
/// `coracle unshare`, whose end is the end of the mount, and for root.
#[derive(Args, Clone, Debug)]
pub struct ImageMountArgs {
    /// Mount all images
    #[arg(short, long, conflicts_with = "images")]
    all: bool,
    /// Print JSON (json)
    #[arg(long, value_name = "FORMAT", value_parser = ["json"])]
    format: Option<String>,
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
}

impl Invocation for ImageMountArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("Look for a file", "coracle unshare sh -c 'ls $(coracle image mount debian)/etc'"),
        ("What is mounted", "coracle image mount"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let images = if self.all { all(&layout)? } else { self.images.clone() };
        if images.is_empty() && !self.all {
            return self.list(&layout);
        }
        let (mut mounted, mut code) = (Vec::new(), 0);
        for image in &images {
            match image.parse().map_err(Failure::from).and_then(|image| dispatch::mount_image(&layout, &image)) {
                Ok(done) => mounted.push(done),
                Err(failure) => {
                    error::report(&failure);
                    code = EXIT_OWN_FAILURE;
                }
            }
        }
        let text = match (&mounted[..], &self.format) {
            (_, Some(_)) => self.json(&layout, |image| mounted.iter().any(|(id, _)| *id == image.id))?,
            ([(_, path)], None) if images.len() == 1 => format!("{}\n", path.display()),
            (several, None) => {
                let rows = several.iter().map(|(id, path)| format!("{}\t{}", id.short(), path.display()));
                table::align(&rows.collect::<Vec<_>>())
            }
        };
        output::write(&text)?;
        Ok(code)
    }
}

fn all(layout: &Layout) -> Result<Vec<String>, Failure> {
    let images = dispatch::list_images(layout, &Filters::default())?;
    Ok(images.into_iter().map(|image| image.id.to_string()).collect())
}

fn names(image: &Summary) -> Vec<String> {
    image.references.iter().map(Reference::to_string).collect()
}

impl ImageMountArgs {
    fn list(&self, layout: &Layout) -> Result<u8, Failure> {
        let text = match &self.format {
            Some(_) => self.json(layout, |_| true)?,
            None => {
                let rows = dispatch::mounted_images(layout)?.into_iter().map(|(image, path)| {
                    let name = names(&image).into_iter().next().unwrap_or_else(|| image.id.short().to_owned());
                    format!("{name}\t{}", path.display())
                });
                table::align(&rows.collect::<Vec<_>>())
            }
        };
        output::write(&text)?;
        Ok(0)
    }

    /// Those of the mounted images that are wanted, under podman's names.
    fn json(&self, layout: &Layout, is_wanted: impl Fn(&Summary) -> bool) -> Result<String, Failure> {
        let mounted = dispatch::mounted_images(layout)?.into_iter().filter(|(image, _)| is_wanted(image));
        let items = mounted.map(|(image, path)| {
            json!({ "id": image.id.hex(), "Repositories": names(&image), "mountpoint": path.display().to_string() })
        });
        render_json::indented(&items.collect::<Vec<Value>>())
    }
}

/// Take the mounts of images away
///
/// Prints the id of each.
#[derive(Args, Clone, Debug)]
pub struct ImageUnmountArgs {
    /// Unmount all images
    #[arg(short, long, conflicts_with = "images")]
    all: bool,
    /// Unmount an image whose files somebody uses, too
    #[arg(short, long)]
    force: bool,
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "IMAGE", required_unless_present = "all")]
    images: Vec<String>,
}

impl Invocation for ImageUnmountArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[("All of them", "coracle image unmount --all")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let images = match self.all {
            true => dispatch::mounted_images(&layout)?.into_iter().map(|(image, _)| image.id.to_string()).collect(),
            false => self.images,
        };
        let if_busy = if self.force { IfBusy::Detach } else { IfBusy::Refuse };
        let mut code = 0;
        for image in &images {
            let unmount = |image| dispatch::unmount_image(&layout, &image, if_busy);
            match image.parse().map_err(Failure::from).and_then(unmount) {
                Ok(id) => output::write(&format!("{}\n", id.hex()))?,
                Err(failure) => {
                    error::report(&failure);
                    code = EXIT_OWN_FAILURE;
                }
            }
        }
        Ok(code)
    }
}
