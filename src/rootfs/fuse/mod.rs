//! The overlay file system of our own, served through FUSE: for hosts whose kernel does not let its own overlay be used.
//!
//! It has descriptors of the layers and of the upper and work directories, and nothing else. On disk it is the kernel's overlay
//! with `userxattr` (Documentation/filesystems/overlayfs.rst): whiteouts are character devices 0:0, opaque directories have
//! `user.overlay.opaque`, and directories of lower layers are not renamed (EXDEV). So either can serve what the other left.
//!
//! * What lower layers have never changes, and the upper one is changed through us alone as long as it is mounted: what the
//!   kernel has learnt stays valid until it changes it itself, and each directory is listed once.
//! * Every name is one component below a directory's descriptor, never followed; directories are opened with openat2(2) below
//!   their layer's root. Whoever changes the upper directory from outside gets odd files, but nothing elsewhere.
//! * There are no open files: the kernel is told so, keeps pages over opens, and names inodes. A file is copied up by its first
//!   change, not by being opened for one.
//!
//! One operation, one file; `dispatch` is the table of them.

mod attributes;
mod copy_up;
mod create;
mod data;
mod descriptors;
mod directory;
mod dispatch;
mod link;
mod lookup;
mod node;
mod overlay;
mod quota;
mod read_directory;
mod remove;
mod rename;
mod serve;
mod set_attributes;
mod statfs;
mod walk;
mod xattr;

pub use overlay::{Overlay, Parts};
pub use serve::{Order, ROLE_NAME, role_main};
pub use walk::Walked;
