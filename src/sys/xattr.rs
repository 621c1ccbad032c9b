//! Extended attributes by descriptor (fgetxattr(2), fsetxattr(2), fremovexattr(2)).

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

/// Sets an attribute, whether it exists or not. `file` must not be an O_PATH descriptor.
pub fn set(file: BorrowedFd<'_>, name: &CStr, value: &[u8]) -> Result<(), Errno> {
    // SAFETY: `name` is a C string and `value` is `value.len()` readable bytes; both outlive the call.
    let result = unsafe { libc::fsetxattr(file.as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    Errno::result(result).map(drop)
}

/// Removes an attribute; that there is none is no error.
pub fn remove(file: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    // SAFETY: `name` is a C string that outlives the call.
    match Errno::result(unsafe { libc::fremovexattr(file.as_raw_fd(), name.as_ptr()) }) {
        Ok(_) | Err(Errno::ENODATA) => Ok(()),
        Err(errno) => Err(errno),
    }
}
