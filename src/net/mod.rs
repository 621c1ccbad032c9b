//! Networks of containers: what is to be is a [`plan::NetworkPlan`], plain data; a [`helper`] of the host connects a network in
//! user mode; networks that have names are held by a process of their own ([`holder`]).

pub mod dns;
pub mod error;
pub mod firewall;
pub mod forwarder;
pub mod helper;
pub mod holder;
pub mod hosts;
pub mod ipam;
pub mod lease;
pub mod link;
pub mod named;
pub mod netlink;
pub mod plan;
pub mod ports;
pub mod privilege;
pub mod relay;
pub mod resolv_conf;
mod slirp_api;
pub mod slirp_ipv6;
