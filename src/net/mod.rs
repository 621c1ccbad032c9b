//! Networks of containers: what is to be is a [`plan::NetworkPlan`], plain data; a [`helper`] of the host connects a network in
//! user mode.

pub mod error;
pub mod helper;
pub mod hosts;
pub mod plan;
pub mod ports;
pub mod resolv_conf;
mod slirp_api;
