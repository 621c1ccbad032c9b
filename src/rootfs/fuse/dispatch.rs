//! The table of operations: what the kernel asks for, and who does it.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, CopyFileRangeFlags, Errno as Reply, FileHandle, Filesystem, FopenFlags, Generation, INodeNo,
    InitFlags, IoctlFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen, ReplyStatfs,
    ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use nix::errno::Errno;
use nix::sys::stat::FileStat;

use super::attributes::file_type;
use super::create::{Maker, New};
use super::node::Node;
use super::overlay::Overlay;
use super::read_directory::{Listed, Want};
use super::rename::Target;
use super::set_attributes::Change;

/// How long the kernel may rely on what it is told: it is the only one who changes anything.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Bytes in a request that writes, at most: what the kernel gives an unprivileged server (`fs.fuse.max_pages_limit`).
const MAX_WRITE: u32 = 1 << 20;

/// What makes it fast, each asked for where the kernel has it.
const WANTED: &[InitFlags] = &[
    InitFlags::FUSE_ASYNC_READ,
    InitFlags::FUSE_ASYNC_DIO,
    InitFlags::FUSE_PARALLEL_DIROPS,
    InitFlags::FUSE_WRITEBACK_CACHE,
    InitFlags::FUSE_DO_READDIRPLUS,
    InitFlags::FUSE_READDIRPLUS_AUTO,
    InitFlags::FUSE_CACHE_SYMLINKS,
    InitFlags::FUSE_NO_OPEN_SUPPORT,
    InitFlags::FUSE_NO_OPENDIR_SUPPORT,
    InitFlags::FUSE_HANDLE_KILLPRIV_V2,
    InitFlags::FUSE_MAX_PAGES,
    InitFlags::FUSE_EXPLICIT_INVAL_DATA,
];

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn code(errno: Errno) -> Reply {
    Reply::from_i32(errno as i32)
}

fn maker(request: &Request) -> Maker {
    Maker { uid: request.uid(), gid: request.gid() }
}

/// Ends a reply without contents.
fn finish(reply: ReplyEmpty, result: Result<(), Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(code(errno)),
    }
}

/// Ends a reply about an attribute, or the list of all, of which so many bytes are wanted; 0 asks for the length.
fn finish_attribute(reply: ReplyXattr, result: Result<Vec<u8>, Errno>, size: u32) {
    match result {
        Ok(value) if size == 0 => reply.size(value.len() as u32),
        Ok(value) if value.len() > size as usize => reply.error(Reply::ERANGE),
        Ok(value) => reply.data(&value),
        Err(errno) => reply.error(code(errno)),
    }
}

impl Overlay {
    /// Tells of an inode. An entry names it by the number that its attributes have: where that must be another one, they are
    /// asked for.
    fn tell(&self, reply: ReplyEntry, result: Result<(std::sync::Arc<Node>, FileStat), Errno>) {
        match result {
            Ok((node, stat)) => {
                let mut attributes = self.shown(&node, &stat);
                let (ttl, number) = match self.has_shared_number(&node, &stat) {
                    true => (Duration::ZERO, INodeNo(node.number)),
                    false => (FOREVER, attributes.ino),
                };
                attributes.ino = number;
                reply.entry_with_ttls(&ttl, &FOREVER, &attributes, Generation(0));
            }
            Err(errno) => reply.error(code(errno)),
        }
    }
}

/// Said of a name that is not there, and that it is not there until the kernel makes it.
fn nothing() -> fuser::FileAttr {
    let epoch = SystemTime::UNIX_EPOCH;
    fuser::FileAttr {
        ino: INodeNo(0),
        size: 0,
        blocks: 0,
        atime: epoch,
        mtime: epoch,
        ctime: epoch,
        crtime: epoch,
        kind: fuser::FileType::RegularFile,
        perm: 0,
        nlink: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 0,
        flags: 0,
    }
}

