//! `argv` to role to exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args_os().next().is_some_and(|role| role == coracle::store::unpack::ROLE_NAME) {
        return ExitCode::from(coracle::store::unpack::role_main());
    }
    ExitCode::SUCCESS
}
