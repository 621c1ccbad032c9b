//! Every record on disk. A change of shape raises the record's version, and old records must still load.

pub mod container;
pub mod image;
pub mod layer;
