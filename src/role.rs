//! Which of the programs in this binary is meant: by `argv[0]`.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::store::unpack;

/// Becomes the program that `argv` names.
pub fn main(argv: Vec<OsString>) -> ExitCode {
    match argv.first() {
        Some(name) if name == unpack::ROLE_NAME => ExitCode::from(unpack::role_main()),
        _ => crate::cli::main(argv),
    }
}
