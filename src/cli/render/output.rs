//! Standard output: the one place that writes to it.

use std::io::{ErrorKind, IsTerminal, Write};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::failure::{Failure, escape_control};

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
    match written.and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new("E_OUTPUT", format!("writing to standard output: {error}")))
        }
        _ => Ok(()),
    }
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
