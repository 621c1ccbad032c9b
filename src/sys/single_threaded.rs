//! The proof that a fork may run ordinary code in its child.

use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

/// How long a joined thread may take to disappear: far more than a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(2);

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
    ///
    /// A thread that was joined has left our memory, but may be counted until the kernel has buried it: pthread_join(3)
    /// waits for the first, not for the second. So others are given a moment to go.
    pub fn prove() -> Result<Self, NotSingleThreaded> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let task = std::fs::metadata("/proc/self/task").map_err(NotSingleThreaded::Unknown)?;
            match task.nlink().saturating_sub(2) {
                1 => return Ok(Self(())),
                threads if Instant::now() > deadline => return Err(NotSingleThreaded::Threads(threads)),
                _ => std::thread::sleep(Duration::from_micros(100)),
            }
        }
    }
}
