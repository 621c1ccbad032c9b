//! Networks of containers: what is to be is a [`plan::NetworkPlan`], plain data.

pub mod error;
pub mod plan;
