//! Tar headers (POSIX ustar, GNU, V7), read block by block into one [`Entry`] per file.
//!
//! The tar crate's own iterator is not used: it keeps extended headers of any size in memory, splits PAX records at
//! newlines, and takes the first of two contradicting ones.

use std::io::Read;

use super::error::UnpackError;
use super::limits::{self, Limits};
use super::pax::{Malformed, Records};
use super::source::{BLOCK, Source};
use super::sparse::Map;

/// The largest size that the header's own field can hold in octal; beyond it only an extended header tells.
const OCTAL_MAX: u64 = 0o77_777_777_777;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// Another name of a file of this layer.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A volume label: not a file.
    Label,
}

/// One file's header, with what extended headers say of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Its name, as the tar has it.
    pub name: Vec<u8>,
    /// What a link refers to.
    pub link: Vec<u8>,
    /// Bytes that follow.
    pub size: u64,
    /// Permission bits, 07777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time: seconds and nanoseconds.
    pub mtime: (i64, i64),
    /// Major and minor device number.
    pub device: (u32, u32),
    /// Where these bytes belong in the file, if it is stored without its holes.
    pub map: Option<Map>,
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Access control lists.
    pub acls: u64,
}

/// Extended headers that wait for their file.
#[derive(Debug, Default)]
pub struct Pending {
    pax: Option<Vec<u8>>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl Pending {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pax.is_none() && self.name.is_none() && self.link.is_none()
    }

    /// Adds one of this type with its data.
    pub fn add(&mut self, typeflag: u8, data: Vec<u8>) -> Result<(), Malformed> {
        match typeflag {
            b'x' => put(&mut self.pax, data),
            b'L' => until_nul(data).and_then(|name| put(&mut self.name, name)),
            b'K' => until_nul(data).and_then(|name| put(&mut self.link, name)),
            _ => check_global(&data),
        }
    }

    /// The records of the PAX header.
    pub fn records(&self) -> Result<Records<'_>, Malformed> {
        Records::parse(self.pax.as_deref().unwrap_or_default())
    }

    /// The entry that `header` describes with these. Where its contents belong, if it is stored without its holes, is still to
    /// be read.
    pub fn entry(&self, header: &tar::Header) -> Result<Entry, Malformed> {
        if self.pax.is_some() && (self.name.is_some() || self.link.is_some()) {
            return Err("a file has both GNU and PAX extended headers");
        }
        merge(header, self, &self.records()?)
    }
}

/// What `header` begins, if that is an extended header: its type, and the size of its data, which is bounded.
pub fn extension(header: &tar::Header) -> Result<Option<(u8, usize)>, Refused> {
    let typeflag = typeflag(header);
    if !matches!(typeflag, b'x' | b'g' | b'L' | b'K') {
        return Ok(None);
    }
    let size = number(&header.as_old().size).map_err(Refused::Malformed)?;
    let (limit, what) = match typeflag {
        b'L' | b'K' => (limits::PATH as u64 + 1, "the length of a path"),
        _ => (limits::PAX, "the size of a PAX header"),
    };
    if size > limit {
        return Err(Refused::Limit { what, limit });
    }
    // At most 1 MiB, so it fits.
    Ok(Some((typeflag, size as usize)))
}

/// Why an extended header is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is malformed.
    Malformed(Malformed),
    /// It is larger than so many bytes.
    Limit {
        /// What of it is.
        what: &'static str,
        /// Bytes.
        limit: u64,
    },
}

/// The entries of a tar.
pub struct Entries<R> {
    source: Source<R>,
    left: u64,
    limit: u64,
}

impl<R: Read> Entries<R> {
    /// The entries of the tar that `reader` gives.
    pub fn new(reader: R, limits: &Limits) -> Self {
        Self { source: Source::new(reader, limits), left: limits.entries, limit: limits.entries }
    }

    /// Where the contents of the entry that [`Entries::next`] has just returned are: all of them must be read before the
    /// next call.
    pub fn source(&mut self) -> &mut Source<R> {
        &mut self.source
    }

