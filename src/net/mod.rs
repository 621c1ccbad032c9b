//! The network of containers.

pub mod dns;
pub mod firewall;
pub mod holder;
pub mod ipam;
pub mod link;
pub mod netlink;
pub mod relay;
