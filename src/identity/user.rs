//! The user a container runs as, looked up in its files.

/// A resolved user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerUser {
    /// What was asked for, as text; empty where nothing was.
    pub asked: String,
    /// User inside.
    pub uid: u32,
    /// Group inside.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Home directory.
    pub home: String,
}
