//! `image mount` and `image unmount`: the files of an image where programs of the host can read them.
//!
//! An unprivileged process cannot mount anything for its caller, only for itself and those that it starts: hence these work in
//! the namespaces that `unshare` makes, as podman's do.

use std::ffi::CString;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::MntFlags;
use nix::sys::stat::Mode;

use crate::failure::{Explain, Failure};
use crate::name::container::ContainerName;
use crate::name::storage_driver::Driver;
use crate::oci::digest::ImageId;
use crate::rootfs::fuse;
use crate::runtime::step::Upper;
use crate::runtime::{copy_mount, fuse_mount, overlay_mount};
use crate::state::journal::{self, ImageEvent};
use crate::state::layout::Layout;
use crate::state::record::{io_code, io_hint};
use crate::state::schema::image::ImageRecord;
use crate::store::Store;
use crate::sys::mount::{self, Depth, MountAttrs};

/// An image or a container, as messages about its mount name it.
#[derive(Clone, Debug)]
pub struct Subject {
    kind: &'static str,
    name: String,
    verb: &'static str,
}

impl Subject {
    fn image(image: &ImageId) -> Self {
        Self { kind: "image", name: image.short().into(), verb: "image mount" }
    }

    /// The container of this name.
    pub fn container(name: &ContainerName) -> Self {
        Self { kind: "container", name: name.to_string(), verb: "mount" }
    }

    /// What `cause` means, which kept it from being mounted or unmounted (`doing`) at `path`.
    pub fn failed(&self, doing: &'static str, path: &Path, cause: std::io::Error) -> MountError {
        let subject = self.clone();
        match cause.raw_os_error() {
            Some(libc::EPERM) => MountError::Unprivileged { doing, subject },
            _ => MountError::Failed { doing, subject, path: path.into(), cause },
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// Why it was not mounted or unmounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// We may not mount anything here.
    #[error("{doing} {subject}: this needs mount privileges")]
    Unprivileged {
        /// What was tried.
        doing: &'static str,
        /// On what.
        subject: Subject,
    },
    /// It has no files.
    #[error("mounting {0}: it has no layers")]
    Empty(Subject),
    /// It is not mounted.
    #[error("unmounting {0}: it is not mounted")]
    NotMounted(Subject),
    /// A step failed.
    #[error("{doing} {subject} on {}", path.display())]
    Failed {
        /// What was tried.
        doing: &'static str,
        /// On what.
        subject: Subject,
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
            Self::Unprivileged { subject: Subject { kind, verb, .. }, .. } => Some(format!(
                "run `coracle unshare` and mount it in the shell that this starts, or in one command: \
                 coracle unshare sh -c 'ls $(coracle {verb} {})'",
                kind.to_uppercase()
            )),
            Self::Empty(_) => None,
            Self::NotMounted(Subject { kind, verb, .. }) => {
                Some(format!("coracle {verb} lists the {kind}s that are mounted"))
            }
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
        return Err(MountError::Empty(Subject::image(&image.id)).into());
    }
    let path = store.layout().image_mount(&image.id);
    let failed = |cause| Subject::image(&image.id).failed("mounting", &path, cause);
    let point = prepare(store.layout(), &path).map_err(failed)?;
    let layers = image.visible_layers().iter().rev();
    let trees = layers.map(|layer| CString::new(format!("layers/{}/tree", layer.diff_id.hex())).unwrap_or_default());
    // An overlay has at least two layers: the lowest is the empty directory on which it is mounted.
    let trees: Vec<CString> = trees.chain([point.clone()]).collect();
    attach(store.layout(), &trees, None, &point).map_err(failed)?;
    journal::note_image(store.layout(), ImageEvent::Mount, image.id.hex(), "");
    Ok(path)
}

/// Makes the directory on which something of the store is mounted, and goes to where its layers have their names.
pub fn prepare(layout: &Layout, path: &Path) -> std::io::Result<CString> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    nix::unistd::chdir(layout.data())?;
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL.into())
}

/// Mounts an overlay of these directories, topmost first, on `point`; read-only where none of them is written to. Names are
/// relative to the working directory.
pub fn attach(layout: &Layout, trees: &[CString], upper: Option<&Upper>, point: &CString) -> std::io::Result<()> {
    let mounted = match layout.storage_driver() {
        Some(Driver::Fuse) => serve(trees, upper)?,
        Some(Driver::Overlay) => overlay_mount::mount(trees, upper, point)?,
        Some(Driver::Copy) => copy(trees, upper)?,
        None if layout.first_driver() == Driver::Copy => copy(trees, upper)?,
        None => {
            let first = match layout.first_driver() {
                Driver::Overlay => overlay_mount::mount(trees, upper, point),
                // It is next.
                _ => Err(Errno::EINVAL),
            };
            match first {
                // Who may not mount anything may not mount ours either.
                Err(errno) if errno != Errno::EPERM => match serve(trees, upper) {
                    Err(_) => copy(trees, upper)?,
                    served => served?,
                },
                other => other?,
            }
        }
    };
    attach_mount(&mounted, upper.is_some(), point)
}

/// Mounts the tree `path`, relative to the working directory, on `point`.
pub fn attach_tree(path: &CString, writable: bool, point: &CString) -> std::io::Result<()> {
    let tree = fuse_mount::open_directory(path)?;
    attach_mount(&mount::clone_tree(tree.as_fd(), c"", Depth::Single)?, writable, point)
}

fn attach_mount(mounted: &OwnedFd, writable: bool, point: &CString) -> std::io::Result<()> {
    let attributes = MountAttrs::NODEV.and(MountAttrs::NOSUID);
    let attributes = if writable { attributes } else { attributes.and(MountAttrs::RDONLY) };
    mount::restrict(mounted.as_fd(), attributes, Depth::Single)?;
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let target = nix::fcntl::open(point.as_c_str(), flags, Mode::empty())?;
    Ok(mount::attach(mounted.as_fd(), target.as_fd())?)
}

/// Mounts a copy. What else is only read lives as long as a process of ours, and here there is none.
fn copy(trees: &[CString], upper: Option<&Upper>) -> Result<OwnedFd, Errno> {
    let trees: Vec<CString> = trees.iter().filter(|tree| !tree.to_bytes().starts_with(b"/")).cloned().collect();
    if upper.is_none() && !copy_mount::is_kept(&trees) {
        return Err(Errno::EOPNOTSUPP);
    }
    copy_mount::mount(&trees, upper)
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
    let path = mounted_at(store, image).ok_or_else(|| MountError::NotMounted(Subject::image(image)))?;
    detach(&path, if_busy).map_err(|cause| Subject::image(image).failed("unmounting", &path, cause))?;
    journal::note_image(store.layout(), ImageEvent::Unmount, image.hex(), "");
    Ok(())
}

/// Takes away what is mounted here.
pub fn detach(path: &Path, if_busy: IfBusy) -> std::io::Result<()> {
    let flags = match if_busy {
        IfBusy::Refuse => MntFlags::UMOUNT_NOFOLLOW,
        IfBusy::Detach => MntFlags::UMOUNT_NOFOLLOW | MntFlags::MNT_DETACH,
    };
    nix::mount::umount2(path, flags)?;
    // Another namespace may have something mounted on it.
    let _ = std::fs::remove_dir(path);
    Ok(())
}
