//! Every record on disk. A change of shape raises the record's version, and old records must still load.
//!
//! A record holds identity, specification and status; what the kernel can answer is asked of the kernel.

pub mod container;
pub mod image;
pub mod layer;
pub mod network;
pub mod owners;
pub mod secret;
pub mod stamp;
pub mod volume;