    /// The next entry; `None` at the end of the tar, after which the stream has been read to its end.
    pub fn next(&mut self) -> Result<Option<Entry>, UnpackError> {
        let mut pending = Pending::default();
        loop {
            let Some(block) = self.source.block()?.filter(|block| block.iter().any(|&byte| byte != 0)) else {
                if !pending.is_empty() {
                    return Err(self.source.malformed("an extended header has no file"));
                }
                return self.end();
            };
            let header = tar::Header::from_byte_slice(&block);
            check_sum(header).map_err(|reason| self.source.malformed(reason))?;
            if !self.take_extension(header, &mut pending)? {
                self.left = self.left.checked_sub(1).ok_or_else(|| UnpackError::Limit {
                    what: "the number of entries".into(),
                    limit: self.limit.to_string(),
                })?;
                let mut entry = pending.entry(header).map_err(|reason| self.source.malformed(reason))?;
                self.source.expect(entry.size)?;
                self.take_map(&block, &pending, &mut entry)?;
                return Ok(Some(entry));
            }
        }
    }

    /// After the first block of zeroes there may only be more of them.
    fn end(&mut self) -> Result<Option<Entry>, UnpackError> {
        loop {
            let piece = self.source.piece(u64::MAX)?;
            if piece.is_empty() {
                return Ok(None);
            }
            if piece.iter().any(|&byte| byte != 0) {
                return Err(self.source.malformed("there are bytes after its end"));
            }
        }
    }

    /// Whether `header` begins an extended header; if so, it is added to `pending`.
    fn take_extension(&mut self, header: &tar::Header, pending: &mut Pending) -> Result<bool, UnpackError> {
        let found = extension(header).map_err(|refused| match refused {
            Refused::Malformed(reason) => self.source.malformed(reason),
            Refused::Limit { what, limit } => UnpackError::Limit { what: what.into(), limit: format!("{limit} bytes") },
        })?;
        let Some((typeflag, size)) = found else { return Ok(false) };
        let data = self.source.whole(size)?;
        pending.add(typeflag, data).map_err(|reason| self.source.malformed(reason))?;
        Ok(true)
    }

    /// Reads where the contents of a file belong that is stored without its holes.
    fn take_map(&mut self, block: &[u8; BLOCK], pending: &Pending, entry: &mut Entry) -> Result<(), UnpackError> {
        if typeflag(tar::Header::from_byte_slice(block)) == b'S' {
            entry.map = Some(Map::of_old_gnu(block, entry.size, &mut self.source)?);
            return Ok(());
        }
        let records = pending.records();
        if let Some(sparse) = records.map_err(|reason| self.source.malformed(reason))?.sparse {
            let (map, left) = Map::of_contents(&sparse, entry.size, &mut self.source)?;
            (entry.map, entry.size) = (Some(map), left);
        }
        Ok(())
    }
}

/// The entry that `header` and its extended headers describe.
fn merge(header: &tar::Header, pending: &Pending, records: &Records<'_>) -> Result<Entry, Malformed> {
    let old = header.as_old();
    let is_gnu = header.as_gnu().is_some();
    let is_known = records.sparse.as_ref().is_none_or(|sparse| sparse.is_known() && typeflag(header) == b'0');
    if !is_known || (typeflag(header) == b'S' && (!is_gnu || pending.pax.is_some())) {
        return Err("a sparse file is in a format that is not known");
    }
    let sparse_name = records.sparse.as_ref().and_then(|sparse| sparse.name);
    if sparse_name.is_some() && records.path.is_some() {
        return Err("a sparse file has two names");
    }
    let name = match (sparse_name.or(records.path), &pending.name) {
        (Some(path), _) => path.to_vec(),
        (None, Some(name)) => name.clone(),
        (None, None) => header.path_bytes().into_owned(),
    };
    let link = match (records.link_path, &pending.link) {
        (Some(path), _) => path.to_vec(),
        (None, Some(link)) => link.clone(),
        (None, None) => header.link_name_bytes().unwrap_or_default().into_owned(),
    };
    let kind = if records.socket { Kind::Socket } else { kind(typeflag(header), &name)? };
    let size = size(number(&old.size)?, records.size)?;
    if size != 0 && kind != Kind::File {
        return Err("something that is not a regular file has contents");
    }
    let mtime = match records.mtime {
        Some(mtime) => mtime,
        None => (i64::try_from(number(&old.mtime)?).map_err(|_| "a time is out of range")?, 0),
    };
    Ok(Entry {
        kind,
        name,
        link,
        size,
        mode: (number(&old.mode)? & 0o7777) as u32,
        uid: id(records.uid.map_or_else(|| number(&old.uid), Ok)?)?,
        gid: id(records.gid.map_or_else(|| number(&old.gid), Ok)?)?,
        mtime,
        device: device(header, kind)?,
        map: None,
        xattrs: records.xattrs.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect(),
        acls: records.acls,
    })
}

