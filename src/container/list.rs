//! What a listing shows of a container.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::name::container::{ContainerId, ContainerName};
use crate::oci::digest::ImageId;

/// One container.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Identifier.
    pub id: ContainerId,
    /// Name.
    pub name: ContainerName,
    /// The image's name as it was found, or the directory of `--rootfs`.
    pub image: String,
    /// The image; absent for `--rootfs`.
    pub image_id: Option<ImageId>,
    /// Command and arguments, the entrypoint's included.
    pub command: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// What it is doing.
    pub status: Status,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Destinations of the mounts that the user asked for.
    pub mounts: Vec<String>,
    /// Whether it is removed when it exits.
    pub remove_at_exit: bool,
}

/// What a container is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It has not been started.
    Created,
    /// Its process runs.
    Running {
        /// Process id, outside, of the container's first process.
        pid: i32,
        /// When it was started.
        started: Timestamp,
    },
    /// Its process has ended.
    Exited {
        /// Exit code, or 128 and the signal's number.
        code: u8,
        /// When it was started.
        started: Timestamp,
        /// When it ended.
        finished: Timestamp,
    },
}

impl Status {
    /// podman's and docker's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running { .. } => "running",
            Self::Exited { .. } => "exited",
        }
    }
}
