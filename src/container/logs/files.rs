//! A log's files in the order in which they were written, while its writer may begin new ones.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::backwards::{BLOCK, Backwards};
use super::entry::{Format, Parser};
use super::{Selection, Tail, since};
use crate::container::monitor::log::{Stream, numbered};

/// Which file it is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity(u64, u64);

impl Identity {
    /// Device and inode.
    pub fn of(device: u64, inode: u64) -> Self {
        Self(device, inode)
    }
}

/// A file of a log.
#[derive(Debug)]
pub struct Part {
    /// The file.
    pub file: File,
    /// Which it is.
    pub identity: Identity,
}

impl Part {
    fn open(path: &Path) -> io::Result<Option<Self>> {
        // Opening a pipe that nobody writes to would wait for ever.
        let file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let metadata = file.metadata()?;
        Ok(metadata.is_file().then(|| Self { file, identity: Identity(metadata.dev(), metadata.ino()) }))
    }
}

/// All files of the log at `path`, oldest first.
pub fn parts(path: &Path, max_files: u32) -> io::Result<Vec<Part>> {
    let paths = std::iter::once(path.to_owned()).chain((1..max_files).map(|number| numbered(path, number)));
    let mut parts: Vec<Part> = Vec::new();
    // From the newest to the oldest: files move in this direction, so that none is missed, and some are met twice.
    for path in paths.collect::<Vec<PathBuf>>() {
        let Some(part) = Part::open(&path)? else { continue };
        if !parts.iter().any(|other| other.identity == part.identity) {
            parts.push(part);
        }
    }
    parts.reverse();
    Ok(parts)
}

/// Leaves in `parts` those in which the selection begins; the place in the first of them.
pub fn skip(parts: &mut Vec<Part>, format: Format, selection: &Selection) -> io::Result<u64> {
    let Tail::Lines(wanted) = selection.tail else {
        return selection.since.map_or(Ok(0), |time| since::skip(parts, format, time));
    };
    let mut search = Search { wanted, found: 0, open: [false; 2] };
    for index in (0..parts.len()).rev() {
        if let Some(start) = search.in_file(&parts[index].file, format, selection, BLOCK)? {
            parts.drain(..index);
            return Ok(start);
        }
    }
    Ok(0)
}

/// A search for the beginning of the last so many lines.
struct Search {
    wanted: u64,
    found: u64,
    /// Streams of which an end of a line was met: parts before it belong to that line.
    open: [bool; 2],
}

impl Search {
    /// Where the lines begin, if that is in this file.
    fn in_file(&mut self, file: &File, format: Format, selection: &Selection, block: usize) -> io::Result<Option<u64>> {
        let (mut lines, mut parser) = (Backwards::new(file, block)?, Parser::new(format));
        while let Some((start, line)) = lines.next()? {
            let end = start + line.len() as u64 + 1;
            let Some(entry) = parser.parse(&line) else { continue };
            if selection.is_too_late(entry.time) {
                continue;
            }
            let open = &mut self.open[usize::from(entry.stream == Stream::Error)];
            if entry.ends_line() || !*open {
                if self.found == self.wanted {
                    return Ok(Some(end));
                }
                self.found += 1;
                *open = true;
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn line(stream: &str, tag: &str, text: &str) -> String {
        format!("2026-11-22T18:52:06Z {stream} {tag} {text}\n")
    }

    fn tail(text: &str, wanted: u64, block: usize) -> String {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let mut search = Search { wanted, found: 0, open: [false; 2] };
        let start = search.in_file(&file, Format::K8s, &Selection::default(), block).unwrap().unwrap_or(0);
        text[start as usize..].to_owned()
    }

    #[test]
    fn every_count_at_every_block_size() {
        let lines: Vec<String> = (0..12).map(|n| line("stdout", "F", &"x".repeat(n * n))).collect();
        for block in [1, 7, 39, 40, 41, 64, 500, 5000] {
            for wanted in 0..14 {
                let expected = lines[lines.len().saturating_sub(wanted)..].concat();
                assert_eq!(tail(&lines.concat(), wanted as u64, block), expected, "{wanted} in blocks of {block}");
            }
        }
    }

    #[test]
    fn parts_of_a_line_count_as_one() {
        let lines = [
            line("stdout", "F", "1"),
            line("stdout", "P", "2a"),
            line("stdout", "P", "2b"),
            line("stdout", "F", "2c"),
            line("stdout", "P", "3, not ended"),
        ];
        let expected = |from: usize| lines[from..].concat();
        assert_eq!(tail(&lines.concat(), 1, 10), expected(4));
        assert_eq!(tail(&lines.concat(), 2, 10), expected(1));
        assert_eq!(tail(&lines.concat(), 3, 10), expected(0));
    }

    #[test]
    fn files_are_found_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        for (number, name) in ["log.2", "log.1", "log"].iter().enumerate() {
            std::fs::write(directory.path().join(name), "x".repeat(number)).unwrap();
        }
        let sizes =
            |max| parts(&path, max).unwrap().iter().map(|p| p.file.metadata().unwrap().len()).collect::<Vec<_>>();
        assert_eq!((sizes(3), sizes(2), sizes(1)), (vec![0, 1, 2], vec![1, 2], vec![2]));
    }
}
