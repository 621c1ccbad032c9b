//! The proof that a fork may run ordinary code in its child.

use std::os::unix::fs::MetadataExt;

/// Held by whoever has checked that the process has one thread. A fork of such a process copies no lock that another
/// thread holds, so its child may allocate and use the standard library.
#[derive(Debug)]
pub struct SingleThreaded(());

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum NotSingleThreaded {
    /// `/proc` is not there or not the kernel's.
    #[error("counting our threads in /proc/self/task")]
    Unknown(#[source] std::io::Error),
    /// There are other threads.
    #[error("this process has {0} threads where it must have one")]
    Threads(u64),
}

impl SingleThreaded {
    /// Counts the threads. The kernel gives `/proc/self/task` one link per thread beside the directory's own two
    /// (`proc_task_getattr` in fs/proc/base.c).
    pub fn prove() -> Result<Self, NotSingleThreaded> {
        let task = std::fs::metadata("/proc/self/task").map_err(NotSingleThreaded::Unknown)?;
        match task.nlink().saturating_sub(2) {
            1 => Ok(Self(())),
            threads => Err(NotSingleThreaded::Threads(threads)),
        }
    }
}
