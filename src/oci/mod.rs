//! Documents and words of the OCI specifications. Pure: no I/O, no clock, no environment.

pub mod cdi;
pub mod digest;
pub mod distribution;
pub mod image_config;
pub mod manifest;
pub mod media_type;
pub mod platform;
pub mod strict_json;
