//! What users name images and do with them: one verb, one file.

pub mod archive;
pub mod assemble;
pub mod decompress;
pub mod destination;
pub mod fetch;
pub mod filter;
pub mod find;
pub mod hello;
pub mod import;
pub mod inspect;
pub mod list;
pub mod load;
pub mod pack;
pub mod progress;
pub mod pull;
pub mod recompress;
pub mod remove;
pub mod request;
pub mod save;
pub mod scp;
pub mod send;
pub mod source;
