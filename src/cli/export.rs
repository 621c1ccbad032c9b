//! `export`.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};

use super::tree::{Globals, Invocation};
use super::{dispatch, error};
use crate::container::export::Archive;
use crate::failure::Failure;
use crate::state::record::{io_code, io_hint};

/// Write all files of a container as a tar archive
///
/// The archive has what the container sees as its root, without what is mounted there, whether the container runs or not.
/// Owners are those that the container sees, and those that its image has where it sees none but its own user: what is new
/// then belongs to that user.
#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// Name or id of a container
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Invocation for ExportArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("Into a file", "coracle export -o web.tar web"),
        ("Only what is in /etc", "coracle export web | tar -xf - etc"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        refuse_terminal(self.output.is_none(), "-o FILE writes it to a file")?;
        let layout = globals.layout()?;
        write(dispatch::export(&layout, &self.container)?, self.output.as_deref())?;
        Ok(0)
    }
}

/// Writes the archive to a file, or to standard output.
pub(super) fn write(archive: Archive, output: Option<&Path>) -> Result<(), Failure> {
    match output {
        None => pass_on(archive, &mut io::stdout()),
        Some(path) => {
            let file = File::create(path).map_err(|cause| failed(&format!("creating {}", path.display()), cause));
            let written = file.and_then(|mut file| pass_on(archive, &mut file));
            if let Err(failure) = written {
                // What is there of it is of no use to anybody.
                let _ = std::fs::metadata(path)
                    .is_ok_and(|metadata| metadata.is_file())
                    .then(|| std::fs::remove_file(path));
                return Err(failure);
            }
            Ok(())
        }
    }
}

/// Refuses to write an archive to a terminal.
pub(super) fn refuse_terminal(to_stdout: bool, hint: &str) -> Result<(), Failure> {
    if to_stdout && io::stdout().is_terminal() {
        let failure = Failure::new("E_OUTPUT", "writing an archive to a terminal");
        return Err(failure.with_hint(hint));
    }
    Ok(())
}

fn failed(doing: &str, cause: io::Error) -> Failure {
    let failure = Failure::new(io_code(&cause), format!("{doing}: {cause}"));
    match io_hint(&cause) {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

/// Writes the archive, and tells what it lacks.
fn pass_on(mut archive: Archive, to: &mut dyn io::Write) -> Result<(), Failure> {
    if let Err(cause) = io::copy(&mut archive, to).and_then(|_| to.flush()) {
        return Err(archive.explain(failed("writing the archive", cause)));
    }
    warn_all(&archive.finish()?);
    Ok(())
}

/// Tells what the user should know.
pub(super) fn warn_all(warnings: &[String]) {
    for warning in warnings {
        error::warn(&crate::failure::escape_control(warning));
    }
}
