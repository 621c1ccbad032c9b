//! The real binary in real namespaces, as an unprivileged user: what a container sees, what it may do, what it leaves.
//! Nothing here is mocked; `tests/run` prepares what is needed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support/mod.rs"]
mod support;

mod environment;
mod events;
mod exit_codes;
mod filters;
mod hostile;
mod image_store;
mod images;
mod init;
mod lifecycle;
mod mounts;
mod namespaces;
mod proc_sys_dev;
mod process;
mod ps;
mod rename;
mod rootfs;
mod seccomp;
mod signals;
mod streams;
mod terminal;
mod user;
mod volumes;
mod wait;
mod workdir;
