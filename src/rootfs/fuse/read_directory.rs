//! `readdir`: the entries of a directory behind an offset.

use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::stat::FileStat;

use super::directory::DOTS;
use super::node::Node;
use super::overlay::Overlay;

/// One entry.
pub struct Listed<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Where to go on behind it.
    pub offset: u64,
    /// Its number, if it is not known by its inode.
    pub number: u64,
    /// Type (S_IFMT).
    pub kind: u32,
    /// Its inode, where that was asked for; not of `.` and `..`.
    pub inode: Option<(Arc<Node>, FileStat)>,
}

/// What is wanted of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Names and types.
    Names,
    /// Their inodes, too.
    Inodes,
}

impl Overlay {
    /// Gives the entries of `number` behind `offset` to `add`, which answers whether it has room for another one.
    pub(super) fn read_directory(
        &self,
        number: u64,
        offset: u64,
        want: Want,
        mut add: impl FnMut(Listed<'_>) -> bool,
    ) -> Result<(), Errno> {
        let node = self.nodes.get(number)?;
        for (name, place) in [(&b"."[..], 1), (b"..", DOTS)] {
            let shown = match place {
                1 => node.number,
                _ => node.name().map_or(node.number, |(parent, _)| parent.number),
            };
            let dot = Listed { name, offset: place, number: shown, kind: libc::S_IFDIR, inode: None };
            if offset < place && !add(dot) {
                return Ok(());
            }
        }
        self.with_listing(&node, |directory| {
            let mut offset = offset.max(DOTS);
            while let Some((name, entry)) = directory.after(offset) {
                let (name, kind, cookie) = (name.clone(), entry.kind, entry.cookie);
                offset = cookie;
                let inode = match want {
                    Want::Names => None,
                    Want::Inodes => match self.child(&node, directory, &name) {
                        Ok(inode) => Some(inode),
                        // Somebody has taken it away from outside.
                        Err(Errno::ENOENT) => continue,
                        Err(errno) => return Err(errno),
                    },
                };
                let number = match (&inode, directory.get(&name).and_then(|entry| entry.number)) {
                    (Some((node, _)), _) => node.number,
                    (None, Some(number)) => number,
                    (None, None) => self.child(&node, directory, &name).map_or(cookie, |(node, _)| node.number),
                };
                let known = inode.as_ref().map(|(node, _)| node.clone());
                if !add(Listed { name: &name, offset: cookie, number, kind, inode }) {
                    break;
                }
                if let Some(known) = known {
                    self.nodes.remember(&known);
                }
            }
            Ok(())
        })
    }
}
