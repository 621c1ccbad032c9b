//! Words of memory that several processes share.

#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::AtomicU64;

use nix::errno::Errno;

/// Bytes of the mapping.
const SIZE: usize = 32 << 10;

/// The beginning of a memory file, as atomic words.
#[derive(Debug)]
pub struct SharedWords(*mut libc::c_void);

// SAFETY: what the pointer leads to is only ever used as atomic words.
unsafe impl Send for SharedWords {}
// SAFETY: as above.
unsafe impl Sync for SharedWords {}

impl SharedWords {
    /// How many there are.
    pub const COUNT: usize = SIZE / size_of::<u64>();

    /// Those of `file`, a memory file of at least as many that nobody makes shorter.
    pub fn of(file: BorrowedFd<'_>) -> Result<Self, Errno> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice; it is unmapped by nobody but `drop`.
        let address =
            unsafe { libc::mmap(std::ptr::null_mut(), SIZE, protection, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        if address == libc::MAP_FAILED { Err(Errno::last()) } else { Ok(Self(address)) }
    }

    /// The words.
    pub fn words(&self) -> &[AtomicU64; Self::COUNT] {
        // SAFETY: the mapping is aligned memory, initialised by the kernel, that lives as long as `self`; whoever
        // else has it mapped uses atomic words, too.
        unsafe { &*self.0.cast() }
    }
}

impl Drop for SharedWords {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and the words that were lent end with `self`.
        unsafe { libc::munmap(self.0, SIZE) };
    }
}
