//! `push` and `image push`.

use clap::Args;

use super::dispatch;
use super::tree::{Globals, Invocation};
use crate::failure::Failure;
use crate::image::request::Progress;
use crate::name::image_location::ImageLocation;
use crate::name::image_selector::ImageSelector;

/// Write an image to a file or a directory
///
/// The destination is oci:DIR, oci-archive:FILE, docker-archive:FILE or dir:DIR; a name for the image may follow after a
/// colon. An OCI layout that is there is added to.
#[derive(Args, Clone, Debug)]
pub struct PushArgs {
    /// Do not show progress
    #[arg(short, long)]
    quiet: bool,
    /// Name or id of an image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Where it goes
    #[arg(value_name = "DESTINATION")]
    destination: String,
}

impl Invocation for PushArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] =
        &[("Into a directory", "coracle push debian:12 oci:layout:12")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let image: ImageSelector = self.image.parse()?;
        let progress = if self.quiet { Progress::Quiet } else { Progress::Shown };
        match self.destination.parse()? {
            ImageLocation::Archive(location) => {
                dispatch::push_to_archive(&globals.layout()?, &image, &location, progress)?;
                Ok(0)
            }
            other => {
                let failure =
                    Failure::new("E_CONFIG", format!("writing the image to {other}: it is no file or directory"));
                Err(failure.with_hint("oci:DIR, oci-archive:FILE, docker-archive:FILE, dir:DIR"))
            }
        }
    }
}
