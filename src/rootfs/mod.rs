//! Root file systems: how they are put together from layers, and how they are looked into.

pub mod copy;
pub mod fuse;
pub mod view;
