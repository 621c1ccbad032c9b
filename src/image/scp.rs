//! `image scp`: ssh(1) with coracle at its other end.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::failure::Failure;
use crate::name::image_selector::ImageSelector;
use crate::name::remote_image::Machine;
use crate::state::record::failure;

/// A command on another machine.
#[derive(Debug)]
pub struct Remote<'a> {
    machine: &'a Machine,
    child: Child,
}

impl<'a> Remote<'a> {
    /// Begins to save an image there; what it writes is an archive.
    pub fn save(ssh: &Path, machine: &'a Machine, image: &ImageSelector) -> Result<Self, Failure> {
        // The other machine's shell reads this: a selector has no character that means anything to it.
        let image = image.to_string();
        Self::start(ssh, machine, &["save", "--quiet", &image], (Stdio::null(), Stdio::piped()))
    }

    /// Begins to load there what comes from `archive`.
    pub fn load(ssh: &Path, machine: &'a Machine, archive: Stdio) -> Result<Self, Failure> {
        Self::start(ssh, machine, &["load", "--quiet"], (archive, Stdio::inherit()))
    }

    fn start(
        ssh: &Path,
        machine: &'a Machine,
        words: &[&str],
        (stdin, stdout): (Stdio, Stdio),
    ) -> Result<Self, Failure> {
        let mut command = Command::new(ssh);
        if let Some(port) = machine.port {
            command.args(["-p", &port.to_string()]);
        }
        command.arg("--").arg(&machine.destination).arg("coracle").args(words).stdin(stdin).stdout(stdout);
        let child = command.spawn().map_err(|cause| failure(&format!("starting {}", ssh.display()), &cause))?;
        Ok(Self { machine, child })
    }

    /// The pipes to and from it: those that were asked for.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits for its end, which must be a success. It has said itself what went wrong.
    pub fn finish(mut self) -> Result<(), Failure> {
        drop(self.child.stdin.take());
        drop(self.child.stdout.take());
        let status = self.child.wait().map_err(|cause| failure("waiting for ssh", &cause))?;
        if status.success() { Ok(()) } else { Err(refused(self.machine, status)) }
    }
}

fn refused(machine: &Machine, status: ExitStatus) -> Failure {
    let destination = &machine.destination;
    Failure::new("E_REMOTE", format!("copying by way of {machine}: ssh or the coracle there has failed ({status})"))
        .with_hint(format!("`ssh {destination} coracle version` must work"))
}
