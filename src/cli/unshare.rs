//! `unshare`.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::Command;

use clap::Args;

use super::dispatch::networks as dispatch;
use super::tree::{Globals, Invocation};
use crate::failure::{EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, Failure};
use crate::host::env;
use crate::runtime::unshare::{self, Namespaces};

/// Run a command as root of your own files
///
/// In a user and a mount namespace like a container's, but with all files of the host: there your own user is 0, files that
/// containers wrote can be looked at whatever their modes say, and `coracle image mount` works. Without a command, runs your
/// shell.
#[derive(Args, Clone, Debug)]
pub struct UnshareArgs {
    /// Enter the namespace of a network instead: there its bridge, its firewall and its resolver can be looked at, and changed
    #[arg(long, value_name = "NETWORK", num_args = 0..=1, require_equals = true, default_missing_value = "bridge")]
    rootless_netns: Option<String>,
    /// The command and its arguments
    #[arg(value_name = "COMMAND", trailing_var_arg = true, num_args = 0..)]
    words: Vec<OsString>,
}

impl Invocation for UnshareArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("A shell", "coracle unshare"),
        ("Look at a network", "coracle unshare --rootless-netns=front ip address"),
        ("Look into an image", "coracle unshare sh -c 'ls $(coracle image mount debian)/etc'"),
    ];
    const EXIT_STATUS: &'static [(&'static str, &'static str)] = &[
        ("N", "The exit code of the command."),
        ("125", "coracle itself failed; the command was not run."),
        ("126", "The command cannot be executed."),
        ("127", "The command was not found."),
    ];
    const SECTIONS: &'static [(&'static str, &'static str)] = &[(
        "Environment of the command",
        "_CONTAINERS_USERNS_CONFIGURED is `done`, _CONTAINERS_ROOTLESS_UID and _CONTAINERS_ROOTLESS_GID are your own ids, \
         CONTAINERS_GRAPHROOT and CONTAINERS_RUNROOT are the directories of images and of process records, as podman has it.",
    )];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
        if let Some(network) = &self.rootless_netns {
            dispatch::enter(&layout, network)?;
            let (program, mut command) = command(self.words);
            return Err(not_started(&program, &command.exec()));
        }
        if uid.is_root() {
            let failure = Failure::new("E_UNSUPPORTED", "unshare: you are root already");
            return Err(failure.with_hint("run the command itself"));
        }
        unshare::enter(Namespaces::UserAndMount)?;
        let (program, mut command) = command(self.words);
        command.env("_CONTAINERS_USERNS_CONFIGURED", "done");
        command.env("_CONTAINERS_ROOTLESS_UID", uid.to_string()).env("_CONTAINERS_ROOTLESS_GID", gid.to_string());
        command.env("CONTAINERS_GRAPHROOT", layout.data()).env("CONTAINERS_RUNROOT", layout.runtime());
        Err(not_started(&program, &command.exec()))
    }
}

/// The command, or the user's shell.
fn command(words: Vec<OsString>) -> (OsString, Command) {
    let mut words = words.into_iter();
    let program = words.next().unwrap_or_else(|| env::get(&env::SHELL).unwrap_or_else(|| "/bin/sh".into()));
    let mut command = Command::new(&program);
    command.args(words);
    (program, command)
}

fn not_started(program: &OsString, cause: &std::io::Error) -> Failure {
    let what = format!("starting {}: {cause}", program.display());
    match cause.kind() {
        ErrorKind::NotFound => Failure::new("E_NOTFOUND", what).with_exit_code(EXIT_NOT_FOUND),
        _ => Failure::new("E_NOT_EXECUTABLE", what).with_exit_code(EXIT_NOT_EXECUTABLE),
    }
}
