//! What users name images and do with them: one verb, one file.

pub mod assemble;
pub mod check;
pub mod decompress;
pub mod destination;
pub mod fetch;
pub mod filter;
pub mod find;
pub mod hello;
pub mod history;
pub mod import;
pub mod inspect;
pub mod list;
pub mod login;
pub mod mount;
pub mod progress;
pub mod prune;
pub mod pull;
pub mod remove;
pub mod request;
pub mod search;
pub mod send;
pub mod short_name;
pub mod source;
pub mod tag;
pub mod tree;
pub mod usage;
