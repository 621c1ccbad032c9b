//! What this machine and this user's surroundings are: environment, directories, kernel.

pub mod boot;
pub mod env;
pub mod kernel;
