//! `argv` to role to exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    coracle::role::main(std::env::args_os().collect())
}
