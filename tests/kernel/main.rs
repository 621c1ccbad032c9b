//! The real binary in real namespaces, as an unprivileged user: what a container sees, what it may do, what it leaves.
//! Nothing here is mocked; `tests/run` prepares what is needed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support/mod.rs"]
mod support;

mod environment;
mod exit_codes;
mod hostile;
mod image_store;
mod images;
mod init;
mod lifecycle;
mod logs;
mod mounts;
mod namespaces;
mod proc_sys_dev;
mod process;
mod rootfs;
mod seccomp;
mod signals;
mod streams;
mod terminal;
mod user;
mod volumes;
mod workdir;
