//! Going through all that the overlay shows without serving it.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::stat::FileStat;

use super::node::Node;
use super::overlay::Overlay;

/// One file that the overlay shows.
#[derive(Debug)]
pub struct Walked<'a> {
    /// The path of the directory that has it, below the root: empty for the root itself.
    pub parent: &'a [u8],
    /// Its name.
    pub name: &'a [u8],
    /// The topmost layer that has it, by index.
    pub layer: u16,
    /// The directory in that layer, good for paths only.
    pub directory: &'a OwnedFd,
    /// What is known of it there.
    pub stat: FileStat,
}

impl Overlay {
    /// Shows every file to `visit`, but for the root; a directory before what is in it. What is mounted on a directory of a
    /// layer is not gone into.
    pub fn walk(&self, visit: &mut dyn FnMut(&Walked<'_>) -> Result<(), Errno>) -> Result<(), Errno> {
        let mut directories: Vec<(Arc<Node>, Vec<u8>)> = vec![(self.root.clone(), Vec::new())];
        while let Some((node, path)) = directories.pop() {
            let names = match self.with_listing(&node, |directory| Ok(directory.names())) {
                Err(Errno::EXDEV) => continue,
                other => other?,
            };
            for name in names {
                let (child, stat) = self.with_listing(&node, |directory| self.child(&node, directory, &name))?;
                let layer = child.layer();
                let directory = self.directory(&node, layer)?;
                visit(&Walked { parent: &path, name: &name, layer, directory: &directory, stat })?;
                if child.is_directory() {
                    let separator: &[u8] = if path.is_empty() { b"" } else { b"/" };
                    directories.push((child, [&path, separator, &name].concat()));
                }
            }
            *node.listing.lock() = None;
        }
        Ok(())
    }
}
