//! The runtime: a [`blueprint::Blueprint`] becomes a [`plan::LaunchPlan`], pure data; [`spawn`] forks and [`init`] executes
//! the plan in the child. What a plan says is decided before the fork; the child only does it and reports
//! `(step, errno)`.

pub mod blueprint;
pub mod copy_mount;
pub mod copy_up;
pub mod fuse_mount;
pub mod init;
pub mod launch_error;
pub mod overlay_mount;
pub mod own_program;
pub mod plan;
pub mod probe;
pub mod reaper;
pub mod spawn;
pub mod step;
pub mod sync;
pub mod unshare;
