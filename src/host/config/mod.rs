//! The configuration files of the `containers` family and of docker, as far as they are honoured.

pub mod auth;
pub mod base64;
pub mod credential;
pub mod credential_helper;
pub mod registries;
