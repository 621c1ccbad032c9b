//! `volume mount`, `volume unmount` and `volume reload`.

use clap::Args;

use crate::cli::render::output;
use crate::cli::tree::{Globals, Invocation};
use crate::cli::{dispatch, error};
use crate::failure::{EXIT_OWN_FAILURE, Failure};

/// Show where the files of volumes are
///
/// Has the driver of a volume mount it; volumes of local are where they are. Prints the directory of each.
#[derive(Args, Clone, Debug)]
pub struct MountArgs {
    /// Names, or beginnings of names
    #[arg(value_name = "VOLUME", required = true)]
    volumes: Vec<String>,
}

impl Invocation for MountArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[("Look into it", "ls $(coracle volume mount data)")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        each(&self.volumes, |volume| dispatch::mount_volume(&layout, volume).map(|path| path.display().to_string()))
    }
}

/// Have volumes unmounted by their drivers
///
/// The end of what volume mount began. Volumes of local stay where they are. Prints the name of each.
#[derive(Args, Clone, Debug)]
pub struct UnmountArgs {
    /// Names, or beginnings of names
    #[arg(value_name = "VOLUME", required = true)]
    volumes: Vec<String>,
}

impl Invocation for UnmountArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[("A volume", "coracle volume unmount data")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        each(&self.volumes, |volume| dispatch::unmount_volume(&layout, volume).map(|name| name.to_string()))
    }
}

/// Prints what `act` has to say of each; what fails is reported, and does not end it.
fn each(volumes: &[String], act: impl Fn(&str) -> Result<String, Failure>) -> Result<u8, Failure> {
    let mut code = 0;
    for volume in volumes {
        match act(volume) {
            Ok(line) => output::write(&format!("{line}\n"))?,
            Err(failure) => {
                error::report(&failure);
                code = EXIT_OWN_FAILURE;
            }
        }
    }
    Ok(code)
}

/// Ask all volume drivers for their volumes
///
/// Volumes of a driver that are not known become known, and those that it has no more are forgotten, unless a container has them.
#[derive(Args, Clone, Debug)]
pub struct ReloadArgs {}

impl Invocation for ReloadArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[("All drivers", "coracle volume reload")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let reloaded = dispatch::reload_volumes(&globals.layout()?)?;
        for (title, names) in [("Added", &reloaded.added), ("Removed", &reloaded.removed)] {
            if !names.is_empty() {
                let names = names.iter().map(|name| format!("{name}\n")).collect::<String>();
                output::write(&format!("{title}:\n{names}"))?;
            }
        }
        reloaded.failures.iter().for_each(error::report);
        Ok(if reloaded.failures.is_empty() { 0 } else { EXIT_OWN_FAILURE })
    }
}
