//! A root file system without an overlay: a copy of the layers, from init. Names are relative to the store, which is the
//! working directory.
//!
//! A container's copy is in its directory, beside its upper layer, and is the truth as long as it is there: what the container
//! changes is found out by comparison ([`changes`]), and becomes its upper layer again before another driver takes it ([`settle`]).
//! Where nothing is written, files of layers just get another name.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, RenameFlags};
use nix::sys::stat::Mode;

use super::fuse_mount::open_directory;
use super::step::Upper;
use crate::oci::digest::Algorithm;
use crate::rootfs::copy::changes;
use crate::rootfs::copy::merge::{self, Take};
use crate::state::layout::{CONTAINER_COPY, COPY_MADE, COPY_TREE, LAYERS, MERGED, MERGED_OF, TEMPORARY, UPPER};
use crate::state::temporary::{Kind, TemporaryDirectory};
use crate::sys::fs::remove_tree;
use crate::sys::in_root::open_beneath;
use crate::sys::mount::{self, Depth, MountAttrs};
use crate::sys::status::Status;

/// Being made, beside what it will be.
const UNFINISHED: &CStr = c"unfinished";

/// A detached mount of a copy of these layers, topmost first: the container's own, or one that is only read.
pub fn mount(lower: &[CString], upper: Option<&Upper>) -> Result<OwnedFd, Errno> {
    match upper {
        Some(upper) => {
            let tree = own(lower, upper)?;
            let clone = mount::clone_tree(tree.as_fd(), c"", Depth::Single)?;
            mount::restrict(clone.as_fd(), MountAttrs::NODEV, Depth::Single)?;
            Ok(clone)
        }
        None => read_only(merged(lower)?.as_fd()),
    }
}

/// A detached mount of the changes that the container in `directory` has made to its layers, in an upper layer's format.
pub fn changes_of(directory: &CStr, lower: &[CString]) -> Result<OwnedFd, Errno> {
    let container = open_directory(directory)?;
    let scratch = scratch()?;
    record(container.as_fd(), lower, open_beneath(scratch.as_fd(), b".", DIRECTORY)?.as_fd())?;
    let clone = read_only(scratch.as_fd())?;
    // It is locked as long as we live. Who finds it afterwards removes it.
    std::mem::forget(scratch);
    Ok(clone)
}

/// Makes the changes in its copy the upper layer of the container in `directory` again. Until the copy is removed, which is
/// left to others, it is the truth.
pub fn settle(directory: &CStr, lower: &[CString]) -> Result<(), Errno> {
    let container = open_directory(directory)?;
    let container = container.as_fd();
    remove_tree(container, UNFINISHED)?;
    nix::sys::stat::mkdirat(container, UNFINISHED, Mode::S_IRWXU)?;
    record(container, lower, open_beneath(container, UNFINISHED.to_bytes(), DIRECTORY)?.as_fd())?;
    nix::unistd::syncfs(open_beneath(container, b".", DIRECTORY)?)?;
    let exchanged = nix::fcntl::renameat2(container, UNFINISHED, container, UPPER, RenameFlags::RENAME_EXCHANGE);
    match exchanged {
        // Not all file systems can exchange.
        Err(Errno::EINVAL) => {
            remove_tree(container, UPPER)?;
            nix::fcntl::renameat(container, UNFINISHED, container, UPPER)
        }
        other => other.and_then(|()| remove_tree(container, UNFINISHED)),
    }
}

const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY);

fn record(container: BorrowedFd<'_>, lower: &[CString], into: BorrowedFd<'_>) -> Result<(), Errno> {
    let copy = open_beneath(container, CONTAINER_COPY.to_bytes(), DIRECTORY)?;
    let tree = open_beneath(copy.as_fd(), COPY_TREE.to_bytes(), DIRECTORY)?;
    let made = Status::of_file(open_beneath(copy.as_fd(), COPY_MADE.to_bytes(), OFlag::O_PATH)?)?;
    changes::record(tree.as_fd(), merged(lower)?.as_fd(), into, &made)
}

