//! What is kept in memory until a layer is complete: what the tree cannot hold (yet).

use std::collections::BTreeMap;

use super::error::UnpackError;
use super::limits;
use crate::state::schema::layer::{LayerManifest, LayerPath, Ownership, PathCapability, PathOwnership};

/// What is noted of one path.
#[derive(Clone, Debug, Default)]
pub struct Note {
    /// Mode and modification time that a directory gets at the end.
    pub directory: Option<DirectoryEnd>,
    /// Owner that no extended attribute holds.
    pub owner: Option<Ownership>,
    /// File capabilities.
    pub capability: Option<Box<[u8]>>,
    /// Whether it is an opaque directory and no extended attribute says so.
    pub opaque: bool,
}

/// How a directory is to look in the end. Until then it lets its owner in, and its time changes with every file in it.
#[derive(Clone, Copy, Debug)]
pub struct DirectoryEnd {
    /// Permission bits.
    pub mode: u32,
    /// Modification time: seconds and nanoseconds.
    pub mtime: Option<(i64, i64)>,
}

/// Notes by path, the root's under the empty one.
#[derive(Debug, Default)]
pub struct Notes {
    notes: BTreeMap<Box<[u8]>, Note>,
    size: usize,
}

/// About what one note takes beside its path.
const NOTE_SIZE: usize = size_of::<Note>() + 64;

impl Notes {
    /// The note of `path`, a new one if there is none.
    pub fn of(&mut self, path: &[u8]) -> Result<&mut Note, UnpackError> {
        if !self.notes.contains_key(path) {
            self.size += NOTE_SIZE + path.len();
            if self.size > limits::KEPT {
                let limit = format!("{} bytes of memory", limits::KEPT);
                return Err(UnpackError::Limit { what: "what has to be kept of directories and links".into(), limit });
            }
        }
        Ok(self.notes.entry(path.into()).or_default())
    }

    /// The note of `path`, if there is one.
    pub fn get(&self, path: &[u8]) -> Option<&Note> {
        self.notes.get(path)
    }

    /// Forgets `path` and everything below it: something else takes its place.
    pub fn forget(&mut self, path: &[u8]) {
        // '0' follows '/' in ASCII: between the two is all that begins with `path/`.
        let bounds = [[path, b"/"].concat(), [path, b"0"].concat()].map(Vec::into_boxed_slice);
        let [from, to] = bounds;
        let mut gone: Vec<Box<[u8]>> = self.notes.range(from..to).map(|(path, _)| path.clone()).collect();
        gone.push(path.into());
        for path in gone {
            if self.notes.remove(&path).is_some() {
                self.size -= NOTE_SIZE + path.len();
            }
        }
    }

    /// Directories and how they are to look, the deepest first.
    pub fn directories(&self) -> impl Iterator<Item = (&[u8], DirectoryEnd)> {
        self.notes.iter().rev().filter_map(|(path, note)| Some((&**path, note.directory?)))
    }

    /// Adds to `manifest` what is for it.
    pub fn write_to(&self, manifest: &mut LayerManifest) {
        for (path, note) in &self.notes {
            let path = LayerPath::new(path);
            if let Some(ownership) = note.owner {
                manifest.owners.push(PathOwnership { path: path.clone(), ownership });
            }
            if let Some(value) = &note.capability {
                let value = value.iter().map(|byte| format!("{byte:02x}")).collect();
                manifest.capabilities.push(PathCapability { path: path.clone(), value });
            }
            if note.opaque {
                manifest.opaque.push(path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_replaced_is_forgotten_with_all_below_it_and_nothing_else() {
        let mut notes = Notes::default();
        for path in ["", "a", "a/b", "a/b/c", "a-", "a.b", "a0", "ab", "b"] {
            notes.of(path.as_bytes()).unwrap().directory = Some(DirectoryEnd { mode: 0, mtime: None });
        }
        notes.forget(b"a");
        let left: Vec<&[u8]> = notes.directories().map(|(path, _)| path).collect();
        assert_eq!(left, [&b"b"[..], b"ab", b"a0", b"a.b", b"a-", b""]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut notes = Notes::default();
        let mut path = vec![b'x'; limits::PATH];
        let refused = (0_u32..).find(|number| {
            path[..4].copy_from_slice(&number.to_be_bytes());
            notes.of(&path).is_err()
        });
        assert!(refused.unwrap() as usize * limits::PATH < limits::KEPT);
    }
}
