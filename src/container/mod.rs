//! What users name containers and do with them: one verb, one file.

pub mod base;
pub mod create;
pub mod environment;
pub mod hardening;
pub mod host_view;
pub mod inspect;
pub mod list;
pub mod logs;
pub mod monitor;
pub mod network_files;
pub mod random_name;
pub mod remove;
pub mod request;
pub mod run;
pub mod status;
pub mod summary;
pub mod translate;
pub mod user;
