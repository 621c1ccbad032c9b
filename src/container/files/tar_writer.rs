//! Writing tars: POSIX ustar headers, with PAX records for what these cannot hold.

use std::io::{self, Read, Write};

use crate::store::unpack::header::{Entry, Kind};

const BLOCK: usize = 512;
/// Largest number in an octal field of eleven digits: sizes and times.
const ELEVEN_DIGITS: u64 = 0o77_777_777_777;
/// Largest number in an octal field of seven digits: ids.
const SEVEN_DIGITS: u32 = 0o7_777_777;
/// Longest name in the header itself, in bytes.
const NAME: usize = 100;
/// How much of a file is copied at once.
const PIECE: usize = 128 << 10;

/// A tar being written.
pub struct TarWriter<W> {
    out: W,
    piece: Box<[u8]>,
}

impl<W: Write> TarWriter<W> {
    /// An empty tar.
    pub fn new(out: W) -> Self {
        Self { out, piece: vec![0; PIECE].into_boxed_slice() }
    }

    /// Appends an entry. Exactly `entry.size` bytes of `contents` follow: one that is shorter, because it changed meanwhile,
    /// is filled up with zeroes.
    pub fn append(&mut self, entry: &Entry, contents: &mut dyn Read) -> io::Result<()> {
        let records = records(entry);
        if !records.is_empty() {
            let mut header = tar::Header::new_ustar();
            header.as_old_mut().name[..11].copy_from_slice(b"PaxHeaders/");
            header.set_mode(0o644);
            header.set_mtime(0);
            self.header(&mut header, b'x', records.len() as u64)?;
            self.out.write_all(&records)?;
            self.pad(records.len() as u64)?;
        }
        let mut header = base_header(entry)?;
        self.header(&mut header, typeflag(entry.kind), entry.size)?;
        self.copy(contents, entry.size)?;
        self.pad(entry.size)
    }

    /// Ends the tar.
    pub fn finish(mut self) -> io::Result<()> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()
    }

    fn header(&mut self, header: &mut tar::Header, typeflag: u8, size: u64) -> io::Result<()> {
        header.set_size(if size > ELEVEN_DIGITS { 0 } else { size });
        header.as_old_mut().linkflag = [typeflag];
        header.set_cksum();
        self.out.write_all(header.as_bytes())
    }

    fn copy(&mut self, contents: &mut dyn Read, size: u64) -> io::Result<()> {
        let mut left = size;
        while left > 0 {
            let most = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
            let count = match contents.read(&mut self.piece[..most]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            let count = if count == 0 {
                self.piece[..most].fill(0);
                most
            } else {
                count
            };
            self.out.write_all(&self.piece[..count])?;
            left -= count as u64;
        }
        Ok(())
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let padding = size.next_multiple_of(BLOCK as u64) - size;
        self.out.write_all(&[0; BLOCK][..padding as usize])
    }
}

fn typeflag(kind: Kind) -> u8 {
    match kind {
        Kind::File => b'0',
        Kind::HardLink => b'1',
        Kind::Symlink => b'2',
        Kind::CharDevice => b'3',
        Kind::BlockDevice => b'4',
        Kind::Directory => b'5',
        Kind::Fifo => b'6',
        Kind::Socket => b'0',
        Kind::Label => b'V',
    }
}

fn base_header(entry: &Entry) -> io::Result<tar::Header> {
    let mut header = tar::Header::new_ustar();
    let old = header.as_old_mut();
    let name = &entry.name[..entry.name.len().min(NAME)];
    old.name[..name.len()].copy_from_slice(name);
    let link = &entry.link[..entry.link.len().min(NAME)];
    old.linkname[..link.len()].copy_from_slice(link);
    header.set_mode(entry.mode);
    header.set_uid(if entry.uid > SEVEN_DIGITS { 0 } else { entry.uid.into() });
    header.set_gid(if entry.gid > SEVEN_DIGITS { 0 } else { entry.gid.into() });
    header.set_mtime(u64::try_from(entry.mtime.0).ok().filter(|&time| time <= ELEVEN_DIGITS).unwrap_or(0));
    if matches!(entry.kind, Kind::CharDevice | Kind::BlockDevice) {
        header.set_device_major(entry.device.0)?;
        header.set_device_minor(entry.device.1)?;
    }
    Ok(header)
}

/// The PAX records that the entry needs.
fn records(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::new();
    if entry.name.len() > NAME {
        push(&mut out, b"path", &entry.name);
    }
    if entry.link.len() > NAME {
        push(&mut out, b"linkpath", &entry.link);
    }
    if entry.size > ELEVEN_DIGITS {
        push(&mut out, b"size", entry.size.to_string().as_bytes());
    }
    for (key, id) in [(b"uid", entry.uid), (b"gid", entry.gid)] {
        if id > SEVEN_DIGITS {
            push(&mut out, key, id.to_string().as_bytes());
        }
    }
    let (seconds, nanoseconds) = entry.mtime;
    if nanoseconds != 0 || !u64::try_from(seconds).is_ok_and(|seconds| seconds <= ELEVEN_DIGITS) {
        push(&mut out, b"mtime", time(seconds, nanoseconds).as_bytes());
    }
    for (name, value) in &entry.xattrs {
        push(&mut out, &[b"SCHILY.xattr.", &name[..]].concat(), value);
    }
    out
}

/// `[-]SECONDS[.FRACTION]`: before the epoch, the fraction counts downwards.
fn time(seconds: i64, nanoseconds: i64) -> String {
    match (seconds, nanoseconds) {
        (_, 0) => seconds.to_string(),
        (0.., _) => format!("{seconds}.{nanoseconds:09}"),
        _ => format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanoseconds),
    }
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits.
fn push(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(format!("{length} ").as_bytes());
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::unpack::header::Entries;
    use crate::store::unpack::limits::Limits;

    fn entry(name: &[u8]) -> Entry {
        Entry {
            kind: Kind::File,
            name: name.into(),
            link: Vec::new(),
            size: 0,
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: (0, 0),
            device: (0, 0),
            map: None,
            xattrs: Vec::new(),
            acls: 0,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut long = entry(&b"d/".repeat(120));
        long.name.extend_from_slice(b"\xff\xfe");
        (long.uid, long.gid, long.mtime) = (SEVEN_DIGITS + 1, 4_000_000_000, (-2, 500_000_000));
        long.xattrs = vec![(b"user.a".to_vec(), b"x\n=\0y".to_vec()), (b"user.b".to_vec(), vec![1; 990])];
        let mut link = entry(b"link");
        (link.kind, link.link, link.mode) = (Kind::Symlink, vec![b'l'; 101], 0o777);
        let mut device = entry(b"null");
        (device.kind, device.device, device.mtime) = (Kind::CharDevice, (1, 3), (7, 1));
        let mut file = entry(b"file");
        file.size = 1000;
        let mut directory = entry(b"directory/");
        directory.kind = Kind::Directory;
        let entries = [long, link, device, file, directory];
        let mut tar = Vec::new();
        let mut writer = TarWriter::new(&mut tar);
        for entry in &entries {
            writer.append(entry, &mut &[7_u8; 999][..]).unwrap();
        }
        writer.finish().unwrap();
        let mut read = Entries::new(&tar[..], &Limits::default());
        for expected in &entries {
            assert_eq!(read.next().unwrap().as_ref(), Some(expected));
            let contents = read.source().whole(expected.size as usize).unwrap();
            assert!(
                contents.iter().take(999).all(|&byte| byte == 7) && contents.get(999).is_none_or(|&byte| byte == 0)
            );
        }
        assert_eq!(read.next().unwrap(), None);
    }
}
