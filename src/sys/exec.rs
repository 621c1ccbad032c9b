//! execve(2) with arguments prepared beforehand.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char};
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// An argument or environment vector in the form the kernel reads: made before the fork, used after it.
pub struct StringVector {
    strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

/// The strings: where they are is nobody's business.
impl std::fmt::Debug for StringVector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.strings).finish()
    }
}

impl StringVector {
    /// A vector of `strings`, in order.
    pub fn new(strings: Vec<CString>) -> Self {
        let end = std::iter::once(std::ptr::null());
        let pointers = strings.iter().map(|string| string.as_ptr()).chain(end).collect();
        Self { strings, pointers }
    }

    /// The strings.
    pub fn strings(&self) -> &[CString] {
        &self.strings
    }
}

/// Becomes the program at `path`. Returns only if that failed. The kernel ignores `key`; a filter of ours may look for it.
pub fn execve(path: &CStr, argv: &StringVector, envp: &StringVector, key: [u64; 2]) -> Errno {
    let (argv, envp) = (argv.pointers.as_ptr(), envp.pointers.as_ptr());
    // SAFETY: both vectors end with a null pointer and point to C strings that `argv` and `envp` own; execve(2) has three
    // arguments.
    unsafe { libc::syscall(libc::SYS_execve, path.as_ptr(), argv, envp, 0_usize, key[0], key[1]) };
    Errno::last()
}

/// Becomes the program that `file` has open (execveat(2), AT_EMPTY_PATH). Returns only if that failed.
pub fn execute_file(file: BorrowedFd<'_>, argv: &StringVector, envp: &StringVector) -> Errno {
    let (argv, envp) = (argv.pointers.as_ptr(), envp.pointers.as_ptr());
    // SAFETY: as above; the empty path is a C string.
    unsafe { libc::syscall(libc::SYS_execveat, file.as_raw_fd(), c"".as_ptr(), argv, envp, libc::AT_EMPTY_PATH) };
    Errno::last()
}
