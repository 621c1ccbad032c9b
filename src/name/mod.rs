//! Words that users type, parsed once, at the door. Pure: no I/O, no clock, no environment.

pub mod byte_size;
pub mod capability;
pub mod capability_change;
pub mod config_change;
pub mod container;
pub mod container_path;
pub mod duration;
pub mod entrypoint;
pub mod env_setting;
pub mod filter;
pub mod health;
pub mod host_name;
pub mod image_location;
pub mod image_selector;
pub mod label;
pub mod log_request;
pub mod mount;
pub mod network_mode;
pub mod pull_policy;
pub mod reference;
pub mod registry;
pub mod restart_policy;
pub mod security_option;
pub mod serialize;
pub mod signal;
pub mod user;
