//! What users name containers and do with them: one verb, one file.

pub mod base;
pub mod create;
pub mod environment;
pub mod event;
pub mod filter;
pub mod hardening;
pub mod host_view;
pub mod inspect;
pub mod list;
pub mod monitor;
pub mod network_files;
pub mod random_name;
pub mod remove;
pub mod rename;
pub mod request;
pub mod run;
pub mod size;
pub mod status;
pub mod summary;
pub mod translate;
pub mod user;
pub mod wait;
