//! Standard error: how failures are told.

use std::io::{IsTerminal, Write};
use std::path::Path;

use super::parse::UsageError;
use crate::failure::{Failure, escape_control};
use crate::host::env;

/// Prints `Error: what was tried: cause [CODE]`, and the hint on a line of its own.
pub fn report(failure: &Failure) {
    print(&failure.to_string(), failure.hint(), None);
}

/// Prints what is wrong with the command line, and how it is used.
pub fn report_usage(error: &UsageError) {
    if let Some(help) = &error.help {
        // Nothing better can be done about a standard output that cannot be written to.
        let _ = super::render::output::write(help);
    }
    print(&format!("{} [E_CONFIG]", escape_control(&error.message)), Some(&error.hint), error.usage.as_deref());
}

fn print(message: &str, hint: Option<&str>, usage: Option<&str>) {
    let stderr = std::io::stderr();
    let colour = stderr.is_terminal() && env::get(&env::NO_COLOR).is_none();
    let (bold, plain) = if colour { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    let mut text = format!("{bold}Error:{plain} {message}\n");
    if let Some(hint) = hint {
        text.push_str(&format!("hint: {}\n", escape_control(hint)));
    }
    if let Some(usage) = usage {
        text.push_str(&format!("{usage}\n"));
    }
    // There is nowhere left to complain about standard error.
    let _ = stderr.lock().write_all(text.as_bytes());
}

/// Prints `coracle: MESSAGE`: what happened, and was no failure of ours.
pub fn tell(message: &str) {
    let _ = writeln!(std::io::stderr().lock(), "coracle: {}", escape_control(message));
}

/// Prints a warning for each line, unless these are what the file `told` says was printed last.
pub fn warn_once(told: &Path, lines: &str) {
    if std::fs::read(told).is_ok_and(|before| before == lines.as_bytes()) {
        return;
    }
    lines.lines().for_each(warn);
    // It is told again if that cannot be noted.
    let _ = std::fs::write(told, lines);
}

/// Prints `Warning: MESSAGE`.
pub fn warn(message: &str) {
    let _ = writeln!(std::io::stderr().lock(), "Warning: {}", escape_control(message));
}
