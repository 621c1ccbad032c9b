//! `exec`: another process in a container that runs.
//!
//! ```text
//!   without a terminal:   coracle exec ------------------------ process
//!   with one:             coracle exec <== frames == coracle-exec ------- process
//!   detached:                                        coracle-exec ------- process
//! ```
//!
//! The parent of the process enters the container's user and pid namespaces, the latter for its child only: nothing of us is ever
//! among the container's processes but the child, which nobody in there may look into (SECURITY.md R8) until it executes the
//! program. The process ends with its parent; and with its `coracle exec`, unless that says that the user has left it.

mod ids;
mod joining;
mod prepare;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::fd::OwnedFd;

use super::freeze::{self, FreezeError};
use super::live::Live;
use super::monitor::detach_keys::DetachKeys;
use super::request::{EnvSetting, Stdin, Terminal, UserSpec};
use crate::failure::Failure;
use crate::name::container::ContainerId;
use crate::runtime::launch_error::LaunchError;
use crate::runtime::own_program;
use crate::state::layout::Layout;
use crate::sys::process;
use crate::sys::single_threaded::SingleThreaded;
use joining::Joining;

/// A process to be started in a container.
#[derive(Clone, Debug)]
pub struct Request {
    /// Program and arguments.
    pub command: Vec<OsString>,
    /// Whether the command stays with the process.
    pub attach: Attach,
    /// Whether the process reads our standard input.
    pub stdin: Stdin,
    /// Whether the process gets a terminal of its own.
    pub terminal: Terminal,
    /// What its environment has beside the container's.
    pub env: Vec<EnvSetting>,
    /// Working directory; the container's where absent.
    pub workdir: Option<String>,
    /// User; the container's where absent.
    pub user: Option<UserSpec>,
    /// What it may do.
    pub privileges: Privileges,
    /// What leaves it running, with a terminal.
    pub keys: DetachKeys,
    /// Descriptors beside the standard ones that it gets from us, by number.
    pub preserved: BTreeSet<i32>,
    /// What it is for.
    pub purpose: Purpose,
}

/// What a process is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A user's, told by the events `exec` and `exec_died`.
    Command,
    /// A health check, told by an event of its own.
    HealthCheck,
}

/// Whether the command stays with the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// Until it has ended.
    Foreground,
    /// Only until it has been started.
    Detached,
}

/// What a process may do in its container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privileges {
    /// What the container's own process may.
    Containers,
    /// All that can be done in the container's namespaces (`--privileged`).
    All,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The process has ended with this exit code.
    Exited(u8),
    /// The process runs, and the command leaves.
    Running,
}

/// Starts a process in the container of this identifier. May start this program over, so nothing may have been done before that
/// is not to be done twice.
pub fn execute(layout: &Layout, id: &ContainerId, request: &Request) -> Result<Report, Failure> {
    let proof = SingleThreaded::prove().map_err(LaunchError::from)?;
    let live = Live::find(layout, id)?;
    if freeze::is_paused(layout, id, &live.processes) {
        return Err(FreezeError::Paused(id.clone()).into());
    }
    own_program::protect(&proof)?;
    let (plan, supervision) = prepare::plan(layout, &live, request)?;
    let preserved = preserved(&request.preserved)?;
    Joining { layout, live, request, plan, preserved, supervision }.execute(&proof)
}

/// The descriptors of these numbers, which were open when this program was started. None is a terminal: whoever has that could
/// type into the user's shell (SECURITY.md R18).
pub(super) fn preserved(numbers: &BTreeSet<i32>) -> Result<Vec<OwnedFd>, Failure> {
    let adopt = |&number: &i32| {
        let refused = |why, hint: &str| {
            Failure::new("E_CONFIG", format!("passing on descriptor {number}: {why}")).with_hint(hint)
        };
        let descriptor = process::adopt_inherited_fd(number)
            .ok_or_else(|| refused("it is not open", "open it for coracle, as a shell does with 3<FILE"))?;
        match nix::unistd::isatty(&descriptor) {
            Ok(true) => Err(refused("it is a terminal", "-t gives the command a terminal of its own")),
            _ => Ok(descriptor),
        }
    };
    numbers.iter().map(adopt).collect()
}
