//! The command line: parse and render.

pub mod render;
