//! Which ids a container has, and what they are outside.
//!
//! A user without a range of ids has one to give. Whoever else there is in a container is then virtual: [`credentials`] says what
//! becomes of a process's ids, [`ownership`] what becomes of a file's, [`table`] how processes carry theirs, and [`supervisor`]
//! answers the system calls in which they show. [`keeper`] is the monitor's side of that.

pub mod choice;
pub mod credentials;
pub mod keeper;
pub mod map;
pub mod ownership;
pub mod passwd;
pub mod supervisor;
pub mod table;
