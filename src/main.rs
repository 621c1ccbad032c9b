//! `argv` to exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    coracle::cli::main(std::env::args_os().collect())
}
