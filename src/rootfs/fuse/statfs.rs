//! `statfs`: the room there is, which is that of the file system of the upper layer, or of the limit.

use nix::errno::Errno;
use nix::sys::statvfs::{Statvfs, fstatvfs};

use super::overlay::{Overlay, UPPER};

/// Room, in blocks and files.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Size of a block, in bytes.
    pub block: u32,
    /// Blocks.
    pub blocks: u64,
    /// Free ones.
    pub free: u64,
    /// Free ones for us.
    pub available: u64,
    /// Files.
    pub files: u64,
    /// Files that can still be made.
    pub files_free: u64,
    /// Bytes of a name.
    pub name: u32,
}

impl Overlay {
    /// The room there is.
    pub(super) fn room(&self) -> Result<Room, Errno> {
        let root = self.directory(&self.root, UPPER)?;
        Ok(self.within_limit(&fstatvfs(&*root)?))
    }

    fn within_limit(&self, all: &Statvfs) -> Room {
        let block = all.fragment_size().max(1);
        let mut room = Room {
            block: block as u32,
            blocks: all.blocks(),
            free: all.blocks_free(),
            available: all.blocks_available(),
            files: all.files(),
            files_free: all.files_free(),
            name: all.name_max() as u32,
        };
        if let Some(quota) = &self.quota {
            let (limit, left) = quota.in_blocks(block);
            room.blocks = room.blocks.min(limit);
            room.free = room.free.min(left);
            room.available = room.available.min(left);
        }
        room
    }
}
