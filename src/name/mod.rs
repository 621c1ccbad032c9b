//! Words that users type, parsed once, at the door. Pure: no I/O, no clock, no environment.

pub mod capability;
pub mod capability_change;
pub mod container;
pub mod reference;
pub mod user;
