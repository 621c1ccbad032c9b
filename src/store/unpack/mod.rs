//! Turning a layer's tar into files, in a process that sees nothing but the directory it fills (SECURITY: jailed parsers).
//!
//! ```text
//!   parent                                     jail ("coracle-unpack", the same program, cwd = the tree)
//!   start ------------------------------------> unshare user, mount, net, ipc
//!        <------------------ stdout: READY -----
//!   write /proc/PID/{uid,gid}_map
//!        -------- stdin: SINGLE or IDENTITY ---> pivot_root to the tree, no_new_privs, rlimits,
//!                                               Landlock, seccomp
//!        -------- stdin: tar ------------------> one entry after the other
//!        -------- stdin: end ------------------> modes and times of directories
//!        <------- stdout: manifest (JSON) ------ exit 0
//!        <------- stderr: {code, message} ------ exit 1, at any time
//! ```
//!
//! The parent hashes what it sends; the jail is not believed about that. Rules: image-spec "Image Layer Filesystem Changeset".

mod apply;
pub(crate) mod contents;
mod directories;
mod entry;
pub mod error;
pub(crate) mod header;
pub mod jail;
pub mod limits;
mod notes;
mod ownership;
pub(crate) mod pax;
mod role;
pub(crate) mod source;
mod sparse;

pub use role::role_main;

/// `argv[0]` of the process that unpacks.
pub const ROLE_NAME: &str = "coracle-unpack";

/// What the jail sends once it has its namespaces.
const READY: u8 = b'R';
/// What the parent answers: our own ids are 0, there are no others.
const SINGLE: u8 = b'S';
/// What the parent answers: all ids of the parent are there under their own numbers.
const IDENTITY: u8 = b'I';
