//! `image mount` and `image unmount`: the files of an image where programs of the host can read them.
//!
//! An unprivileged process cannot mount anything for its caller, only for itself and those that it starts: hence these work in
//! the namespaces that `unshare` makes, as podman's do.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::MntFlags;
use nix::sys::stat::Mode;

use crate::failure::{Explain, Failure};
use crate::name::storage_driver::Driver;
use crate::oci::digest::ImageId;
use crate::rootfs::fuse;
use crate::runtime::step::Upper;
use crate::runtime::{fuse_mount, overlay_mount};
use crate::state::journal::{self, ImageEvent};
use crate::state::layout::Layout;
use crate::state::record::{io_code, io_hint};
use crate::state::schema::image::ImageRecord;
use crate::store::Store;
use crate::sys::mount::{self, Depth, MountAttrs};

/// Why an image was not mounted or unmounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// We may not mount anything here.
    #[error("{doing} image {}: this needs mount privileges", image.short())]
    Unprivileged {
        /// What was tried.
        doing: &'static str,
        /// The image.
        image: ImageId,
    },
    /// It has no files.
    #[error("mounting image {}: it has no layers", .0.short())]
    Empty(ImageId),
    /// It is not mounted.
    #[error("unmounting image {}: it is not mounted", .0.short())]
    NotMounted(ImageId),
    /// A step failed.
    #[error("{doing} image {} on {}", image.short(), path.display())]
    Failed {
        /// What was tried.
        doing: &'static str,
        /// The image.
        image: ImageId,
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
}

impl Explain for MountError {
    fn code(&self) -> &'static str {
        match self {
            Self::Unprivileged { .. } => "E_PERMISSION",
            Self::Empty(_) => "E_UNSUPPORTED",
            Self::NotMounted(_) => "E_NOTFOUND",
            Self::Failed { cause, .. } if cause.raw_os_error() == Some(libc::EBUSY) => "E_BUSY",
            Self::Failed { cause, .. } => io_code(cause),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unprivileged { .. } => Some(
                "run `coracle unshare` and mount it in the shell that this starts, or in one command: \
                 coracle unshare sh -c 'ls $(coracle image mount IMAGE)'"
                    .into(),
            ),
            Self::Empty(_) => None,
            Self::NotMounted(_) => Some("coracle image mount lists the images that are mounted".into()),
            Self::Failed { cause, .. } if cause.raw_os_error() == Some(libc::EBUSY) => {
                Some("somebody uses files in it: --force takes it away all the same".into())
            }
            Self::Failed { cause, .. } => io_hint(cause),
        }
    }
}

/// What is done about a mount that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfBusy {
    /// It stays: an error.
    Refuse,
    /// It goes from sight now, and altogether with its last user.
    Detach,
}

/// Where the image is mounted in our mount namespace.
pub fn mounted_at(store: &Store, image: &ImageId) -> Option<PathBuf> {
    let path = store.layout().image_mount(image);
    is_mounted(&path).then_some(path)
}

/// Whether an overlay is mounted on this directory.
pub fn is_mounted(path: &Path) -> bool {
    let device = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.dev()).ok();
    // An overlay is a device of its own.
    let here = device(path);
    here.is_some() && path.parent().and_then(device) != here
}

/// Mounts the image's files, read-only, unless they are; where. The layers are opened by names relative to the store, which
/// becomes this process's working directory.
pub fn mount(store: &Store, image: &ImageRecord) -> Result<PathBuf, Failure> {
    if let Some(path) = mounted_at(store, &image.id) {
        return Ok(path);
    }
    if image.layers.is_empty() {
        return Err(MountError::Empty(image.id.clone()).into());
    }
    let path = store.layout().image_mount(&image.id);
    let failed = |cause: std::io::Error| explained("mounting", &image.id, &path, cause);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
    nix::unistd::chdir(store.layout().data()).map_err(|errno| failed(errno.into()))?;
    let point = CString::new(path.as_os_str().as_bytes()).map_err(|_| failed(Errno::EINVAL.into()))?;
    let layers = image.visible_layers().iter().rev();
    let trees = layers.map(|layer| CString::new(format!("layers/{}/tree", layer.diff_id.hex())).unwrap_or_default());
    // An overlay has at least two layers: the lowest is the empty directory on which it is mounted.
    let trees: Vec<CString> = trees.chain([point.clone()]).collect();
    attach(store.layout(), &trees, None, &point).map_err(failed)?;
    journal::note_image(store.layout(), ImageEvent::Mount, image.id.hex(), "");
    Ok(path)
}

/// Mounts an overlay of these directories, topmost first, on `point`; read-only where none of them is written to. Names are
/// relative to the working directory.
pub fn attach(layout: &Layout, trees: &[CString], upper: Option<&Upper>, point: &CString) -> std::io::Result<()> {
    let mounted = match layout.storage_driver() {
        Some(Driver::Fuse) => serve(trees, upper)?,
        Some(Driver::Overlay) => overlay_mount::mount(trees, upper, point)?,
        None => match overlay_mount::mount(trees, upper, point) {
            // Who may not mount anything may not mount ours either.
            Err(errno) if errno != Errno::EPERM => serve(trees, upper)?,
            other => other?,
        },
    };
    let attributes = MountAttrs::NODEV.and(MountAttrs::NOSUID);
    let attributes = if upper.is_none() { attributes.and(MountAttrs::RDONLY) } else { attributes };
    mount::restrict(mounted.as_fd(), attributes, Depth::Single)?;
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let target = nix::fcntl::open(point.as_c_str(), flags, Mode::empty())?;
    Ok(mount::attach(mounted.as_fd(), target.as_fd())?)
}

/// Mounts our own overlay, served by a process that lives as long as the mount.
fn serve(trees: &[CString], upper: Option<&Upper>) -> std::io::Result<OwnedFd> {
    let (mounted, device) = fuse_mount::make()?;
    let open = fuse_mount::open_directory;
    let lower = trees.iter().map(|tree| open(tree)).collect::<Result<_, _>>()?;
    let upper = upper.map(|upper| Ok::<_, Errno>((open(&upper.upperdir)?, open(&upper.workdir)?))).transpose()?;
    let order = fuse::Order { device, namespace: None, upper, lower, limit: None, volatile: false };
    order.start()?;
    Ok(mounted)
}

/// Takes the image's mount away.
pub fn unmount(store: &Store, image: &ImageId, if_busy: IfBusy) -> Result<(), Failure> {
    let path = mounted_at(store, image).ok_or_else(|| MountError::NotMounted(image.clone()))?;
    let flags = match if_busy {
        IfBusy::Refuse => MntFlags::UMOUNT_NOFOLLOW,
        IfBusy::Detach => MntFlags::UMOUNT_NOFOLLOW | MntFlags::MNT_DETACH,
    };
    let unmounted = nix::mount::umount2(&path, flags);
    unmounted.map_err(|errno| explained("unmounting", image, &path, errno.into()))?;
    // Another namespace may have something mounted on it.
    let _ = std::fs::remove_dir(&path);
    journal::note_image(store.layout(), ImageEvent::Unmount, image.hex(), "");
    Ok(())
}

fn explained(doing: &'static str, image: &ImageId, path: &Path, cause: std::io::Error) -> MountError {
    match cause.raw_os_error() {
        Some(libc::EPERM) => MountError::Unprivileged { doing, image: image.clone() },
        _ => MountError::Failed { doing, image: image.clone(), path: path.into(), cause },
    }
}
