//! The table of contents: JSON, an entry a file, and one for each further chunk of it.

use std::collections::{BTreeMap, HashSet};
use std::io;

use serde::Serialize;

use super::frames::Packed;
use super::tar::Stop;
use crate::host::config::base64;
use crate::oci::digest::Digest;
use crate::store::unpack::header::{self, Kind, Pending};
use crate::store::unpack::pax;

/// The table of one layer.
pub(super) struct Toc {
    packed: Packed,
    is_empty: bool,
    /// Names without `.`, `..` and slashes at their end: readers refuse a table that has one twice.
    names: HashSet<String>,
}

/// What a table says of a file, of any kind.
pub(super) struct File {
    entry: Entry,
}

/// A chunk in the layer.
pub(super) struct Placed {
    /// Where its frame begins.
    pub(super) offset: u64,
    /// Bytes, not compressed.
    pub(super) size: u64,
    /// Of these bytes; none of a chunk that is the whole file.
    pub(super) digest: Option<Digest>,
    /// Whether they are zeroes.
    pub(super) is_hole: bool,
}

#[derive(Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    #[serde(skip_serializing_if = "is_default")]
    link_name: String,
    #[serde(skip_serializing_if = "is_default")]
    mode: u64,
    #[serde(skip_serializing_if = "is_default")]
    size: u64,
    #[serde(skip_serializing_if = "is_default")]
    uid: u32,
    #[serde(skip_serializing_if = "is_default")]
    gid: u32,
    #[serde(skip_serializing_if = "is_default")]
    modtime: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    accesstime: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    changetime: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    dev_major: u32,
    #[serde(skip_serializing_if = "is_default")]
    dev_minor: u32,
    /// Values in base64.
    #[serde(skip_serializing_if = "is_default")]
    xattrs: BTreeMap<String, String>,
    /// Of all contents.
    #[serde(skip_serializing_if = "is_default")]
    digest: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    offset: u64,
    #[serde(skip_serializing_if = "is_default")]
    end_offset: u64,
    #[serde(skip_serializing_if = "is_default")]
    chunk_size: u64,
    #[serde(skip_serializing_if = "is_default")]
    chunk_offset: u64,
    #[serde(skip_serializing_if = "is_default")]
    chunk_digest: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    chunk_type: &'static str,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl File {
    /// What `header` and the extended headers before it say; or what of it a table cannot say.
    pub(super) fn describe(header: &tar::Header, pending: &Pending) -> Result<Self, &'static str> {
        let found = pending.entry(header)?;
        let records = pending.records()?;
        if records.sparse.is_some() || header::typeflag(header) == b'S' {
            return Err("it has a sparse file");
        }
        // GNU tar's incremental archives, and star's: times at places of their own.
        let is_gnu_with_times = header.as_gnu().is_some_and(|gnu| gnu.atime[0] != 0 || gnu.ctime[0] != 0);
        if is_gnu_with_times || header.as_bytes().ends_with(b"tar\0") {
            return Err("it has a header of an unusual format");
        }
        let kind = match (found.kind, header::typeflag(header)) {
            (Kind::File, b'0' | b'\0') => "reg",
            (Kind::HardLink, _) => "hardlink",
            (Kind::Symlink, _) => "symlink",
            (Kind::CharDevice, _) => "char",
            (Kind::BlockDevice, _) => "block",
            (Kind::Directory, _) => "dir",
            (Kind::Fifo, _) => "fifo",
            _ => return Err("it has a file of an unusual type"),
        };
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| "it has a name that is not UTF-8");
        let written = |time: Option<&[u8]>| time.map(pax::time).transpose();
        let xattr = |(name, value): (Vec<u8>, Vec<u8>)| Ok((text(name)?, base64::encode(&value)));
        let entry = Entry {
            kind,
            name: text(found.name)?,
            link_name: text(found.link)?,
            // All of it: it is compared with the header.
            mode: header::number(&header.as_old().mode)?,
            size: found.size,
            uid: found.uid,
            gid: found.gid,
            modtime: Some(time(found.mtime)?),
            accesstime: written(records.atime)?.map(time).transpose()?,
            changetime: written(records.ctime)?.map(time).transpose()?,
            dev_major: found.device.0,
            dev_minor: found.device.1,
            xattrs: found.xattrs.into_iter().map(xattr).collect::<Result<_, &str>>()?,
            ..Entry::default()
        };
        Ok(Self { entry })
    }

    pub(super) fn name(&self) -> &str {
        &self.entry.name
    }

    /// Bytes of its contents.
    pub(super) fn size(&self) -> u64 {
        self.entry.size
    }
}

/// As RFC 3339 has it.
fn time((seconds, nanoseconds): (i64, i64)) -> Result<String, &'static str> {
    let known = i32::try_from(nanoseconds).ok().and_then(|fraction| jiff::Timestamp::new(seconds, fraction).ok());
    // Go's JSON has no years before the first.
    let known = known.filter(|time| *time >= jiff::Timestamp::constant(-62_135_596_800, 0));
    known.map(|time| time.to_string()).ok_or("it has a time that nobody can write down")
}

impl Toc {
    pub(super) fn new(level: i32) -> io::Result<Self> {
        let mut packed = Packed::new(level)?;
        packed.add(br#"{"version":1,"entries":["#)?;
        Ok(Self { packed, is_empty: true, names: HashSet::new() })
    }

    /// Refuses a file whose name is there already.
    pub(super) fn check(&mut self, file: &File) -> Result<(), &'static str> {
        let mut parts: Vec<&str> = Vec::new();
        for part in file.name().split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                other => parts.push(other),
            }
        }
        if self.names.insert(parts.join("/")) { Ok(()) } else { Err("it has a file twice") }
    }

    /// Adds a file, and what is known of its contents: their digest, their chunks, and where those end.
    pub(super) fn add(&mut self, file: &File, contents: Option<(&Digest, &[Placed], u64)>) -> Result<(), Stop> {
        let mut entry = file.entry.clone();
        let Some((digest, chunks, end)) = contents else { return self.entry(&entry) };
        entry.digest = Some(digest.to_string());
        entry.offset = chunks.first().map_or(end, |first| first.offset);
        entry.end_offset = end;
        if chunks.len() < 2 {
            return self.entry(&entry);
        }
        let mut chunk_offset = 0;
        for chunk in chunks {
            entry.offset = chunk.offset;
            entry.chunk_offset = chunk_offset;
            entry.chunk_size = chunk.size;
            entry.chunk_digest = chunk.digest.as_ref().map(Digest::to_string);
            entry.chunk_type = if chunk.is_hole { "zeros" } else { "" };
            self.entry(&entry)?;
            chunk_offset += chunk.size;
            entry = Entry { kind: "chunk", name: entry.name, ..Entry::default() };
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), Stop> {
        if !std::mem::take(&mut self.is_empty) {
            self.packed.add(b",")?;
        }
        self.packed.add(&serde_json::to_vec(entry).map_err(io::Error::from)?)?;
        Ok(self.packed.check_size()?)
    }

    /// All of it, compressed, and its length before that. `rest` is the digest of the tar's rest, compressed.
    pub(super) fn finish(mut self, rest: &Digest) -> io::Result<(Vec<u8>, u64)> {
        self.packed.add(format!(r#"],"tarSplitDigest":"{rest}"}}"#).as_bytes())?;
        self.packed.finish()
    }
}