/// The tree of the container whose upper layer this is, made of that and its layers unless it is there.
fn own(lower: &[CString], upper: &Upper) -> Result<OwnedFd, Errno> {
    let upperdir = Path::new(OsStr::from_bytes(upper.upperdir.to_bytes()));
    let container = match upperdir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => CString::new(parent.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?,
        None => c".".to_owned(),
    };
    let container = open_directory(&container)?;
    let container = container.as_fd();
    let tree = || {
        let copy = open_beneath(container, CONTAINER_COPY.to_bytes(), DIRECTORY)?;
        open_beneath(copy.as_fd(), COPY_TREE.to_bytes(), DIRECTORY)
    };
    match tree() {
        Err(Errno::ENOENT) => {}
        other => return other,
    }
    remove_tree(container, UNFINISHED)?;
    nix::sys::stat::mkdirat(container, UNFINISHED, Mode::S_IRWXU)?;
    let copy = open_beneath(container, UNFINISHED.to_bytes(), DIRECTORY)?;
    nix::sys::stat::mkdirat(&copy, COPY_TREE, Mode::S_IRWXU)?;
    let new = open_beneath(copy.as_fd(), COPY_TREE.to_bytes(), DIRECTORY)?;
    let copied = || {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        nix::fcntl::openat(&copy, COPY_MADE, flags, Mode::S_IRUSR).map(drop)
    };
    merge::fill(Some(open_directory(&upper.upperdir)?), open_all(lower)?, new.as_fd(), Take::Copy, copied)?;
    if !upper.volatile {
        nix::unistd::syncfs(&copy)?;
    }
    nix::fcntl::renameat(container, UNFINISHED, container, CONTAINER_COPY)?;
    // From now on they are the copy's alone.
    let upper = open_directory(&upper.upperdir)?;
    for name in names(upper.as_fd())? {
        remove_tree(upper.as_fd(), &name)?;
    }
    tree()
}

/// A tree of these layers that is only read. Of an image's layers there is one for all, which is kept.
fn merged(lower: &[CString]) -> Result<OwnedFd, Errno> {
    if let [only] = lower {
        return open_beneath(open_directory(only)?.as_fd(), b".", DIRECTORY);
    }
    let scratch = scratch()?;
    let into = open_beneath(scratch.as_fd(), b".", DIRECTORY)?;
    if !is_kept(lower) {
        merge::fill(None, open_all(lower)?, into.as_fd(), Take::Link, || Ok(()))?;
        std::mem::forget(scratch);
        return Ok(into);
    }
    let names = lower.iter().map(|name| name.to_bytes()).collect::<Vec<_>>().join(&b'\n');
    let mut key = Algorithm::Sha256.hasher();
    key.update(&names);
    let place = Path::new(MERGED).join(key.finish().hex());
    let c_place = CString::new(place.join(OsStr::from_bytes(COPY_TREE.to_bytes())).as_os_str().as_bytes());
    let c_place = c_place.map_err(|_| Errno::EINVAL)?;
    let tree = || open_directory(&c_place).and_then(|tree| open_beneath(tree.as_fd(), b".", DIRECTORY));
    match tree() {
        Err(Errno::ENOENT) => {}
        other => return other,
    }
    nix::sys::stat::mkdirat(&into, COPY_TREE, Mode::S_IRWXU)?;
    let new = open_beneath(into.as_fd(), COPY_TREE.to_bytes(), DIRECTORY)?;
    merge::fill(None, open_all(lower)?, new.as_fd(), Take::Link, || Ok(()))?;
    let failed = |error: std::io::Error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    std::fs::write(scratch.path().join(MERGED_OF), &names).map_err(failed)?;
    match std::fs::create_dir(MERGED) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        other => other.map_err(failed)?,
    }
    scratch.publish_durable(&place).map_err(failed)?;
    tree()
}

/// Whether a tree of these layers is kept: they are those of an image. The lowest may be that of mount targets, which stays as
/// long as the store.
pub fn is_kept(lower: &[CString]) -> bool {
    lower.iter().rev().skip(1).all(|name| name.to_bytes().starts_with(LAYERS.to_bytes()))
}

/// A directory that nobody else removes as long as it is held.
fn scratch() -> Result<TemporaryDirectory, Errno> {
    TemporaryDirectory::create(Path::new(TEMPORARY), Kind::Trash)
        .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
}

fn open_all(names: &[CString]) -> Result<Vec<OwnedFd>, Errno> {
    names.iter().map(|name| open_directory(name)).collect()
}

fn read_only(tree: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let clone = mount::clone_tree(tree, c"", Depth::Single)?;
    mount::restrict(clone.as_fd(), MountAttrs::NODEV.and(MountAttrs::RDONLY), Depth::Single)?;
    Ok(clone)
}

fn names(directory: BorrowedFd<'_>) -> Result<Vec<CString>, Errno> {
    let mut listing = nix::dir::Dir::from_fd(open_beneath(directory, b".", DIRECTORY)?)?;
    let names = listing.iter().map(|entry| entry.map(|entry| entry.file_name().to_owned()));
    let is_dot = |name: &CString| matches!(name.to_bytes(), b"." | b"..");
    names.filter(|name| !name.as_ref().is_ok_and(is_dot)).collect()
}
