//! System calls that neither `std` nor `nix` has, behind types: the only `unsafe` of the crate, the only raw fork.
//!
//! Wrappers take `BorrowedFd`/`OwnedFd`, return `Errno`, allocate nothing where they are used between fork and exec, and
//! decide nothing.

pub mod beside;
pub mod clone;
pub mod credentials;
pub mod exec;
pub mod fs;
pub mod in_root;
pub mod keyring;
pub mod landlock;
pub mod memory;
pub mod mount;
pub mod namespace;
pub mod network_namespace;
pub mod notification;
pub mod ownership;
pub mod pidfd;
pub mod process;
pub mod random;
pub mod remote;
pub mod seccomp;
pub mod shared_words;
pub mod signal;
pub mod single_threaded;
pub mod socket;
pub mod status;
pub mod syscall;
pub mod tty;
pub mod unix_socket;
pub mod xattr;
