//! Documents and words of the OCI specifications. Pure: no I/O, no clock, no environment.

pub mod digest;
pub mod platform;
