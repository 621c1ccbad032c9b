//! The command line: parse and render. One file per command: what it takes, the help that comes from it, how that
//! becomes a request, and how the report becomes text.

pub mod attach;
pub mod check;
pub mod commit;
pub mod complete;
pub mod completion;
mod configuration;
pub mod cp;
pub mod create;
pub mod df;
pub mod diff;
mod dispatch;
mod error;
pub mod events;
pub mod exec;
pub mod exists;
pub mod export;
pub mod freeze;
pub mod healthcheck;
pub mod history;
pub mod image_mount;
pub mod image_tree;
pub mod images;
pub mod import;
pub mod info;
pub mod inspect;
pub mod load;
pub mod log_flags;
pub mod login;
pub mod logout;
pub mod logs;
pub mod manifest;
pub mod manual;
pub mod mount;
mod named;
pub mod network;
mod parse;
pub mod port;
mod prompt;
pub mod prune;
pub mod ps;
pub mod pull;
pub mod push;
mod rare;
pub mod registry_flags;
pub mod rename;
pub mod render;
pub mod rm;
pub mod rmi;
pub mod run;
pub mod save;
pub mod scp;
pub mod search;
pub mod secret;
pub mod selection;
pub mod start;
pub mod stats;
pub mod stop;
pub mod tag;
pub mod top;
pub mod tree;
pub mod unshare;
pub mod update;
pub mod version;
pub mod volume;
pub mod wait;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the command that `argv` names, the program's name included, and reports how it went.
pub fn main(argv: Vec<OsString>) -> ExitCode {
    let code = match parse::parse(&argv) {
        Ok(parse::Parsed::Verb { verb, matches, globals }) => {
            let done = configuration::prepare(&globals.module).and_then(|()| (verb.execute)(&matches, &globals));
            done.unwrap_or_else(|failure| {
                error::report(&failure);
                failure.exit_code()
            })
        }
        Ok(parse::Parsed::Text(text)) => render::output::write(&text).map_or_else(
            |failure| {
                error::report(&failure);
                failure.exit_code()
            },
            |()| 0,
        ),
        Err(refused) => {
            error::report_usage(&refused);
            crate::failure::EXIT_OWN_FAILURE
        }
    };
    ExitCode::from(code)
}
