//! Control groups of containers: the ladder of places where they can be made, and what is done with them there.

pub mod dbus;
pub mod draft;
pub mod error;
pub mod group;
pub mod settings;
pub mod systemd;
pub mod usage;
