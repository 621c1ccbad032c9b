//! `read`, `write`, `fallocate`, `lseek`, `copy_file_range`, `fsync`: contents of files.

use std::os::unix::fs::{FileExt, MetadataExt};

use nix::errno::Errno;
use nix::fcntl::FallocateFlags;
use nix::unistd::Whence;

use super::copy_up::Contents;
use super::overlay::Overlay;

fn errno(error: std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

impl Overlay {
    /// Reads from the file `number` into `buffer`; less than that at its end only.
    pub(super) fn read(&self, number: u64, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let file = self.file(&*self.nodes.get(number)?, false)?;
        let mut done = 0;
        while done < buffer.len() {
            match file.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) if done > 0 => break,
                Err(error) => return Err(self::errno(error)),
            }
        }
        Ok(done)
    }

    /// Writes to the file `number`.
    pub(super) fn write(&self, number: u64, offset: u64, data: &[u8]) -> Result<(), Errno> {
        let node = self.nodes.get(number)?;
        self.copy_up(&node, Contents::Whole)?;
        let file = self.file(&node, true)?;
        let blocks = || file.metadata().map(|metadata| metadata.blocks());
        let before = self.before_growth(blocks, data.len() as u64)?;
        let written = file.write_all_at(data, offset).map_err(errno);
        self.account(blocks, before)?;
        written
    }

    /// Makes room in, or takes room from, the file `number` (fallocate(2)).
    pub(super) fn allocate(&self, number: u64, offset: u64, length: u64, mode: i32) -> Result<(), Errno> {
        let node = self.nodes.get(number)?;
        self.copy_up(&node, Contents::Whole)?;
        let file = self.file(&node, true)?;
        let (offset, length) = (i64::try_from(offset), i64::try_from(length));
        let (Ok(offset), Ok(length)) = (offset, length) else { return Err(Errno::EFBIG) };
        let flags = FallocateFlags::from_bits(mode).ok_or(Errno::EOPNOTSUPP)?;
        let blocks = || file.metadata().map(|metadata| metadata.blocks());
        let grows = !flags.intersects(FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_COLLAPSE_RANGE);
        let before = self.before_growth(blocks, if grows { length as u64 } else { 0 })?;
        let done = nix::fcntl::fallocate(&*file, flags, offset, length);
        self.account(blocks, before)?;
        done
    }

    /// Where data or a hole begins in the file `number`.
    pub(super) fn seek(&self, number: u64, offset: i64, whence: i32) -> Result<i64, Errno> {
        let whence = match whence {
            libc::SEEK_DATA => Whence::SeekData,
            libc::SEEK_HOLE => Whence::SeekHole,
            _ => return Err(Errno::EINVAL),
        };
        let file = self.file(&*self.nodes.get(number)?, false)?;
        nix::unistd::lseek(&*file, offset, whence)
    }

    /// Copies within the overlay, by reference where the file system can; how much was copied.
    pub(super) fn copy_range(
        &self,
        (from, from_offset): (u64, u64),
        (to, to_offset): (u64, u64),
        length: u64,
    ) -> Result<usize, Errno> {
        let (from, to) = (self.nodes.get(from)?, self.nodes.get(to)?);
        self.copy_up(&to, Contents::Whole)?;
        let (source, target) = (self.file(&from, false)?, self.file(&to, true)?);
        let (Ok(mut input), Ok(mut output)) = (i64::try_from(from_offset), i64::try_from(to_offset)) else {
            return Err(Errno::EFBIG);
        };
        // The kernel's answer has 32 bits.
        let length = length.min(1 << 30) as usize;
        let blocks = || target.metadata().map(|metadata| metadata.blocks());
        let before = self.before_growth(blocks, length as u64)?;
        let copied = nix::fcntl::copy_file_range(&*source, Some(&mut input), &*target, Some(&mut output), length);
        self.account(blocks, before)?;
        copied
    }

    /// Has the file or directory `number` written to the disk.
    pub(super) fn sync(&self, number: u64, only_data: bool) -> Result<(), Errno> {
        let node = self.nodes.get(number)?;
        if self.volatile || !self.is_in_upper(&node) {
            return Ok(());
        }
        if node.is_directory() {
            let orphan = node.state.lock().orphan.is_some();
            if orphan {
                return Ok(());
            }
            let open = self.upper_directory(&node)?;
            return nix::unistd::fsync(super::directory::open_listing(std::os::fd::AsFd::as_fd(&*open))?);
        }
        let file = self.file(&node, true)?;
        if only_data { nix::unistd::fdatasync(&*file) } else { nix::unistd::fsync(&*file) }
    }
}
