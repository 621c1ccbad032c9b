//! What users name images and do with them: one verb, one file.

pub mod inspect;
pub mod list;
pub mod remove;
pub mod request;
