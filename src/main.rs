//! `argv` to role to exit code.

fn main() {}
