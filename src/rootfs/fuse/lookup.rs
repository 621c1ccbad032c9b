//! `lookup`: what a name stands for.

use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::stat::FileStat;

use super::node::Node;
use super::overlay::Overlay;

impl Overlay {
    /// The inode of `name` in the directory `parent`, of which the kernel is about to be told.
    pub(super) fn look_up(&self, parent: u64, name: &[u8]) -> Result<(Arc<Node>, FileStat), Errno> {
        let parent = self.nodes.get(parent)?;
        if name.len() > 255 {
            return Err(Errno::ENAMETOOLONG);
        }
        self.with_listing(&parent, |directory| {
            let (node, stat) = self.child(&parent, directory, name)?;
            self.nodes.remember(&node);
            Ok((node, stat))
        })
    }

    /// The kernel has forgotten an inode so many times.
    pub(super) fn forget(&self, number: u64, times: u64) {
        if let Some(node) = self.nodes.forget(number, times) {
            self.release(&node);
        }
    }
}