/// The byte itself: the tar crate takes the NUL of the first tars for `0`.
pub fn typeflag(header: &tar::Header) -> u8 {
    header.as_old().linkflag[0]
}

fn kind(typeflag: u8, name: &[u8]) -> Result<Kind, Malformed> {
    let slash = name.ends_with(b"/");
    Ok(match typeflag {
        // The first tars had no type for directories.
        b'\0' if slash => Kind::Directory,
        b'0' | b'7' if slash => return Err("the name of a regular file ends in a slash"),
        b'S' if slash => return Err("the name of a regular file ends in a slash"),
        b'\0' | b'0' | b'7' | b'S' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' => Kind::CharDevice,
        b'4' => Kind::BlockDevice,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        b'V' => Kind::Label,
        _ => return Err("an entry is of an unknown type"),
    })
}

/// Both sizes, where there are two, must be the same, unless the header's own field is too small for it.
fn size(header: u64, pax: Option<u64>) -> Result<u64, Malformed> {
    match pax {
        None => Ok(header),
        Some(size) if size == header || size > OCTAL_MAX => Ok(size),
        Some(_) => Err("the header and the extended header disagree about a file's size"),
    }
}

/// An id that a file can have: -1 means none to the kernel.
fn id(value: u64) -> Result<u32, Malformed> {
    u32::try_from(value).ok().filter(|&id| id != u32::MAX).ok_or("a user or group id is out of range")
}

fn device(header: &tar::Header, kind: Kind) -> Result<(u32, u32), Malformed> {
    if !matches!(kind, Kind::CharDevice | Kind::BlockDevice) {
        return Ok((0, 0));
    }
    let fields = match (header.as_ustar(), header.as_gnu()) {
        (Some(ustar), _) => (ustar.dev_major, ustar.dev_minor),
        (_, Some(gnu)) => (gnu.dev_major, gnu.dev_minor),
        _ => return Err("a device has no numbers"),
    };
    let part = |field: &[u8]| u32::try_from(number(field)?).map_err(|_| "a device number is out of range");
    Ok((part(&fields.0)?, part(&fields.1)?))
}

/// A numeric field: octal digits with blanks around them, or a positive number in base 256 (GNU).
pub fn number(field: &[u8]) -> Result<u64, Malformed> {
    const MALFORMED: Malformed = "a number in a header is malformed";
    if let Some((&0x80, digits)) = field.split_first() {
        let (high, low) = digits.split_at(digits.len().saturating_sub(8));
        if high.iter().any(|&byte| byte != 0) {
            return Err(MALFORMED);
        }
        return Ok(low.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)));
    }
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    let digits = field[..end].trim_ascii();
    // At most twelve digits, so it fits.
    let add = |sum: u64, &byte: &u8| matches!(byte, b'0'..=b'7').then(|| sum << 3 | u64::from(byte - b'0'));
    digits.iter().try_fold(0, add).ok_or(MALFORMED)
}

/// Refuses a header whose bytes have another sum than it says.
pub fn check_sum(header: &tar::Header) -> Result<(), Malformed> {
    let bytes = header.as_bytes();
    let others = bytes[..148].iter().chain(&bytes[156..]);
    let sum = others.map(|&byte| u64::from(byte)).sum::<u64>() + 8 * u64::from(b' ');
    if number(&header.as_old().cksum) == Ok(sum) { Ok(()) } else { Err("a header's checksum is wrong") }
}

fn put(place: &mut Option<Vec<u8>>, data: Vec<u8>) -> Result<(), Malformed> {
    match place.replace(data) {
        None => Ok(()),
        Some(_) => Err("a file has two extended headers of one kind"),
    }
}

