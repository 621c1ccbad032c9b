//! Copying: contents of files, by reference where the file system can do that, else without a detour through our memory and
//! without filling holes; and root file systems, where there is no overlay to be had.

pub mod changes;
pub mod merge;

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::unistd::Whence;

use crate::sys::fs::clone_contents;
use crate::sys::xattr;

/// Marks a file of an upper layer as one that was in a lower layer. Empty, it does not say as which (`ovl_get_fh`).
pub const ORIGIN: &CStr = c"user.overlay.origin";

/// Copies extended attributes under the names that `named` gives them; those without one stay behind.
pub fn attributes(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    named: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Result<(), Errno> {
    for name in xattr::list(source)? {
        let Some(Ok(new)) = named(name.to_bytes()).map(CString::new) else { continue };
        let value = match xattr::get_whole(source, &name) {
            Ok(value) => value,
            Err(Errno::ENODATA) => continue,
            Err(errno) => return Err(errno),
        };
        match xattr::set(target, &new, &value) {
            Ok(()) => {}
            // Labels and the like are the host's affair.
            Err(Errno::EPERM | Errno::EOPNOTSUPP) if !new.to_bytes().starts_with(b"user.") => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Copies the first `wanted` bytes of `source`, which has `size`, into the empty file `target`.
pub fn contents(source: &File, target: &File, size: u64, wanted: u64) -> Result<(), Errno> {
    if wanted == 0 {
        return Ok(());
    }
    if wanted == size && clone_contents(source, target).is_ok() {
        return Ok(());
    }
    let wanted = i64::try_from(wanted).map_err(|_| Errno::EFBIG)?;
    let mut at = 0;
    while at < wanted {
        let (begin, end) = match nix::unistd::lseek(source, at, Whence::SeekData) {
            Ok(begin) => (begin, nix::unistd::lseek(source, begin, Whence::SeekHole)?),
            // There is nothing but a hole up to the end.
            Err(Errno::ENXIO) => break,
            Err(Errno::EINVAL) => (at, wanted),
            Err(errno) => return Err(errno),
        };
        copy_range(source, target, begin, end.min(wanted))?;
        at = end;
    }
    nix::unistd::ftruncate(target, wanted)
}

fn copy_range(source: &File, target: &File, begin: i64, end: i64) -> Result<(), Errno> {
    let (mut from, mut to) = (begin, begin);
    while from < end {
        let length = (end - from) as usize;
        match nix::fcntl::copy_file_range(source, Some(&mut from), target, Some(&mut to), length) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::EINTR) => {}
            // Between file systems, or on one that cannot.
            Err(Errno::EXDEV | Errno::EOPNOTSUPP | Errno::EINVAL | Errno::ENOSYS) => {
                return through_memory(source, target, from as u64, end as u64)
                    .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw));
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn through_memory(source: &File, target: &File, mut at: u64, end: u64) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 17];
    while at < end {
        let length = buffer.len().min((end - at) as usize);
        match source.read_at(&mut buffer[..length], at) {
            Ok(0) => break,
            Ok(read) => {
                target.write_all_at(&buffer[..read], at)?;
                at += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn holes_stay_holes() {
        let directory = tempfile::tempdir().unwrap();
        let new = |name: &str| {
            File::options().read(true).write(true).create_new(true).open(directory.path().join(name)).unwrap()
        };
        let source = new("source");
        source.write_all_at(b"begin", 0).unwrap();
        source.write_all_at(b"end", 1 << 24).unwrap();
        let size = source.metadata().unwrap().len();
        for (name, wanted) in [("whole", size), ("part", 3), ("hole", 1 << 20), ("nothing", 0)] {
            let target = new(name);
            contents(&source, &target, size, wanted).unwrap();
            let metadata = target.metadata().unwrap();
            assert_eq!(metadata.len(), wanted, "{name}");
            assert!(metadata.blocks() * 512 < 1 << 20, "{name} has no holes");
            let mut begin = vec![0; wanted.min(5) as usize];
            target.read_exact_at(&mut begin, 0).unwrap();
            assert_eq!(begin, &b"begin"[..begin.len()], "{name}");
        }
    }
}
