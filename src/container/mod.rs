//! What users name containers and do with them: one verb, one file.

pub mod attach;
pub mod base;
pub mod create;
pub mod environment;
pub mod exec;
pub mod freeze;
pub mod hardening;
pub mod host_view;
pub mod inspect;
pub mod launch;
pub mod list;
pub mod live;
pub mod monitor;
pub mod network_files;
pub mod random_name;
pub mod remove;
pub mod request;
pub mod run;
pub mod start;
pub mod stats;
pub mod status;
pub mod stop;
pub mod summary;
pub mod top;
pub mod translate;
pub mod user;