/// A GNU long name: text up to the first NUL, and only NULs after it.
fn until_nul(mut data: Vec<u8>) -> Result<Vec<u8>, Malformed> {
    let end = data.iter().position(|&byte| byte == 0).unwrap_or(data.len());
    if data[end..].iter().any(|&byte| byte != 0) {
        return Err("a name has a NUL in it");
    }
    data.truncate(end);
    Ok(data)
}

fn check_global(data: &[u8]) -> Result<(), Malformed> {
    match Records::parse(data)?.changes_files() {
        true => Err("a global extended header changes files"),
        false => Ok(()),
    }
}

const _: () = assert!(size_of::<tar::Header>() == BLOCK);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_positive_base_256() {
        assert_eq!(number(b"0000644\0"), Ok(0o644));
        assert_eq!(number(b"   644 \0"), Ok(0o644));
        assert_eq!(number(b"644\0junk"), Ok(0o644));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Ok(0));
        assert_eq!(number(b"777777777777"), Ok(0o777_777_777_777));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\x02\0\0\0\x01"), Ok(0x2_0000_0001));
        assert_eq!(number(b"\x80\0\0\0\0\0\x01\0"), Ok(256));
        for bad in [&b"0000648\0"[..], b"-1\0\0\0\0\0\0", b"6 4\0\0\0\0\0", b"0x12\0\0\0\0"] {
            assert!(number(bad).is_err(), "{}", bad.escape_ascii());
        }
        assert!(number(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff").is_err(), "negative");
        assert!(number(b"\x80\0\0\x01\0\0\0\0\0\0\0\0").is_err(), "more than 64 bits");
    }

    #[test]
    fn sizes_must_agree() {
        assert_eq!(size(5, None), Ok(5));
        assert_eq!(size(5, Some(5)), Ok(5));
        assert_eq!(size(0, Some(OCTAL_MAX + 1)), Ok(OCTAL_MAX + 1));
        assert!(size(0, Some(5)).is_err());
        assert!(size(5, Some(0)).is_err());
        assert!(size(OCTAL_MAX, Some(6)).is_err());
    }

    /// The names of all entries, or the first refusal.
    fn names(tar: &[u8]) -> Result<Vec<Vec<u8>>, UnpackError> {
        let mut entries = Entries::new(tar, &Limits { bytes: 1 << 20, entries: 100 });
        let mut names = Vec::new();
        while let Some(entry) = entries.next()? {
            let mut left = entry.size;
            while left > 0 {
                let piece = entries.source().piece(left)?.len() as u64;
                if piece == 0 {
                    return Err(entries.source().malformed("it ends within a file"));
                }
                left -= piece;
            }
            entries.source().skip_padding(entry.size)?;
            names.push(entry.name);
        }
        Ok(names)
    }

    fn sample() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let long = "long/".repeat(40);
        for (name, size) in [("short", 10_usize), (&long, 513), ("empty", 0)] {
            let mut header = tar::Header::new_gnu();
            header.set_size(size as u64);
            builder.append_data(&mut header, name.to_owned() + "x", &b"x".repeat(size)[..]).unwrap();
        }
        builder.append_pax_extensions([("mtime", &b"1.5"[..]), ("SCHILY.xattr.user.a", b"b\nc")]).unwrap();
        builder.append_data(&mut tar::Header::new_ustar(), "pax", &b""[..]).unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn what_the_tar_crate_writes_is_read() {
        let names = names(&sample()).unwrap();
        assert_eq!(
            names,
            [b"shortx".to_vec(), [b"long/".repeat(40), b"x".to_vec()].concat(), b"emptyx".to_vec(), b"pax".to_vec()]
        );
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(changes in proptest::collection::vec((0..6000_usize, 0..=255_u8), 1..20), seal: bool) {
            let mut tar = sample();
            for (at, byte) in changes {
                let at = at % tar.len();
                tar[at] = byte;
            }
            for block in tar.chunks_exact_mut(BLOCK).filter(|_| seal) {
                if &block[257..262] == b"ustar" {
                    block[148..156].fill(b' ');
                    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
                    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
                }
            }
            let _ = names(&tar);
        }
    }
}