impl Filesystem for Overlay {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for &wanted in WANTED {
            // A kernel without it does without.
            let _ = config.add_capabilities(wanted);
        }
        let _ = config.set_max_write(MAX_WRITE);
        let _ = config.set_max_readahead(MAX_WRITE);
        let _ = config.set_max_background(64);
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.look_up(parent.0, name.as_bytes()) {
            Err(Errno::ENOENT) => reply.entry(&FOREVER, &nothing(), Generation(0)),
            result => self.tell(reply, result),
        }
    }

    fn forget(&self, _request: &Request, number: INodeNo, times: u64) {
        Overlay::forget(self, number.0, times);
    }

    fn getattr(&self, _request: &Request, number: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(number.0) {
            Ok(attributes) => reply.attr(&FOREVER, &attributes),
            Err(errno) => reply.error(code(errno)),
        }
    }

    fn setattr(
        &self,
        _request: &Request,
        number: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        accessed: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _changed: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _created: Option<SystemTime>,
        _change_time: Option<SystemTime>,
        _backup_time: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let change = Change { mode, uid, gid, size, accessed, modified };
        match self.set_attributes(number.0, &change) {
            Ok(attributes) => reply.attr(&FOREVER, &attributes),
            Err(errno) => reply.error(code(errno)),
        }
    }

    fn readlink(&self, _request: &Request, number: INodeNo, reply: ReplyData) {
        match self.read_link(number.0) {
            Ok(target) => reply.data(&target),
            Err(errno) => reply.error(code(errno)),
        }
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        device: u32,
        reply: ReplyEntry,
    ) {
        let new = match mode & libc::S_IFMT {
            0 | libc::S_IFREG => New::File,
            kind => New::Special(kind, device.into()),
        };
        self.tell(reply, self.create(parent.0, name.as_bytes(), new, mode, maker(request)));
    }

    fn mkdir(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, _umask: u32, reply: ReplyEntry) {
        self.tell(reply, self.create(parent.0, name.as_bytes(), New::Directory, mode, maker(request)));
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        finish(reply, Overlay::unlink(self, parent.0, name.as_bytes()));
    }

    fn rmdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        finish(reply, self.remove_directory(parent.0, name.as_bytes()));
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let new = New::Link(target.as_os_str().as_bytes());
        self.tell(reply, self.create(parent.0, name.as_bytes(), new, 0o777, maker(request)));
    }

    fn rename(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let target = match flags {
            flags if flags == RenameFlags::RENAME_NOREPLACE => Target::New,
            flags if flags == RenameFlags::RENAME_EXCHANGE => Target::Exchange,
            flags if flags.is_empty() => Target::Replace,
            _ => return reply.error(Reply::EINVAL),
        };
        let (from, to) = ((parent.0, name.as_bytes()), (new_parent.0, new_name.as_bytes()));
        finish(reply, Overlay::rename(self, from, to, target));
    }

    fn link(&self, _request: &Request, number: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.tell(reply, Overlay::link(self, number.0, parent.0, name.as_bytes()));
    }

    fn open(&self, _request: &Request, _number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        // Not needed: the kernel does not ask again, and keeps the pages of files that nobody has open.
        reply.error(Reply::ENOSYS);
    }

    fn read(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        BUFFER.with_borrow_mut(|buffer| {
            let size = size as usize;
            if buffer.len() < size {
                buffer.resize(size, 0);
            }
            match Overlay::read(self, number.0, offset, &mut buffer[..size]) {
                Ok(length) => reply.data(&buffer[..length]),
                Err(errno) => reply.error(code(errno)),
            }
        });
    }

    fn write(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match Overlay::write(self, number.0, offset, data) {
            Ok(()) => reply.written(data.len() as u32),
            Err(errno) => reply.error(code(errno)),
        }
    }

    fn flush(&self, _request: &Request, _number: INodeNo, _handle: FileHandle, _owner: LockOwner, reply: ReplyEmpty) {
        // Nothing is kept back here.
        reply.error(Reply::ENOSYS);
    }

    fn fsync(&self, _request: &Request, number: INodeNo, _handle: FileHandle, only_data: bool, reply: ReplyEmpty) {
        finish(reply, self.sync(number.0, only_data));
    }

    fn fsyncdir(&self, _request: &Request, number: INodeNo, _handle: FileHandle, only_data: bool, reply: ReplyEmpty) {
        finish(reply, self.sync(number.0, only_data));
    }

    fn opendir(&self, _request: &Request, _number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.error(Reply::ENOSYS);
    }

    fn readdir(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let add = |listed: Listed<'_>| {
            let kind = file_type(listed.kind);
            !reply.add(INodeNo(listed.number), listed.offset, kind, OsStr::from_bytes(listed.name))
        };
        match self.read_directory(number.0, offset, Want::Names, add) {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(code(errno)),
        }
    }

    fn readdirplus(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let add = |listed: Listed<'_>| {
            let name = OsStr::from_bytes(listed.name);
            let number = INodeNo(listed.number);
            let (attributes, ttl) = match &listed.inode {
                // As in [`Overlay::tell`].
                Some((node, stat)) if self.has_shared_number(node, stat) => (self.shown(node, stat), Duration::ZERO),
                Some((node, stat)) => (self.shown(node, stat), FOREVER),
                None => (fuser::FileAttr { kind: file_type(listed.kind), ..nothing() }, FOREVER),
            };
            let attributes = fuser::FileAttr { ino: number, ..attributes };
            !reply.add(number, listed.offset, name, &ttl, &attributes, Generation(0))
        };
        match self.read_directory(number.0, offset, Want::Inodes, add) {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(code(errno)),
        }
    }

    fn statfs(&self, _request: &Request, _number: INodeNo, reply: ReplyStatfs) {
        match self.room() {
            Ok(room) => reply.statfs(
                room.blocks,
                room.free,
                room.available,
                room.files,
                room.files_free,
                room.block,
                room.name,
                room.block,
            ),
            Err(errno) => reply.error(code(errno)),
        }
    }

    fn setxattr(
        &self,
        _request: &Request,
        number: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        finish(reply, self.set_attribute(number.0, name.as_bytes(), value, flags));
    }

    fn getxattr(&self, _request: &Request, number: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        finish_attribute(reply, self.attribute(number.0, name.as_bytes()), size);
    }

    fn listxattr(&self, _request: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        finish_attribute(reply, self.attribute_names(number.0), size);
    }

    fn removexattr(&self, _request: &Request, number: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        finish(reply, self.remove_attribute(number.0, name.as_bytes()));
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        match Overlay::create(self, parent.0, name.as_bytes(), New::File, mode, maker(request)) {
            Ok((node, stat)) => {
                let attributes = self.shown(&node, &stat);
                let flags = FopenFlags::FOPEN_KEEP_CACHE;
                reply.created(&FOREVER, &attributes, Generation(0), FileHandle(0), flags);
            }
            Err(errno) => reply.error(code(errno)),
        }
    }

    fn ioctl(
        &self,
        _request: &Request,
        _number: INodeNo,
        _handle: FileHandle,
        _flags: IoctlFlags,
        _command: u32,
        _input: &[u8],
        _size: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Reply::ENOTTY);
    }

    fn fallocate(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        finish(reply, self.allocate(number.0, offset, length, mode));
    }

    fn lseek(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        match self.seek(number.0, offset, whence) {
            Ok(offset) => reply.offset(offset),
            Err(errno) => reply.error(code(errno)),
        }
    }

    fn copy_file_range(
        &self,
        _request: &Request,
        from: INodeNo,
        _from_handle: FileHandle,
        from_offset: u64,
        to: INodeNo,
        _to_handle: FileHandle,
        to_offset: u64,
        length: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        match self.copy_range((from.0, from_offset), (to.0, to_offset), length) {
            Ok(copied) => reply.written(copied as u32),
            Err(errno) => reply.error(code(errno)),
        }
    }
}
