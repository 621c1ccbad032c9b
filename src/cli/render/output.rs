//! Standard output: the one place that writes to it.

use std::io::{ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::failure::{Failure, escape_control};

/// Clears a terminal's screen (console_codes(4)), for a table that is shown anew.
pub fn clear_screen() -> Result<(), Failure> {
    told(std::io::stdout().lock().write_all(b"\x1b[H\x1b[2J"))
}

/// Writes `text` to standard output. A reader that has gone away is a quiet success.
///
/// Reports carry strings of images and registries; on a terminal their control characters are shown as escapes, because
/// there they could drive it. A pipe gets the bytes as they are.
pub fn write(text: &str) -> Result<(), Failure> {
    let stdout = std::io::stdout();
    let is_terminal = stdout.is_terminal();
    let mut stdout = stdout.lock();
    let written =
        if is_terminal { stdout.write_all(escape_lines(text).as_bytes()) } else { stdout.write_all(text.as_bytes()) };
    told(written.and_then(|()| stdout.flush()))
}

fn told(written: std::io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new("E_OUTPUT", format!("writing to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// The same in place of what is on a terminal; what is no terminal gets one text after the other.
pub fn replace_screen(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    if stdout.is_terminal() {
        // Cursor home, erase the display (ECMA-48): a terminal that is gone is noticed by the next write.
        let _ = stdout.write_all(b"\x1b[H\x1b[2J");
    }
    drop(stdout);
    write(text)
}

/// Waits, and tells whether meanwhile nobody was left who could read what is written.
pub fn reader_leaves_within(time: Duration) -> bool {
    let stdout = std::io::stdout();
    let limit = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
    poll(&mut [PollFd::new(stdout.as_fd(), PollFlags::empty())], limit).is_ok_and(|ready| ready > 0)
}

/// Who reads what a command writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reader {
    /// That of standard output.
    Output,
    /// That of standard error.
    Errors,
}

/// Writes bytes as they are, for commands that pass on what a container wrote. False if the reader has gone away.
pub fn write_bytes(reader: Reader, mut bytes: &[u8]) -> Result<bool, Failure> {
    let fd = crate::sys::process::standard_fd(if reader == Reader::Output { 1 } else { 2 });
    while !bytes.is_empty() {
        match nix::unistd::write(fd, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::EINTR) => {}
            // Whoever shares the descriptor may have made it non-blocking.
            Err(Errno::EAGAIN) => {
                let _ = poll(&mut [PollFd::new(fd, PollFlags::POLLOUT)], PollTimeout::NONE);
            }
            Err(Errno::EPIPE) => return Ok(false),
            Err(errno) => return Err(Failure::new("E_OUTPUT", format!("writing what the container wrote: {errno}"))),
        }
    }
    Ok(true)
}

/// `text` with its control characters escaped, line feeds and tabs excepted.
fn escape_lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for piece in text.split_inclusive(['\n', '\t']) {
        match piece.strip_suffix(['\n', '\t']) {
            Some(line) => {
                out.push_str(&escape_control(line));
                out.push_str(&piece[line.len()..]);
            }
            None => out.push_str(&escape_control(piece)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_layout_survives() {
        assert_eq!(escape_lines("a\tb\x1b[2J\r\nc\u{202e}"), "a\tb\\u{1b}[2J\\r\nc\\u{202e}");
    }
}
