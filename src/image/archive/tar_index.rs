//! Where the files of an uncompressed tar are: one scan of its headers, contents are jumped over.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::fs::File;

use super::error::ArchiveError;
use crate::store::unpack::error::UnpackError;
use crate::store::unpack::header::{Entries, Entry, Kind};
use crate::store::unpack::limits::Limits;

/// Files that are kept in mind. An archive has a few for each layer.
const MAX_FILES: usize = 100_000;
/// Longest name that is kept, in bytes: manifests name nothing longer.
const MAX_NAME: usize = 512;
/// Links from one to the next. Docker's have one.
const MAX_HOPS: usize = 8;

/// Where contents are in the tar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// Of the first byte.
    pub(super) start: u64,
    /// Bytes.
    pub(super) size: u64,
}

#[derive(Debug)]
enum Named {
    File(Extent),
    /// The name that a link leads to; absent if it leads out.
    Link(Option<String>),
}

/// The files of a tar by their names.
#[derive(Debug)]
pub(super) struct TarIndex {
    named: HashMap<String, Named>,
}

impl TarIndex {
    /// Scans the headers of `file`, which is at its beginning.
    pub(super) fn scan(file: &File) -> Result<Self, ArchiveError> {
        let length = file.metadata().map_err(|error| ArchiveError::io("looking at", "the archive", error))?.len();
        let limits = Limits { bytes: u64::MAX, entries: 4 * MAX_FILES as u64 };
        let mut entries = Entries::new(file, &limits);
        let mut index = Self { named: HashMap::new() };
        while let Some(entry) = entries.next().map_err(ArchiveError::Tar)? {
            let extent = Extent { start: entries.source().offset(), size: entry.size };
            if extent.start.checked_add(extent.size).is_none_or(|end| end > length) {
                let reason = "it ends within a file";
                return Err(ArchiveError::Tar(UnpackError::Format { offset: extent.start, reason }));
            }
            entries.source().skip(entry.size).map_err(ArchiveError::Tar)?;
            index.add(&entry, extent)?;
        }
        Ok(index)
    }

    fn add(&mut self, entry: &Entry, extent: Extent) -> Result<(), ArchiveError> {
        // What has no ordinary name cannot be meant by a manifest.
        let Some(name) = std::str::from_utf8(&entry.name).ok().and_then(|name| resolve("", name)) else {
            return Ok(());
        };
        let named = match entry.kind {
            Kind::File => Named::File(extent),
            Kind::HardLink => Named::Link(target(&entry.link, "")),
            Kind::Symlink => Named::Link(target(&entry.link, parent(&name)).filter(|_| !entry.link.starts_with(b"/"))),
            _ => return Ok(()),
        };
        if name.len() > MAX_NAME {
            return Ok(());
        }
        if self.named.len() == MAX_FILES {
            return Err(ArchiveError::TooManyFiles(MAX_FILES));
        }
        match self.named.entry(name) {
            Slot::Vacant(slot) => drop(slot.insert(named)),
            Slot::Occupied(slot) => return Err(ArchiveError::Twice(slot.key().clone())),
        }
        Ok(())
    }

    /// The file of this name, wherever links lead. Nothing if there is none.
    pub(super) fn find(&self, name: &str) -> Result<Option<Extent>, ArchiveError> {
        let Some(mut current) = resolve("", name) else { return Err(ArchiveError::Link(name.into())) };
        for _ in 0..=MAX_HOPS {
            match self.named.get(&current) {
                Some(Named::File(extent)) => return Ok(Some(*extent)),
                Some(Named::Link(Some(next))) => current.clone_from(next),
                Some(Named::Link(None)) => return Err(ArchiveError::Link(name.into())),
                None if current == name => return Ok(None),
                None => return Err(ArchiveError::Link(name.into())),
            }
        }
        Err(ArchiveError::Link(name.into()))
    }
}

fn target(link: &[u8], from: &str) -> Option<String> {
    resolve(from, std::str::from_utf8(link).ok()?).filter(|target| target.len() <= MAX_NAME)
}

