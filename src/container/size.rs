//! How much room a container takes.

/// Bytes on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// What was written in the container: its upper directory.
    pub written: u64,
    /// What it was made from.
    pub base: u64,
}
