//! `containers/ID/owners` and `volumes/NAME/owners`: owners of files that cannot carry their owner themselves.
//!
//! Symbolic links, named pipes and sockets have no extended attributes of users. What a container whose ids are emulated
//! gives to somebody else than 0:0 is therefore written into this journal, by one append for each change:
//!
//! ```text
//! v1 INODE SECONDS.NANOSECONDS UID:GID:MODE:KIND PATH
//! ```
//!
//! The inode's number and its birth time are what statx(2) says of the file in the container: together they survive every
//! rename and are not given to another file. For a file that the container has made they are those of the file in its upper
//! directory; for one of a layer, which is copied up before it is recorded, overlayfs goes on to show the number of the
//! layer's file, and `PATH`, where the file was found in the container, is the way to it. The last line about a file counts,
//! also one that gives it back to 0:0: without any, a file is the image's or the container's user's. What is no such line, as
//! the last one after a crash, says nothing.

use std::collections::HashMap;

use super::layer::{LayerPath, Ownership};
use super::stamp::{parse_stamp, stamp};

/// What tells a file from all others of its file system, those that were there before included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileKey {
    /// `stx_ino`.
    pub inode: u64,
    /// `stx_btime`: seconds and nanoseconds; zeroes where the file system has none.
    pub born: (i64, u32),
}

/// The owner of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerEntry {
    /// The file.
    pub file: FileKey,
    /// Its owner, mode and kind.
    pub ownership: Ownership,
    /// Where it was found, relative to the root of the container or volume.
    pub path: LayerPath,
}

impl OwnerEntry {
    /// The line that says so, with its end.
    pub fn line(&self) -> String {
        let FileKey { inode, born: (seconds, nanoseconds) } = self.file;
        let path = self.path.to_string().replace('\n', "%0a");
        format!("v1 {inode} {seconds}.{nanoseconds:09} {} {path}\n", stamp(self.ownership))
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.strip_prefix("v1 ")?.splitn(4, ' ');
        let inode = fields.next()?.parse().ok()?;
        let (seconds, nanoseconds) = fields.next()?.split_once('.')?;
        let born = (seconds.parse().ok()?, nanoseconds.parse().ok()?);
        let ownership = parse_stamp(fields.next()?.as_bytes())?;
        let path = LayerPath::unescape(fields.next()?)?;
        Some(Self { file: FileKey { inode, born }, ownership, path })
    }
}

/// What a journal says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    owners: HashMap<FileKey, Ownership>,
    /// What was last found at a path.
    paths: HashMap<LayerPath, FileKey>,
}

impl Owners {
    /// The owners in a journal of these bytes.
    pub fn parse(journal: &[u8]) -> Self {
        let mut owners = Self::default();
        let lines = journal.split_inclusive(|&byte| byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"));
        for entry in lines.filter_map(|line| OwnerEntry::parse(std::str::from_utf8(line).ok()?)) {
            owners.note(entry);
        }
        owners
    }

    /// Takes in one more entry.
    pub fn note(&mut self, entry: OwnerEntry) {
        let OwnerEntry { file, ownership, path } = entry;
        self.owners.insert(file, ownership);
        self.paths.insert(path, file);
    }

    /// The owner of a file as the container sees it.
    pub fn of(&self, file: FileKey) -> Option<Ownership> {
        self.owners.get(&file).copied()
    }

    /// The owner of a file of the upper directory, looked at from outside of the container: one that was copied up has
    /// another number there, and is known by its birth and its place. Where the container saw no birth, as through FUSE, it is
    /// known by its place alone.
    pub fn of_upper(&self, file: FileKey, path: &[u8]) -> Option<Ownership> {
        let is_it = |at: &&FileKey| at.born == file.born || at.born == (0, 0);
        let at_path = || self.paths.get(path).filter(is_it).and_then(|&at| self.of(at));
        self.of(file).or_else(at_path)
    }

    /// All of them, in no order.
    pub fn all(&self) -> impl Iterator<Item = (FileKey, Ownership)> {
        self.owners.iter().map(|(&file, &ownership)| (file, ownership))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::schema::layer::FileKind;

    fn entry(inode: u64, uid: u32, path: &[u8]) -> OwnerEntry {
        let ownership = Ownership { uid, gid: uid, mode: 0o777, kind: FileKind::Symlink };
        OwnerEntry { file: FileKey { inode, born: (1_700_000_000, 5) }, ownership, path: LayerPath::new(path) }
    }

    #[test]
    fn what_is_written_is_read() {
        let entries = [entry(1, 33, b"etc/a b%\nc\xff"), entry(2, 42, b"x"), entry(1, 34, b"y"), entry(2, 0, b"x")];
        let text: String = entries.iter().map(OwnerEntry::line).collect();
        assert_eq!(text.lines().count(), 4);
        let owners = Owners::parse(text.as_bytes());
        assert_eq!(owners.of(entries[0].file).map(|of| of.uid), Some(34), "the last one counts");
        assert_eq!(owners.of(entries[1].file).map(|of| of.uid), Some(0), "given back to 0:0");
        let copied_up = FileKey { inode: 77, ..entries[0].file };
        assert_eq!((owners.of(copied_up), owners.of_upper(copied_up, b"y").is_some()), (None, true));
    }

    #[test]
    fn what_is_no_entry_says_nothing() {
        let line = entry(1, 33, b"p").line();
        for text in ["", "v1", "v2 1 1.0 1:1:0777:symlink p\n", "v1 x 1.0 1:1:0777:symlink p\n", line.trim_end()] {
            assert!(Owners::parse(text.as_bytes()).is_empty(), "{text}");
        }
        assert!(!Owners::parse(format!("junk\n{line}v1 1 1.0 1:1:0777:sym").as_bytes()).is_empty());
    }
}
