//! Networks of containers: what is to be is a [`plan::NetworkPlan`], plain data. Networks that have names are held by a process
//! of their own ([`holder`]).

pub mod dns;
pub mod error;
pub mod firewall;
pub mod holder;
pub mod ipam;
pub mod lease;
pub mod link;
pub mod named;
pub mod netlink;
pub mod plan;
pub mod ports;
pub mod relay;
