//! `volume inspect` and `volume exists`.

use clap::Args;

use super::value;
use crate::cli::tree::{Globals, Invocation};
use crate::cli::{dispatch, named};
use crate::failure::Failure;
use crate::name::filter::Filters;
use crate::volume::VolumeError;

/// Show everything about volumes
///
/// Prints a JSON list.
#[derive(Args, Clone, Debug)]
pub struct InspectArgs {
    /// All volumes
    #[arg(short, long, conflicts_with = "volumes")]
    all: bool,
    /// Print what this Go template makes of each, in place of JSON
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Names, or beginnings of names
    #[arg(value_name = "VOLUME", required_unless_present = "all")]
    volumes: Vec<String>,
}

impl Invocation for InspectArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("All of it", "coracle volume inspect data"),
        ("Where its files are", "coracle volume inspect --format '{{.Mountpoint}}' data"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let mut found = Vec::new();
        if self.all {
            found.extend(dispatch::list_volumes(&layout, &Filters::default())?.iter().map(value));
        }
        named::inspect(self.format.as_deref(), found, &self.volumes, |name| {
            let found = dispatch::find_volume(&layout, name)?;
            Ok(value(&found.ok_or_else(|| VolumeError::Missing(name.to_owned()))?))
        })
    }
}

/// Check whether a volume exists
///
/// Prints nothing; the exit code tells.
#[derive(Args, Clone, Debug)]
pub struct ExistsArgs {
    /// Name, or beginning of a name
    #[arg(value_name = "VOLUME")]
    volume: String,
}

impl Invocation for ExistsArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] =
        &[("In a script", "coracle volume exists data || coracle volume create data")];
    const EXIT_STATUS: &'static [(&'static str, &'static str)] = named::EXISTS_EXIT_STATUS;

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        Ok(if dispatch::volume_exists(&globals.layout()?, &self.volume)? { 0 } else { 1 })
    }
}
