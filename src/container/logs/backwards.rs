//! A file's lines from the last to the first, read in blocks: the end of a large log is found at once.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use memchr::memrchr;

/// Bytes read at a time.
pub const BLOCK: usize = 64 * 1024;

/// More than any entry has: what is longer is damage, and left out.
pub const LONGEST_LINE: usize = 1024 * 1024;

/// The lines of a file, last one first.
pub struct Backwards<'a> {
    file: &'a File,
    block: usize,
    /// Where the bytes in `buffer` begin in the file.
    start: u64,
    /// Read and not given yet: ends with a line feed.
    buffer: Vec<u8>,
}

impl<'a> Backwards<'a> {
    /// Those of `file`. What follows its last line feed is no line yet.
    pub fn new(file: &'a File, block: usize) -> io::Result<Self> {
        let start = file.metadata()?.len();
        let mut lines = Self { file, block, start, buffer: Vec::new() };
        lines.skip_torn()?;
        Ok(lines)
    }

    /// Goes back to a line feed.
    fn skip_torn(&mut self) -> io::Result<()> {
        loop {
            if let Some(at) = memrchr(b'\n', &self.buffer) {
                self.buffer.truncate(at + 1);
                return Ok(());
            }
            self.buffer.clear();
            if self.start == 0 {
                return Ok(());
            }
            self.read_more()?;
        }
    }

    /// The next line, without its line feed, and where it begins.
    pub fn next(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        loop {
            let Some(last) = self.buffer.len().checked_sub(1) else {
                if self.start == 0 {
                    return Ok(None);
                }
                self.read_more()?;
                continue;
            };
            let begin = memrchr(b'\n', &self.buffer[..last]).map(|at| at + 1).or((self.start == 0).then_some(0));
            let Some(begin) = begin else {
                if self.buffer.len() > LONGEST_LINE {
                    self.buffer.clear();
                    self.skip_torn()?;
                } else {
                    self.read_more()?;
                }
                continue;
            };
            let line = self.buffer[begin..last].to_vec();
            self.buffer.truncate(begin);
            return Ok(Some((self.start + begin as u64, line)));
        }
    }

    fn read_more(&mut self) -> io::Result<()> {
        let count = (self.block as u64).min(self.start) as usize;
        let mut block = vec![0; count];
        self.file.read_exact_at(&mut block, self.start - count as u64)?;
        self.start -= count as u64;
        block.append(&mut self.buffer);
        self.buffer = block;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn every_line_at_every_block_size() {
        for text in ["", "torn", "a\n", "\n", "\n\n", "a\nbb\n\nccc\n", "a\nbb\ntorn", "xxxxxxxxxxxxxxx\ny\n"] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let whole = text.rfind('\n').map_or("", |at| &text[..=at]);
            let expected: Vec<&str> = whole.lines().rev().collect();
            for block in 1..20 {
                let mut lines = Backwards::new(&file, block).unwrap();
                let mut seen = Vec::new();
                while let Some((start, line)) = lines.next().unwrap() {
                    assert!(text.as_bytes()[start as usize..].starts_with(&line), "{text:?} {block}");
                    seen.push(String::from_utf8(line).unwrap());
                }
                assert_eq!(seen, expected, "{text:?} in blocks of {block}");
            }
        }
    }

    #[test]
    fn what_is_too_long_is_left_out() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(format!("first\n{}\nlast\n", "x".repeat(3 * LONGEST_LINE)).as_bytes()).unwrap();
        let mut lines = Backwards::new(&file, BLOCK).unwrap();
        assert_eq!(lines.next().unwrap().unwrap().1, b"last");
        assert_eq!(lines.next().unwrap().unwrap().1, b"first");
        assert!(lines.next().unwrap().is_none());
    }
}
