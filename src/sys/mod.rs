//! System calls that neither `std` nor `nix` has, behind types: the only `unsafe` of the crate, the only raw fork.
//!
//! Wrappers take `BorrowedFd`/`OwnedFd`, return `Errno`, and decide nothing.

pub mod fs;
pub mod in_root;
pub mod namespace;
