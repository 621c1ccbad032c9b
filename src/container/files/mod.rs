//! Files of containers, from outside: whoever touches them is a process that cannot leave the container's root, and what
//! crosses its border is a tar in a pipe.
//!
//! ```text
//!   command                                  visitor ("coracle-visit", a fork)
//!   fork ----------------------------------> running: joins user and mount namespace of the container
//!                                            stopped: mounts its root in namespaces of its own, and enters it
//!        <====== data: tar, one way =======>
//!        <------ report: result or failure - exit
//! ```

pub mod changes;
pub mod compare;
pub mod made;
pub mod pack;
pub mod recorded;
pub mod tar_writer;
pub mod trees;
pub mod unpack;
pub mod visit;
