//! coracle: rootless, single-user, daemonless containers.
//!
//! The floors, lowest first; a module uses only floors below its own (see ARCHITECTURE.md):
//!
//! | floor | modules | what they are |
//! |---|---|---|
//! | 0 | [`sys`], [`failure`] | system calls; how things fail |
//! | 1 | [`oci`], [`name`] | documents and parsed words; pure |
//! | 2 | [`state`], [`host`] | what outlives a process; what this machine can do |
//! | 3 | [`store`], [`volume`], [`registry`], [`rootfs`], [`identity`], [`cgroup`], [`net`], [`seccomp`], [`lsm`] | independent services |
//! | 4 | [`runtime`] | plan, fork, init, exec |
//! | 5 | [`image`], [`container`] | what users have names for |
//! | 6 | [`cli`] | parse and render |
#![deny(unsafe_code)]

pub mod cgroup;
pub mod cli;
pub mod container;
pub mod failure;
pub mod hello;
pub mod host;
pub mod identity;
pub mod image;
pub mod lsm;
pub mod name;
pub mod net;
pub mod oci;
pub mod registry;
pub mod role;
pub mod rootfs;
pub mod runtime;
pub mod seccomp;
pub mod secret;
pub mod state;
pub mod store;
pub mod sys;
pub mod volume;
