//! Extended attributes by descriptor (fgetxattr(2)).

#![allow(unsafe_code)]

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// The value of an attribute of at most 256 bytes. ENODATA if there is none, ERANGE if it is longer.
pub fn get(file: BorrowedFd<'_>, name: &CStr) -> Result<Vec<u8>, Errno> {
    let mut value = vec![0_u8; 256];
    // SAFETY: the kernel writes at most `value.len()` bytes into `value`; `name` is a C string that outlives the call.
    let result = unsafe { libc::fgetxattr(file.as_raw_fd(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    value.truncate(Errno::result(result)? as usize);
    Ok(value)
}
