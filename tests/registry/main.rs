//! Pulls from, and pushes to, a registry that does everything wrong, and from a real one (SECURITY.md 1d and 3.3).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/faulty.rs"]
mod faulty;
#[path = "../support/registry.rs"]
mod support;

mod auth;
mod documents;
mod layers;
mod policy;
mod push;
mod real;
mod real_push;
mod redirects;
mod resume;
mod shelf;
mod tls;
mod transfer;
