//! Becoming root of one's own files: a user namespace for this process itself.

use std::io;

use nix::errno::Errno;
use nix::sched::CloneFlags;

use crate::failure::Explain;
use crate::host::userns;
use crate::sys::namespace;
use crate::sys::single_threaded::{NotSingleThreaded, SingleThreaded};

/// Which namespaces are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespaces {
    /// A user namespace: all files of ours can be read, whatever their modes say.
    User,
    /// A mount namespace, too: mounts can be made that nobody else sees.
    UserAndMount,
}

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub enum UnshareError {
    /// Threads cannot change their user namespace.
    #[error("making a user namespace")]
    Threads(#[from] NotSingleThreaded),
    /// The kernel refuses.
    #[error("making a user namespace")]
    Kernel(#[source] io::Error),
}

impl Explain for UnshareError {
    fn code(&self) -> &'static str {
        "E_USERNS_DISABLED"
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Threads(_) => None,
            Self::Kernel(cause) => Some(userns::cure(Errno::from_raw(cause.raw_os_error().unwrap_or_default()))),
        }
    }
}

/// Makes them and enters them, for good.
pub fn enter(which: Namespaces) -> Result<(), UnshareError> {
    SingleThreaded::prove()?;
    let others = match which {
        Namespaces::User => CloneFlags::empty(),
        Namespaces::UserAndMount => CloneFlags::CLONE_NEWNS,
    };
    namespace::become_own_root(others).map_err(UnshareError::Kernel)
}

/// Lets this process read and measure all files of ours, whatever their modes say, where the kernel allows that. Root may
/// anyway.
pub fn see_own_files() {
    if !nix::unistd::geteuid().is_root() {
        // What then cannot be read is told by whoever needs it.
        let _ = enter(Namespaces::User);
    }
}
