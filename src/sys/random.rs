//! getrandom(2).

#![allow(unsafe_code)]

use nix::errno::Errno;

/// 32 random bytes.
pub fn bytes() -> Result<[u8; 32], Errno> {
    let mut bytes = [0; 32];
    // SAFETY: the kernel writes at most 32 bytes into `bytes`; up to 256 are never cut short once the pool is initialised.
    let count = Errno::result(unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) })?;
    if count as usize == bytes.len() { Ok(bytes) } else { Err(Errno::EIO) }
}
