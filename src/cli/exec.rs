//! `exec` and `container exec`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::run::{detach_keys, env_settings, parsed, with};
use super::tree::{Globals, Invocation};
use super::{dispatch, selection};
use crate::container::exec::Attach;
use crate::container::exec::{Privileges, Purpose, Request};
use crate::container::request::{Stdin, Terminal};
use crate::failure::Failure;
use crate::name::container_path::parse_container_path;

/// Run a command in a container that runs
///
/// The command is executed as the container's own user, in its working directory and with its environment, unless told
/// otherwise. Options come before CONTAINER; all that follows it is the command's. The exit code is the command's.
///
/// The command ends with its coracle exec, however that ends, unless the user leaves it by the keys. What was left, or
/// detached, has a parent of its own, coracle-exec, and ends with that or with the container.
#[derive(Args, Clone, Debug)]
#[command(override_usage = "coracle exec [OPTIONS] CONTAINER COMMAND [ARG]...")]
pub struct ExecArgs {
    /// Container, then the command and its arguments; with --latest or --cidfile, the command and its arguments
    #[arg(value_name = "CONTAINER", required = true, trailing_var_arg = true, num_args = 1..)]
    words: Vec<OsString>,

    /// Let the command read standard input
    #[arg(short, long)]
    interactive: bool,
    /// Give the command a terminal of its own
    #[arg(short, long)]
    tty: bool,
    /// Leave the command running; what it writes is thrown away
    #[arg(short, long)]
    detach: bool,
    /// Set an environment variable; NAME alone takes the value from here, PREFIX* all that begin so
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<OsString>,
    /// Set the environment variables of this file, one NAME=VALUE a line
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    env_file: Vec<PathBuf>,
    /// Working directory in the container
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// User, and group, by name or by number
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Give the command all capabilities in the container's namespaces
    #[arg(long)]
    privileged: bool,
    /// Keys that leave the command running, with a terminal; "" for none [default: ctrl-p,ctrl-q]
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Pass on N descriptors beside the standard ones: 3, 4, and so on; none may be a terminal
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    preserve_fds: u16,
    /// Pass on the descriptors of these numbers, with commas between them; none may be a terminal
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = clap::value_parser!(i32).range(3..))]
    preserve_fd: Vec<i32>,
    /// Keep no record of the command; coracle never keeps one
    #[arg(long)]
    no_session: bool,
    /// Take the container whose id is in this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "latest")]
    cidfile: Option<PathBuf>,
    /// Take the container made last
    #[arg(short, long)]
    latest: bool,
}

impl Invocation for ExecArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("A shell in a container", "coracle exec -it web sh"),
        ("As another user, elsewhere", "coracle exec -u www-data -w /var/www web ls -l"),
        ("With a variable, in the background", "coracle exec -d -e LEVEL=3 web /bin/refresh"),
    ];
    const EXIT_STATUS: &'static [(&'static str, &'static str)] = &[
        ("N", "The exit code of the command; 128 + N if signal N ended it."),
        ("0", "The command was left running, by --detach or by the keys."),
        ("130", "Interrupted before the command was started; 143 and so on by another signal."),
        ("125", "coracle itself failed, or the container does not run; the command was not run."),
        ("126", "The command cannot be executed."),
        ("127", "The command was not found."),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let (container, command) = if self.latest {
            (dispatch::latest_container(&layout)?, &self.words[..])
        } else if let Some(path) = &self.cidfile {
            (dispatch::find_container(&layout, &selection::cidfile(path)?)?, &self.words[..])
        } else {
            (dispatch::find_container(&layout, &self.words[0].to_string_lossy())?, &self.words[1..])
        };
        if command.is_empty() {
            return Err(Failure::new("E_CONFIG", "there is no command to run after the container's name")
                .with_hint("for example: coracle exec -it CONTAINER sh"));
        }
        let request = Request {
            command: command.to_vec(),
            attach: if self.detach { Attach::Detached } else { Attach::Foreground },
            stdin: if self.interactive { Stdin::Open } else { Stdin::Null },
            terminal: if self.tty { Terminal::New } else { Terminal::None },
            env: env_settings(&self.env_file, &self.env)?,
            workdir: with("--workdir", self.workdir.as_deref(), parse_container_path)?,
            user: parsed("--user", self.user.as_deref())?,
            privileges: if self.privileged { Privileges::All } else { Privileges::Containers },
            preserved: (3..3 + i32::from(self.preserve_fds)).chain(self.preserve_fd).collect(),
            keys: detach_keys(self.detach_keys.as_deref())?,
            purpose: Purpose::Command,
        };
        dispatch::exec(&layout, &container, &request)
    }
}
