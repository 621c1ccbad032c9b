//! Making the overlay, from init: layers by descriptor-free names relative to the store.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::step::Upper;
use crate::sys::mount::{self, Depth, FsContext, MountAttrs};

/// A detached overlay mount in the format that unprivileged mounts use (`userxattr`, Linux 5.11).
pub fn mount(lower: &[CString], upper: Option<&Upper>, mountpoint: &CStr) -> Result<OwnedFd, Errno> {
    match mount_by_context(lower, upper) {
        // Before Linux 6.5 there is no `lowerdir+`.
        Err(Errno::EINVAL) => mount_by_options(lower, upper, mountpoint),
        other => other,
    }
}

fn mount_by_context(lower: &[CString], upper: Option<&Upper>) -> Result<OwnedFd, Errno> {
    let context = FsContext::open(c"overlay")?;
    context.set(c"source", Some(c"overlay"))?;
    for layer in lower {
        context.set(c"lowerdir+", Some(layer))?;
    }
    if let Some(upper) = upper {
        context.set(c"upperdir", Some(&upper.upperdir))?;
        context.set(c"workdir", Some(&upper.workdir))?;
        if upper.volatile {
            context.set(c"volatile", None)?;
        }
    }
    context.set(c"userxattr", None)?;
    context.mount(MountAttrs::NODEV)
}

fn mount_by_options(lower: &[CString], upper: Option<&Upper>, mountpoint: &CStr) -> Result<OwnedFd, Errno> {
    let mut options = b"userxattr,lowerdir=".to_vec();
    options.extend(lower.iter().map(|layer| layer.to_bytes()).collect::<Vec<_>>().join(&b':'));
    if let Some(upper) = upper {
        options.extend([b",upperdir=", upper.upperdir.to_bytes(), b",workdir=", upper.workdir.to_bytes()].concat());
        if upper.volatile {
            options.extend(b",volatile");
        }
    }
    let options = CString::new(options).map_err(|_| Errno::EINVAL)?;
    mount::mount_overlay_by_path(mountpoint, &options)?;
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mounted = nix::fcntl::open(mountpoint, flags, Mode::empty())?;
    let clone = mount::clone_tree(mounted.as_fd(), c"", Depth::Single)?;
    mount::restrict(clone.as_fd(), MountAttrs::NODEV, Depth::Single)?;
    Ok(clone)
}
