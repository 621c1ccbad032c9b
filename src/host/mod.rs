//! What this machine and this user's surroundings are: environment, directories, kernel.

pub mod config;
pub mod env;
