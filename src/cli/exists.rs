//! `container exists` and `image exists`.

use clap::Args;

use super::dispatch;
use super::tree::{Globals, Invocation};
use crate::failure::Failure;

/// Check whether a container exists
///
/// Prints nothing; the exit code tells.
#[derive(Args, Clone, Debug)]
pub struct ExistsArgs {
    /// Look in the storage of other programs, too; there is none
    #[arg(short, long)]
    external: bool,
    /// Name, id, or beginning of an id
    #[arg(value_name = "CONTAINER")]
    container: String,
}

const EXIT_STATUS: &[(&str, &str)] = &[("0", "It exists."), ("1", "It does not."), ("125", "A failure.")];

impl Invocation for ExistsArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] =
        &[("In a script", "coracle container exists web || coracle run -d --name web debian sleep infinity")];
    const EXIT_STATUS: &'static [(&'static str, &'static str)] = EXIT_STATUS;

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        match dispatch::find_container(&globals.layout()?, &self.container) {
            Ok(_) => Ok(0),
            Err(failure) if failure.code() == "E_NOTFOUND" => Ok(1),
            Err(failure) => Err(failure),
        }
    }
}

/// Check whether an image exists
///
/// Prints nothing; the exit code tells. No registry is asked.
#[derive(Args, Clone, Debug)]
pub struct ImageExistsArgs {
    /// Name, id, or beginning of an id
    #[arg(value_name = "IMAGE")]
    image: String,
}

impl Invocation for ImageExistsArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] =
        &[("In a script", "coracle image exists debian || coracle pull debian")];
    const EXIT_STATUS: &'static [(&'static str, &'static str)] = EXIT_STATUS;

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let exists = dispatch::image_exists(&globals.layout()?, &self.image.parse()?)?;
        Ok(if exists { 0 } else { 1 })
    }
}
