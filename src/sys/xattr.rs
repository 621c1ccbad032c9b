//! Extended attributes by descriptor (fgetxattr(2), fsetxattr(2), fremovexattr(2)).

#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
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

/// The value of an attribute of any length (at most 64 KiB, XATTR_SIZE_MAX).
pub fn get_whole(file: BorrowedFd<'_>, name: &CStr) -> Result<Vec<u8>, Errno> {
    let mut value = vec![0_u8; 64 << 10];
    // SAFETY: the kernel writes at most `value.len()` bytes into `value`; `name` is a C string that outlives the call.
    let result = unsafe { libc::fgetxattr(file.as_raw_fd(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    value.truncate(Errno::result(result)? as usize);
    Ok(value)
}

/// The names of all attributes, in alphabetical order (flistxattr(2)); none where the file system has no attributes.
pub fn list(file: BorrowedFd<'_>) -> Result<Vec<CString>, Errno> {
    // XATTR_LIST_MAX.
    let mut names = vec![0_u8; 64 << 10];
    // SAFETY: the kernel writes at most `names.len()` bytes into `names`.
    let result = unsafe { libc::flistxattr(file.as_raw_fd(), names.as_mut_ptr().cast(), names.len()) };
    match Errno::result(result) {
        Ok(length) => names.truncate(length as usize),
        Err(Errno::EOPNOTSUPP) => names.clear(),
        Err(errno) => return Err(errno),
    }
    let mut names: Vec<CString> = names
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
        .filter_map(|name| CString::new(name).ok())
        .collect();
    names.sort();
    Ok(names)
}

/// Sets an attribute, whether it exists or not. `file` must not be an O_PATH descriptor.
pub fn set(file: BorrowedFd<'_>, name: &CStr, value: &[u8]) -> Result<(), Errno> {
    // SAFETY: `name` is a C string and `value` is `value.len()` readable bytes; both outlive the call.
    let result = unsafe { libc::fsetxattr(file.as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    Errno::result(result).map(drop)
}

/// What is done about an attribute that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It gets the new value.
    Replace,
    /// EEXIST.
    Refuse,
    /// It must exist: else ENODATA.
    Demand,
}

/// As [`set`], but for what is done about an attribute that there is.
pub fn set_with(file: BorrowedFd<'_>, name: &CStr, value: &[u8], existing: Existing) -> Result<(), Errno> {
    let flags = match existing {
        Existing::Replace => 0,
        Existing::Refuse => libc::XATTR_CREATE,
        Existing::Demand => libc::XATTR_REPLACE,
    };
    // SAFETY: `name` is a C string and `value` is `value.len()` readable bytes; both outlive the call.
    let result = unsafe { libc::fsetxattr(file.as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), flags) };
    Errno::result(result).map(drop)
}

/// Removes an attribute; ENODATA if there is none.
pub fn remove_existing(file: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    // SAFETY: `name` is a C string that outlives the call.
    Errno::result(unsafe { libc::fremovexattr(file.as_raw_fd(), name.as_ptr()) }).map(drop)
}

/// Removes an attribute; that there is none is no error.
pub fn remove(file: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    // SAFETY: `name` is a C string that outlives the call.
    match Errno::result(unsafe { libc::fremovexattr(file.as_raw_fd(), name.as_ptr()) }) {
        Ok(_) | Err(Errno::ENODATA) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// The value of an attribute of at most 256 bytes of the file at `path`, links followed, in `room`. ENODATA if there is none, ERANGE
/// if it is longer.
pub fn get_at<'a>(path: &CStr, name: &CStr, room: &'a mut [u8; 256]) -> Result<&'a [u8], Errno> {
    // SAFETY: the kernel writes at most `room.len()` bytes into `room`; both C strings outlive the call.
    let result = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), room.as_mut_ptr().cast(), room.len()) };
    Errno::result(result).map(|length| &room[..length as usize])
}

/// Sets an attribute of the file at `path`, links followed.
pub fn set_at(path: &CStr, name: &CStr, value: &[u8]) -> Result<(), Errno> {
    // SAFETY: both C strings and the `value.len()` bytes of `value` outlive the call.
    let result = unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    Errno::result(result).map(drop)
}

/// Removes an attribute of the file at `path`, links followed; that there is none is no error.
pub fn remove_at(path: &CStr, name: &CStr) -> Result<(), Errno> {
    // SAFETY: both C strings outlive the call.
    match Errno::result(unsafe { libc::removexattr(path.as_ptr(), name.as_ptr()) }) {
        Err(Errno::ENODATA) => Ok(()),
        other => other.map(drop),
    }
}
