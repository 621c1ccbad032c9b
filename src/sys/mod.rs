//! System calls that neither `std` nor `nix` has, behind types: the only `unsafe` of the crate, the only raw fork.
//!
//! Wrappers take `BorrowedFd`/`OwnedFd`, return `Errno`, allocate nothing where they are used between fork and exec, and
//! decide nothing.

pub mod credentials;
pub mod seccomp;
