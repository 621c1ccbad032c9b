//! Every record on disk, versioned. A record holds identity, specification and status; what the kernel can answer is
//! asked of the kernel.

pub mod image;
pub mod layer;
