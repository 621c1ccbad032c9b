//! A log in files: appended to, and begun anew when it is long enough.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use memchr::{memchr, memchr_iter, memrchr};

use super::format::{Format, Frame};
use super::{Ending, Stream};
use crate::failure::Failure;
use crate::name::log_request::{LogDriver, LogRequest};
use crate::state::record;

/// A log file, and its predecessors beside it: `log.json.1` is the youngest.
pub struct LogFile {
    file: File,
    path: PathBuf,
    format: Format,
    /// Bytes in it.
    size: u64,
    max_size: Option<u64>,
    max_files: u32,
    /// Entries that could not be written.
    lost: u64,
    /// Entries that are still to be written.
    pending: Vec<u8>,
}

/// So many bytes are written at once: most that is read at once becomes one write, but very short lines take many times the room in
/// the log.
const WRITE_LIMIT: usize = 512 * 1024;

/// The longest entry: all of its text escaped.
const LONGEST_ENTRY: u64 = 6 * super::ENTRY_LIMIT as u64 + 256;

impl LogFile {
    /// Opens the log at `path`. What a monitor that was killed in the middle of an entry has left is cut off.
    pub fn open(path: &Path, request: &LogRequest) -> Result<Self, Failure> {
        let failed = |cause: io::Error| {
            Failure::new(record::io_code(&cause), format!("opening the log {}: {cause}", path.display()))
        };
        // That of a path that was named must be there: a typing error is not to make one.
        if let (None, Some(_), Some(directory)) = (&request.path, &request.directory, path.parent()) {
            std::fs::create_dir_all(directory).map_err(failed)?;
        }
        // Opening a pipe that nobody reads would wait for ever.
        let mut options = options();
        let mut file = options.read(true).create(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(Failure::new("E_CONFIG", format!("the log {} is not a regular file", path.display()))
                .with_hint("name a file with --log-opt path=FILE"));
        }
        let size = without_torn_entry(&mut file, metadata.len()).map_err(failed)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            format: if request.driver == LogDriver::K8sFile { Format::K8s } else { Format::Json },
            size,
            max_size: request.max_size,
            max_files: request.max_files.unwrap_or(1),
            lost: 0,
            pending: Vec::new(),
        })
    }

    /// What entries that were read at `time` have in common.
    pub fn frame(&self, stream: Stream, time: Timestamp) -> Frame {
        Frame::new(self.format, stream, time)
    }

    /// Adds an entry; it may be in the file only after [`LogFile::flush`].
    pub fn add(&mut self, frame: &Frame, text: &[u8], ending: Ending) {
        frame.encode(&mut self.pending, text, ending);
        if self.pending.len() >= WRITE_LIMIT {
            self.flush();
        }
    }

    /// Writes all entries.
    pub fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let mut entries = std::mem::take(&mut self.pending);
        if self.tell_loss() {
            self.write(&entries);
        } else {
            self.lost += count(&entries);
        }
        entries.clear();
        self.pending = entries;
    }

    /// Gives back the memory of entries.
    pub fn rest(&mut self) {
        self.pending.shrink_to_fit();
    }

    fn write(&mut self, entries: &[u8]) {
        let mut rest = entries;
        while !rest.is_empty() {
            if self.is_full() {
                // Where that fails the file grows on: better than to lose entries.
                let _ = self.rotate();
            }
            let (part, others) = rest.split_at(self.fitting(rest));
            self.append(part);
            rest = others;
        }
    }

    fn is_full(&self) -> bool {
        self.max_size.is_some_and(|max_size| self.size >= max_size)
    }

    /// The length of the entries up to the one with which the file is full.
    fn fitting(&self, bytes: &[u8]) -> usize {
        let room = self.max_size.and_then(|max_size| max_size.checked_sub(self.size)).filter(|&room| room > 0);
        let Some(room) = room.and_then(|room| usize::try_from(room).ok()).filter(|&room| room < bytes.len()) else {
            return bytes.len();
        };
        memchr(b'\n', &bytes[room - 1..]).map_or(bytes.len(), |at| room + at)
    }

    fn append(&mut self, bytes: &[u8]) {
        let mut written = 0;
        while written < bytes.len() {
            match self.file.write(&bytes[written..]) {
                Ok(0) => break,
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let whole =
            if written == bytes.len() { written } else { memrchr(b'\n', &bytes[..written]).map_or(0, |at| at + 1) };
        self.lost += count(&bytes[whole..]);
        self.size += whole as u64;
        if whole < written {
            let _ = self.file.set_len(self.size);
        }
    }

    /// Says how many entries were lost, if any were; false if that cannot be written either.
    fn tell_loss(&mut self) -> bool {
        if self.lost == 0 {
            return true;
        }
        let lost = std::mem::take(&mut self.lost);
        let text = format!("coracle: {lost} lines of this log could not be written and are lost");
        let mut bytes = Vec::new();
        self.frame(Stream::Error, Timestamp::now()).encode(&mut bytes, text.as_bytes(), Ending::Line);
        self.append(&bytes);
        let told = self.lost == 0;
        if !told {
            self.lost = lost;
        }
        told
    }

    fn rotate(&mut self) -> io::Result<()> {
        // Made first: where that is impossible nothing is moved.
        let next = suffixed(&self.path, "new");
        let file = options().create(true).open(&next)?;
        file.set_len(0)?;
        // A reader that has the only file open still has all of it.
        if self.max_files > 1 {
            for number in (1..self.max_files - 1).rev() {
                move_if_there(&numbered(&self.path, number), &numbered(&self.path, number + 1))?;
            }
            move_if_there(&self.path, &numbered(&self.path, 1))?;
        }
        fs::rename(&next, &self.path)?;
        self.file = file;
        self.size = 0;
        Ok(())
    }
}

impl Drop for LogFile {
    fn drop(&mut self) {
        self.tell_loss();
    }
}

/// How many entries: each ends with its only line feed.
fn count(entries: &[u8]) -> u64 {
    memchr_iter(b'\n', entries).count() as u64
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.append(true).mode(0o600);
    options
}

/// The name of a log's predecessor.
pub fn numbered(path: &Path, number: u32) -> PathBuf {
    suffixed(path, &number.to_string())
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

fn move_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Cuts off what follows the last line feed; the size that is left.
fn without_torn_entry(file: &mut File, size: u64) -> io::Result<u64> {
    let start = size.saturating_sub(LONGEST_ENTRY);
    let mut end = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    file.take(LONGEST_ENTRY).read_to_end(&mut end)?;
    let whole = match memrchr(b'\n', &end) {
        Some(at) => start + at as u64 + 1,
        None if start == 0 => 0,
        // Not something that we have written.
        None => size,
    };
    if whole < size {
        file.set_len(whole)?;
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(log: &mut LogFile, text: &str) {
        let frame = log.frame(Stream::Output, Timestamp::UNIX_EPOCH);
        for line in text.lines() {
            log.add(&frame, line.as_bytes(), Ending::Line);
        }
        log.flush();
    }

    fn request(max_size: u64, max_files: u32) -> LogRequest {
        LogRequest {
            driver: LogDriver::K8sFile,
            max_size: Some(max_size),
            max_files: Some(max_files),
            ..LogRequest::default()
        }
    }

    fn texts(path: &Path) -> String {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| line.rsplit(' ').next().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_full_file_becomes_a_predecessor() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut log = LogFile::open(&path, &request(80, 3)).unwrap();
        // One entry has about forty bytes: two fill a file.
        write(&mut log, "1\n2\n3\n4\n5\n6\n7\n8\n9");
        assert_eq!(texts(&path), "9");
        assert_eq!((texts(&numbered(&path, 1)), texts(&numbered(&path, 2))), ("7 8".into(), "5 6".into()));
        assert!(!numbered(&path, 3).exists());
    }

    #[test]
    fn one_file_is_begun_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut log = LogFile::open(&path, &request(80, 1)).unwrap();
        write(&mut log, "1\n2\n3");
        assert_eq!(texts(&path), "3");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn where_no_file_can_be_made_none_is_lost() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut log = LogFile::open(&path, &request(80, 3)).unwrap();
        fs::create_dir(suffixed(&path, "new")).unwrap();
        write(&mut log, "1\n2\n3\n4");
        write(&mut log, "5");
        assert_eq!(texts(&path), "1 2 3 4 5");
        fs::remove_dir(suffixed(&path, "new")).unwrap();
        write(&mut log, "6");
        assert_eq!((texts(&numbered(&path, 1)), texts(&path)), ("1 2 3 4 5".into(), "6".into()));
    }

    #[test]
    fn what_was_torn_is_cut_off() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        for (before, after) in [("", ""), ("torn", ""), ("whole\ntorn", "whole\n"), ("whole\n", "whole\n")] {
            fs::write(&path, before).unwrap();
            drop(LogFile::open(&path, &request(1000, 1)).unwrap());
            assert_eq!(fs::read_to_string(&path).unwrap(), after);
        }
    }

    #[test]
    fn losses_are_counted_and_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut log = LogFile::open(&path, &request(1_000_000, 1)).unwrap();
        let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
        let good = std::mem::replace(&mut log.file, full());
        write(&mut log, "a\nb");
        write(&mut log, "c");
        assert_eq!(log.lost, 3);
        log.file = good;
        write(&mut log, "d");
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines.len() == 2 && lines[0].contains("stderr F coracle: 3 lines") && lines[1].ends_with("F d"),
            "{text}"
        );
        assert_eq!(log.lost, 0);
    }

    #[test]
    fn a_log_is_a_regular_file() {
        assert!(LogFile::open(Path::new("/dev/null"), &request(1, 1)).is_err());
        assert!(LogFile::open(Path::new("/no/such/directory/log"), &request(1, 1)).is_err());
    }
}
