//! The resolver of a network: its members' names and addresses from memory, everything else from the name servers of the host.

pub mod forward;
pub mod serve;
pub mod zone;
