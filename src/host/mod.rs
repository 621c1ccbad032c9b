//! What this machine and this user's surroundings are: environment, directories, kernel.

pub mod boot;
pub mod cdi;
pub mod cgroup;
pub mod config;
pub mod device;
pub mod directory;
pub mod env;
pub mod identity;
pub mod kernel;
pub mod limits;
pub mod mounts;
pub mod processes;
pub mod program;
pub mod report;
pub mod security;
pub mod sockets;
pub mod userns;
