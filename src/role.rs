//! Which of the programs in this binary is meant: by the name it was started under.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use crate::image::hello;
use crate::rootfs::fuse;
use crate::seccomp::parser_filter;
use crate::seccomp::table::Arch;
use crate::store::unpack;

/// Becomes the program that `argv` names.
pub fn main(argv: Vec<OsString>) -> ExitCode {
    let name = argv.first().and_then(|name| Path::new(name).file_name()).and_then(OsStr::to_str);
    match name {
        Some(unpack::ROLE_NAME) => ExitCode::from(unpack_layer()),
        Some(fuse::ROLE_NAME) => ExitCode::from(fuse::role_main()),
        Some(hello::PROGRAM) => ExitCode::from(crate::hello::role_main()),
        _ => crate::cli::main(argv),
    }
}

/// Composed here, because the store does not know of seccomp.
fn unpack_layer() -> u8 {
    unpack::role_main(parser_filter(Arch::NATIVE, std::process::id()).instructions())
}
