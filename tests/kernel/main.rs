//! The real binary in real namespaces, as an unprivileged user: what a container sees, what it may do, what it leaves.
//! Nothing here is mocked; `tests/run` prepares what is needed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[allow(dead_code, reason = "nothing here needs a registry that does everything wrong")]
#[path = "../support/faulty.rs"]
mod faulty;
#[path = "../support/registry.rs"]
mod registry;
#[path = "../support/mod.rs"]
mod support;

mod adversity;
mod applications;
mod archives;
mod archives_hostile;
mod commit;
mod configured;
mod containers_conf;
mod cp;
mod devices;
mod diff;
mod environment;
mod events;
mod exec;
mod exit_codes;
mod export;
mod fidelity;
mod filters;
mod freeze;
mod grammar;
mod health;
mod hooks;
mod hostile;
mod ids_calls;
mod ids_supervisor;
mod ids_together;
mod image_names;
mod image_store;
mod images;
mod init;
mod joining;
mod life;
mod lifecycle;
mod limits;
mod logs;
mod mount_types;
mod mounts;
mod named_volumes;
mod namespaces;
mod networks;
mod owners;
mod proc_sys_dev;
mod process;
mod ps;
mod races;
mod ready;
mod rename;
mod rootfs;
mod seccomp;
mod secrets;
mod service_manager;
mod shared_namespaces;
mod signals;
mod storage;
mod streams;
mod surroundings;
mod system;
mod terminal;
mod top;
mod unshare;
mod user;
mod user_network;
mod volume_files;
mod volumes;
mod wait;
mod workdir;
