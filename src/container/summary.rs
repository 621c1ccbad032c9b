//! What a listing shows of a container.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::list::Listed;
use super::published;
use super::size::Size;
use super::status;
use crate::name::container::{ContainerId, ContainerName};
use crate::oci::digest::ImageId;
use crate::state::schema::container as schema;

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
    /// How many times it was restarted by its policy.
    pub restarts: u32,
    /// What its health checks have shown: a word; none are made where absent.
    pub health: Option<String>,
    /// Whether something that serves it has died: it runs on, in part.
    pub is_degraded: bool,
    /// How much room it takes, where that was asked for.
    pub size: Option<Size>,
    /// Published and exposed ports.
    pub ports: Ports,
}

/// Ports of a container.
#[derive(Clone, Debug, Default)]
pub struct Ports {
    /// As a table shows them.
    pub column: String,
    /// The published ones in podman's JSON.
    pub items: serde_json::Value,
    /// The exposed ones, as `PORT/PROTOCOL`.
    pub exposed: Vec<String>,
}

/// What a container is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It has not been started yet.
    Created,
    /// It was made ready to be started.
    Initialized {
        /// Process id, outside, of the container's first process.
        pid: i32,
    },
    /// Its process runs.
    Running {
        /// Process id, outside, of the container's first process.
        pid: i32,
        /// When it was started.
        started: Timestamp,
    },
    /// Its process runs, and stands still.
    Paused {
        /// Process id, outside, of the container's first process.
        pid: i32,
        /// When it was started.
        started: Timestamp,
    },
    /// Its process has ended, and will be started again.
    Restarting,
    /// Its process has ended.
    Exited {
        /// Exit code, or 128 and the signal's number.
        code: u8,
        /// When it was started, if that is known.
        started: Option<Timestamp>,
        /// When it ended, if that is known.
        finished: Option<Timestamp>,
    },
}

impl Status {
    /// podman's and docker's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Initialized { .. } => "initialized",
            Self::Running { .. } => "running",
            Self::Paused { .. } => "paused",
            Self::Restarting => "restarting",
            Self::Exited { .. } => "exited",
        }
    }
}

impl Summary {
    /// That of a container that was listed.
    pub fn of(listed: &Listed) -> Self {
        let record = &listed.record;
        let directory = || record.rootfs.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        Self {
            id: record.id.clone(),
            name: record.name.clone(),
            image: record.image.as_ref().map_or_else(directory, |image| image.name.clone()),
            image_id: record.image.as_ref().map(|image| image.id.clone()),
            command: [record.process.entrypoint.as_slice(), &record.process.command].concat(),
            created: time(record.created),
            status: Status::of(listed),
            labels: record.labels.clone(),
            mounts: record.mounts.iter().map(|mount| mount.destination.clone()).collect(),
            remove_at_exit: record.remove_at_exit,
            restarts: listed.restarts(),
            health: listed.health.as_ref().map(|health| health.status.clone()),
            is_degraded: matches!(&listed.status, status::Status::Running(processes) if processes.degraded.is_some()),
            size: None,
            ports: Ports {
                column: published::column(&record.ports, listed.connection.as_ref()),
                items: published::items(listed.connection.as_ref()),
                exposed: published::exposed(&record.ports).collect(),
            },
        }
    }
}

impl Status {
    /// That of a container that was listed.
    pub fn of(listed: &Listed) -> Self {
        match &listed.status {
            status::Status::Created | status::Status::Creating => Self::Created,
            status::Status::Restarting(_) => Self::Restarting,
            status::Status::Initialized(processes) => Self::Initialized { pid: processes.init },
            status::Status::Running(processes) if listed.is_paused => {
                Self::Paused { pid: processes.init, started: time(processes.started) }
            }
            status::Status::Running(processes) => {
                Self::Running { pid: processes.init, started: time(processes.started) }
            }
            status::Status::Stopped(stopped) => Self::Exited {
                code: stopped.code,
                started: stopped.started.map(time),
                finished: stopped.finished.map(time),
            },
        }
    }
}

/// The numbers of a process's namespaces, as `/proc/PID/ns` has them; none of a process that is gone.
pub fn namespaces(pid: i32) -> BTreeMap<&'static str, String> {
    let number = |kind: &str| {
        let link = std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()?;
        Some(link.to_str()?.split_once('[')?.1.trim_end_matches(']').to_owned())
    };
    let kinds = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];
    kinds.into_iter().filter_map(|kind| Some((kind, number(kind)?))).collect()
}

/// A record's time. Any number of nanoseconds that fits 64 bits is a time.
pub fn time(time: schema::Timestamp) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(time.0)).unwrap_or(Timestamp::UNIX_EPOCH)
}
