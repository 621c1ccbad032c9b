//! `volume export` and `volume import`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::cli::dispatch;
use crate::cli::export::{refuse_terminal, warn_all, write};
use crate::cli::import::open_archive;
use crate::cli::tree::{Globals, Invocation};
use crate::failure::Failure;

/// Write all files of a volume as a tar archive
///
/// The archive is written to standard output, or to a file. Containers that have the volume may run meanwhile; what they write
/// then may be in it or not.
#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// Name, or beginning of a name
    #[arg(value_name = "VOLUME")]
    volume: String,
}

impl Invocation for ExportArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("Into a file", "coracle volume export -o data.tar data"),
        ("To another machine", "coracle volume export data | ssh HOST coracle volume import data -"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        refuse_terminal(self.output.is_none(), "-o FILE writes it to a file")?;
        write(dispatch::export_volume(&globals.layout()?, &self.volume)?, self.output.as_deref())?;
        Ok(0)
    }
}

/// Unpack a tar archive into a volume
///
/// The volume must be there. Its files stay, but for those that the archive has, too. The archive may be compressed with gzip or
/// zstd.
#[derive(Args, Clone, Debug)]
pub struct ImportArgs {
    /// Name, or beginning of a name
    #[arg(value_name = "VOLUME")]
    volume: String,
    /// The archive, or - for standard input
    #[arg(value_name = "FILE", default_value = "-", hide_default_value = true, value_hint = ValueHint::FilePath)]
    file: String,
}

impl Invocation for ImportArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("From a file", "coracle volume import data data.tar.gz"),
        (
            "A copy of a volume",
            "coracle volume create copy && coracle volume export data | coracle volume import copy -",
        ),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let mut tar = open_archive(&self.file)?;
        warn_all(&dispatch::import_volume(&layout, &self.volume, &mut tar)?);
        Ok(0)
    }
}
