//! Copying what a tmpfs covers into it (`--tmpfs` with `tmpcopyup`), from init, inside the new root.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, fchmod, fchmodat, fstat, mkdirat};
use nix::unistd::symlinkat;

/// Copies directories, regular files and symbolic links below `from` into `into`, with their permissions. Other kinds of
/// files are left out, as podman leaves them.
pub fn copy_tree(from: BorrowedFd<'_>, into: BorrowedFd<'_>) -> Result<(), Errno> {
    let mode = fstat(from)?.st_mode;
    fchmodat(into, c".", permissions(mode), FchmodatFlags::FollowSymlink)?;
    let mut directory = Dir::from_fd(openat(from, c".", read_flags() | OFlag::O_DIRECTORY, Mode::empty())?)?;
    for entry in directory.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            copy_entry(from, into, name)?;
        }
    }
    Ok(())
}

fn copy_entry(from: BorrowedFd<'_>, into: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let stat: FileStat = nix::sys::stat::fstatat(from, name, nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW)?;
    match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFDIR => {
            let source = openat(from, name, read_flags() | OFlag::O_DIRECTORY, Mode::empty())?;
            mkdirat(into, name, Mode::S_IRWXU)?;
            let copy = openat(into, name, read_flags() | OFlag::O_DIRECTORY, Mode::empty())?;
            copy_tree(source.as_fd(), copy.as_fd())
        }
        SFlag::S_IFREG => {
            let mut source = File::from(openat(from, name, read_flags(), Mode::empty())?);
            let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let mut copy = File::from(openat(into, name, flags, Mode::S_IRUSR)?);
            std::io::copy(&mut source, &mut copy)
                .map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO)))?;
            fchmod(copy.as_fd(), permissions(stat.st_mode))
        }
        SFlag::S_IFLNK => symlinkat(readlinkat(from, name)?.as_os_str(), into, name),
        _ => Ok(()),
    }
}

fn read_flags() -> OFlag {
    OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK
}

fn permissions(mode: u32) -> Mode {
    Mode::from_bits_truncate(mode & 0o7777)
}
