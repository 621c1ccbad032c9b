//! The log of a detached container, in docker's `json-file` format: one JSON object a line with `log`, `stream`, `time`.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::rc::Rc;

/// The longest line that is kept in one entry, as docker's (16 KiB): a longer one becomes several.
const LINE_LIMIT: usize = 16 * 1024;

/// One stream of a container's log.
pub struct Log {
    file: Rc<RefCell<File>>,
    stream: &'static str,
    partial: Vec<u8>,
}

impl Log {
    /// The stream `stream` of the log in `file`.
    pub fn new(file: Rc<RefCell<File>>, stream: &'static str) -> Self {
        Self { file, stream, partial: Vec::new() }
    }

    /// Adds what the container wrote. A log that cannot be written to loses it: it must not stop the container.
    pub fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&b| b == b'\n') {
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.partial.len() >= LINE_LIMIT {
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        if self.partial.is_empty() {
            return;
        }
        let text = String::from_utf8_lossy(&self.partial);
        let time = jiff::Timestamp::now();
        let mut line =
            serde_json::json!({ "log": text, "stream": self.stream, "time": format!("{time:.9}") }).to_string();
        line.push('\n');
        let _ = self.file.borrow_mut().write_all(line.as_bytes());
        self.partial.clear();
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.flush();
    }
}
