//! Which ids a container has, and what they are outside.

pub mod map;
pub mod passwd;