/// `path` as seen from the directory `from`, in plain components; nothing if it leads out.
fn resolve(from: &str, path: &str) -> Option<String> {
    let mut components: Vec<&str> = from.split('/').filter(|component| !component.is_empty()).collect();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(components.pop()?),
            other => components.push(other),
        }
    }
    (!components.is_empty()).then(|| components.join("/"))
}

fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(parent, _)| parent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, Write};
    use tar::{Builder, EntryType, Header};

    fn add(tar: &mut Builder<Vec<u8>>, kind: EntryType, name: &str, link: &str, content: &[u8]) {
        let mut header = Header::new_gnu();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_link_name_literal(link).unwrap();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append(&header, content).unwrap();
    }

    fn index(bytes: &[u8]) -> Result<TarIndex, ArchiveError> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        TarIndex::scan(&file)
    }

    fn tar(entries: &[(EntryType, &str, &str, &[u8])]) -> Vec<u8> {
        let mut tar = Builder::new(Vec::new());
        entries.iter().for_each(|(kind, name, link, content)| add(&mut tar, *kind, name, link, content));
        tar.into_inner().unwrap()
    }

    const FILE: EntryType = EntryType::Regular;
    const LINK: EntryType = EntryType::Symlink;

    #[test]
    fn contents_are_found_where_they_are() {
        let large = vec![7; 3 << 20];
        let bytes = tar(&[(FILE, "./a", "", b"one"), (FILE, "dir/b", "", &large), (FILE, "c", "", b"three")]);
        let index = index(&bytes).unwrap();
        for (name, content) in [("a", &b"one"[..]), ("dir/b", &large), ("c", b"three")] {
            let extent = index.find(name).unwrap().unwrap();
            assert_eq!(&bytes[extent.start as usize..][..extent.size as usize], content, "{name}");
        }
        assert_eq!(index.find("d").unwrap(), None);
    }

    #[test]
    fn links_lead_within_the_archive_only() {
        let index = index(&tar(&[
            (FILE, "one/layer.tar", "", b"x"),
            (LINK, "two/layer.tar", "../one/layer.tar", b""),
            (LINK, "three", "two/layer.tar", b""),
            (EntryType::Link, "hard", "one/layer.tar", b""),
            (LINK, "out", "../../etc/passwd", b""),
            (LINK, "absolute", "/one/layer.tar", b""),
            (LINK, "dangling", "nowhere", b""),
            (LINK, "circle", "circle", b""),
        ]))
        .unwrap();
        let found = index.find("one/layer.tar").unwrap();
        assert!(found.is_some());
        for name in ["two/layer.tar", "three", "hard", "./one/layer.tar"] {
            assert_eq!(index.find(name).unwrap(), found, "{name}");
        }
        for name in ["out", "absolute", "dangling", "circle", "../one/layer.tar", "/../../etc/passwd"] {
            assert!(matches!(index.find(name), Err(ArchiveError::Link(_))), "{name}");
        }
    }

    #[test]
    fn a_tar_with_two_readings_is_refused() {
        let twice = index(&tar(&[(FILE, "manifest.json", "", b"1"), (FILE, "./manifest.json", "", b"2")]));
        assert!(matches!(twice, Err(ArchiveError::Twice(name)) if name == "manifest.json"));
        let whole = tar(&[(FILE, "a", "", &[1; 2000])]);
        assert!(matches!(index(&whole[..1024]), Err(ArchiveError::Tar(_))));
        let sparse = index(&tar(&[(EntryType::GNUSparse, "a", "", b"x")]));
        assert!(matches!(sparse, Err(ArchiveError::Tar(_))));
        let mut huge = whole.clone();
        // A size in base 256, about 2^63, with the right checksum.
        let mut header = Header::new_gnu();
        header.set_path("a").unwrap();
        header.set_size(u64::MAX >> 1);
        header.set_cksum();
        huge[..512].copy_from_slice(header.as_bytes());
        assert!(matches!(index(&huge), Err(ArchiveError::Tar(_))));
    }
}
