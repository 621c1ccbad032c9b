//! Which system calls a container may make: profiles (data) become filters (classic BPF), `sys::seccomp` installs them.

pub mod compile;
pub mod default;
pub mod identity;
#[cfg(test)]
mod interpreter;
pub mod parser;
pub mod profile;

pub use crate::sys::syscall as table;

pub use crate::host::kernel::KernelVersion;
pub use compile::{Action, Filter};
pub use default::{ForeignAbi, default_filter};
pub use identity::{Key, emulation_filter, pretence_filter};
pub use parser::parser_filter;
pub use profile::{Profile, SeccompError, load_profile};
