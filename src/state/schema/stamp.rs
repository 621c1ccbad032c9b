//! The record of a file's owner that is kept with the file: the extended attribute `user.containers.override_stat`, whose value
//! is `UID:GID:MODE:KIND`, as containers-storage writes it and fuse-overlayfs reads it. A file without it belongs to 0:0.

use super::layer::{FileKind, Ownership};

/// The attribute's name.
pub const OVERRIDE_STAT: &std::ffi::CStr = c"user.containers.override_stat";

/// The value of the attribute.
pub fn stamp(of: Ownership) -> String {
    let Ownership { uid, gid, mode, kind } = of;
    let kind = match kind {
        FileKind::File => "file".to_owned(),
        FileKind::Dir => "dir".to_owned(),
        FileKind::Symlink => "symlink".to_owned(),
        FileKind::Fifo => "pipe".to_owned(),
        FileKind::Socket => "socket".to_owned(),
        FileKind::Char { major, minor } => format!("char-{major}-{minor}"),
        FileKind::Block { major, minor } => format!("block-{major}-{minor}"),
    };
    format!("{uid}:{gid}:{mode:04o}:{kind}")
}

/// What a value of the attribute says; nothing if it is none.
pub fn parse_stamp(value: &[u8]) -> Option<Ownership> {
    let mut fields = std::str::from_utf8(value).ok()?.split(':');
    let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let mode = u32::from_str_radix(fields.next()?, 8).ok()? & 0o7777;
    let kind = fields.next()?;
    let device = |text: &str| -> Option<(u32, u32)> {
        let (major, minor) = text.split_once('-')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    let kind = match kind {
        "file" => FileKind::File,
        "dir" => FileKind::Dir,
        "symlink" => FileKind::Symlink,
        "pipe" => FileKind::Fifo,
        "socket" => FileKind::Socket,
        _ => match kind.split_once('-')? {
            ("char", numbers) => device(numbers).map(|(major, minor)| FileKind::Char { major, minor })?,
            ("block", numbers) => device(numbers).map(|(major, minor)| FileKind::Block { major, minor })?,
            _ => return None,
        },
    };
    Some(Ownership { uid, gid, mode, kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for kind in [FileKind::Dir, FileKind::Fifo, FileKind::Socket, FileKind::Char { major: 1, minor: 300 }] {
            let owner = Ownership { uid: 0, gid: 4_000_000_000, mode: 0o4755, kind };
            assert_eq!(parse_stamp(stamp(owner).as_bytes()), Some(owner));
        }
        for text in ["", "0:0", "0:0:0755", "0:0:0755:x", "-1:0:0755:file", "0:0:0755:char-1", "a:0:0:file"] {
            assert_eq!(parse_stamp(text.as_bytes()), None, "{text}");
        }
    }
}
