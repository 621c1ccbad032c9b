//! What users name images and do with them: one verb, one file.

pub mod decompress;
pub mod pull;
