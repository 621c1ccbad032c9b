//! What users name containers and do with them: one verb, one file.

pub mod inspect;
pub mod list;
pub mod request;
