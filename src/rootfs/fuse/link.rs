//! `link` and `readlink`.

use std::os::fd::AsFd;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::FileStat;

use super::copy_up::Contents;
use super::node::Node;
use super::overlay::Overlay;

impl Overlay {
    /// Gives the inode `number` another name.
    pub(super) fn link(&self, number: u64, parent: u64, name: &[u8]) -> Result<(Arc<Node>, FileStat), Errno> {
        let (node, parent) = (self.nodes.get(number)?, self.nodes.get(parent)?);
        if name.len() > 255 {
            return Err(Errno::ENAMETOOLONG);
        }
        if node.is_directory() {
            return Err(Errno::EPERM);
        }
        self.copy_up(&node, Contents::Whole)?;
        self.copy_up(&parent, Contents::Whole)?;
        let (source, old) = self.place(&node)?;
        self.with_listing(&parent, |directory| {
            if directory.get(name).is_some() {
                return Err(Errno::EEXIST);
            }
            let target = self.upper_directory(&parent)?;
            let below = directory.has_whiteout(name);
            if below {
                let temporary = self.temporary_name();
                nix::unistd::linkat(&*source, &*old, self.work()?, temporary.as_str(), AtFlags::empty())?;
                self.replace_whiteout(&temporary, target.as_fd(), name, false)
                    .inspect_err(|_| self.discard(&temporary))?;
            } else {
                nix::unistd::linkat(&*source, &*old, &*target, name, AtFlags::empty())?;
            }
            let name: Arc<[u8]> = name.into();
            node.state.lock().names.push((parent.clone(), name.clone()));
            directory.insert_upper(name, below, &node);
            self.nodes.remember(&node);
            Ok((node.clone(), self.stat(&node)?))
        })
    }

    /// What the symbolic link `number` says.
    pub(super) fn read_link(&self, number: u64) -> Result<Vec<u8>, Errno> {
        use std::os::unix::ffi::OsStringExt;
        let node = self.nodes.get(number)?;
        let orphan = node.state.lock().orphan.clone();
        if let Some(super::node::Orphan::Other(fd)) = orphan {
            return nix::fcntl::readlinkat(&*fd, c"").map(OsStringExt::into_vec);
        }
        let (directory, name) = self.place(&node)?;
        nix::fcntl::readlinkat(&*directory, &*name).map(OsStringExt::into_vec)
    }
}
