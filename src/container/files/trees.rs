//! What a container's or an image's root is made of on disk, and the plans that mount it.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::fcntl::OFlag;

use super::visit;
use crate::container::{driver, host_view};
use crate::failure::Failure;
use crate::name::storage_driver::Driver;
use crate::oci::digest::DiffId;
use crate::rootfs::view::View;
use crate::runtime::plan::LaunchPlan;
pub use crate::runtime::step::Slot;
use crate::runtime::step::{Links, Missing, Place, Step, TargetKind, Upper};
use crate::state::layout::{CONTAINER_COPY, COPY_TREE, Layout};
use crate::state::schema::container::ContainerRecord;
use crate::state::schema::image::ImageRecord;
use crate::store::Store;
use crate::sys::in_root::{Resolve, open_below};
use crate::sys::mount::{Depth, MountAttrs};

/// The root that is entered.
pub const ROOT: Slot = Slot(0);
/// A second root, or a container's own layer, that is only held.
pub const OTHER: Slot = Slot(1);
/// What is below a container's own layer, where both are only held.
pub const BELOW: Slot = Slot(2);
const FIRST_FREE: usize = 3;

/// A directory of the store to mount on, in a namespace where nobody else sees that.
const MOUNTPOINT: &CStr = c"tmp";

/// Directories that make up a root, relative to the store or absolute.
#[derive(Clone, Debug)]
pub struct Trees {
    /// What is below the container's own layer, topmost first.
    lower: Vec<CString>,
    /// The container's own layer, and its work directory.
    upper: Option<(CString, CString)>,
    /// The container's directory, where it has a copy of all this, which is the truth then.
    copied: Option<CString>,
    /// How they are put together.
    driver: Driver,
    /// Whether it may be written to.
    writable: bool,
    /// Absolute paths without the first slash, on which there are mounts while the container runs.
    pub mounted_on: Vec<Vec<u8>>,
    /// Directories and files mounted there that are there without the container, too.
    mounts: Vec<Mounted>,
}

/// A directory or file of the host or of the store that is mounted in the container.
#[derive(Clone, Debug)]
struct Mounted {
    source: CString,
    destination: String,
    kind: TargetKind,
    writable: bool,
}

/// What every container mounts itself, or may.
const OWN_TARGETS: &[&str] = &["proc", "sys", "dev", "etc/hosts", "etc/hostname", "etc/resolv.conf"];

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}

fn c_text(text: String) -> CString {
    CString::new(text).unwrap_or_default()
}

fn layer_trees(layers: &[DiffId]) -> Vec<CString> {
    layers.iter().rev().map(|layer| c_text(format!("layers/{}/tree", layer.hex()))).collect()
}

impl Trees {
    /// Those of an image.
    pub fn of_image(image: &ImageRecord) -> Self {
        let layers: Vec<DiffId> = image.visible_layers().iter().map(|layer| layer.diff_id.clone()).collect();
        Self::of_layers(&layers)
    }

    fn of_layers(layers: &[DiffId]) -> Self {
        Self {
            lower: layer_trees(layers),
            upper: None,
            copied: None,
            driver: Driver::Overlay,
            writable: false,
            mounted_on: Vec::new(),
            mounts: Vec::new(),
        }
    }

    /// An image's topmost layer as what is new, on top of the others.
    pub fn of_topmost_layer(image: &ImageRecord) -> Self {
        let mut trees = Self::of_image(image);
        if !trees.lower.is_empty() {
            // Only ever read: there is no work directory.
            trees.upper = Some((trees.lower.remove(0), CString::default()));
        }
        trees
    }

    /// Those of a container.
    pub fn of_container(store: &Store, record: &ContainerRecord) -> Result<Self, Failure> {
        let layout = store.layout();
        let relative = |name: &str| c_text(format!("containers/{}/{name}", record.id));
        let mut trees = Self::of_layers(&record.layers);
        trees.writable = !record.read_only;
        let found_before = || driver::recorded(layout, &record.id).map(|record| record.driver);
        trees.driver = layout.storage_driver().or_else(found_before).unwrap_or(layout.first_driver());
        match &record.rootfs {
            None => {
                let paths = record.layers.iter().rev().map(|layer| store.layers().path(layer)).collect();
                let view = View::new(paths);
                if trees.lower.is_empty() || crate::store::TARGET_FILES.iter().any(|file| !view.contains(file)) {
                    trees.lower.push(c_path(&layout.mount_targets()));
                }
                trees.upper = Some((relative("upper"), relative("work")));
            }
            Some(path) if record.driver == "overlay" => {
                if layout.data().starts_with(path) || !host_view::survey(path, &[]).is_empty() {
                    return Err(put_together(record));
                }
                trees.lower = vec![c_path(path)];
                trees.upper = Some((relative("upper/0/upper"), relative("upper/0/work")));
            }
            Some(path) => trees.lower = vec![c_path(path)],
        }
        trees.copied = trees.upper.as_ref().and_then(|(upper, _)| with_copy(layout, upper));
        trees.add_mounts(record);
        Ok(trees)
    }

    fn add_mounts(&mut self, record: &ContainerRecord) {
        let plain = |destination: &str| -> Vec<u8> {
            let parts: Vec<&str> = destination.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
            parts.join("/").into_bytes()
        };
        self.mounted_on = OWN_TARGETS.iter().map(|target| target.as_bytes().to_vec()).collect();
        self.mounted_on.extend(record.mounts.iter().map(|mount| plain(&mount.destination)));
        for mount in record.mounts.iter().filter(|mount| mount.kind != "tmpfs") {
            let Ok(metadata) = std::fs::metadata(&mount.source) else { continue };
            self.mounts.push(Mounted {
                source: c_text(mount.source.clone()),
                destination: mount.destination.clone(),
                kind: if metadata.is_dir() { TargetKind::Directory } else { TargetKind::File },
                // What is written to one with a layer of its own does not reach the source.
                writable: mount.writable && !mount.options.iter().any(|option| option == "O"),
            });
        }
        self.mounts.sort_by_key(|mount| plain(&mount.destination).split(|&byte| byte == b'/').count());
    }

    /// The directories of an overlay of all this, topmost first, and the one that is written to; `None` for a directory that
    /// is the root itself. To be read only, the container's own layer is one of those that are not written to.
    pub fn overlay(&self, mode: Mode) -> Option<(Vec<CString>, Option<Upper>)> {
        let (upperdir, workdir) = self.upper.clone()?;
        if mode == Mode::ToWrite {
            return Some((self.lower.clone(), Some(Upper { upperdir, workdir, volatile: false, limit: None })));
        }
        Some((std::iter::once(upperdir).chain(self.lower.iter().cloned()).collect(), None))
    }

    /// Whether there is a layer of its own.
    pub fn has_upper(&self) -> bool {
        self.upper.is_some()
    }

    /// What holds what is below the container's own layer in `slot`.
    fn mount_lower(&self, slot: Slot) -> Step {
        stacked(self.driver, slot, self.lower.clone())
    }

    /// What holds everything in `slot`, to be read.
    fn mount_merged(&self, slot: Slot) -> Step {
        if let Some(tree) = self.copy() {
            return clone(slot, tree, Access::ReadOnly);
        }
        let upper = self.upper.as_ref().map(|(upper, _)| upper.clone());
        stacked(self.driver, slot, upper.into_iter().chain(self.lower.iter().cloned()).collect())
    }

    /// What holds the container's own layer and what is below it.
    fn hold_layers(&self) -> Vec<Step> {
        let upper = self.upper.iter().map(|(upper, _)| match &self.copied {
            Some(container) => Step::Changes { slot: OTHER, container: container.clone(), lower: self.lower.clone() },
            None => clone(OTHER, upper.clone(), Access::ReadOnly),
        });
        upper.chain([self.mount_lower(BELOW)]).collect()
    }

    /// The root that is a copy, where there is one.
    pub fn copy(&self) -> Option<CString> {
        let container = self.copied.as_ref()?.to_string_lossy();
        let (copy, tree) = (CONTAINER_COPY.to_string_lossy(), COPY_TREE.to_string_lossy());
        Some(c_text(format!("{container}/{copy}/{tree}")))
    }

    /// The plan that makes what was changed in a copy the container's own layer again; nothing where there is none.
    pub fn plan_to_settle(&self, layout: &Layout) -> Result<Option<LaunchPlan>, Failure> {
        let Some(container) = self.copied.clone() else { return Ok(None) };
        visit::fresh(layout, vec![Step::Settle { container, lower: self.lower.clone() }]).map(Some)
    }

    /// The plan that enters the root as it is, to be read, without anything mounted in it.
    pub fn plan_to_read(&self, layout: &Layout, held: Held) -> Result<LaunchPlan, Failure> {
        let layers = if held == Held::Layers { self.hold_layers() } else { Vec::new() };
        visit::fresh(layout, [self.mount_merged(ROOT)].into_iter().chain(layers).chain([enter()]).collect())
    }

    /// The plan that enters the root as it is and fills new volumes with what they will cover there: for each the directory of
    /// its files, that of its marks, and the covered one.
    pub fn plan_to_fill(&self, layout: &Layout, volumes: &[(&CStr, &CStr, &str)]) -> Result<LaunchPlan, Failure> {
        let mut steps = vec![self.mount_merged(ROOT)];
        let mut fills = Vec::new();
        for (number, (files, marks, covered)) in volumes.iter().enumerate() {
            let into = Slot(FIRST_FREE + 2 * number);
            let marked = Slot(into.0 + 1);
            steps.push(clone(into, (*files).to_owned(), Access::ReadWrite));
            steps.push(clone(marked, (*marks).to_owned(), Access::ReadWrite));
            fills.push(Step::FillVolume { into, marks: marked, from: Place::new(ROOT, covered) });
        }
        steps.push(enter());
        visit::fresh(layout, steps.into_iter().chain(fills).collect())
    }

    /// The plan that enters what is below the container's own layer, and holds both.
    pub fn plan_of_changes(&self, layout: &Layout) -> Result<LaunchPlan, Failure> {
        let layers = self.hold_layers();
        visit::fresh(layout, [self.mount_lower(ROOT)].into_iter().chain(layers).chain([enter()]).collect())
    }

    /// The plan that enters this root and holds another, both to be read.
    pub fn plan_to_compare(&self, other: &Trees, layout: &Layout) -> Result<LaunchPlan, Failure> {
        visit::fresh(layout, vec![self.mount_merged(ROOT), other.mount_merged(OTHER), enter()])
    }

    /// The plan that enters the root of a container that does not run, with the volumes and directories that are mounted in
    /// it while it does.
    pub fn plan_with_mounts(&self, layout: &Layout, mode: Mode, held: Held) -> Result<LaunchPlan, Failure> {
        let writable = self.writable && mode == Mode::ToWrite;
        let mut steps = if held == Held::Layers { self.hold_layers() } else { Vec::new() };
        match &self.upper {
            Some((upperdir, workdir)) if writable => {
                let (upperdir, workdir) = (upperdir.clone(), workdir.clone());
                let upper = Some(Upper { upperdir, workdir, volatile: false, limit: None });
                let driver = if self.copied.is_some() { Driver::Copy } else { self.driver };
                let (lower, mountpoint) = (self.lower.clone(), MOUNTPOINT.to_owned());
                steps.push(Step::Overlay { driver, slot: ROOT, lower, upper, mountpoint });
            }
            None if writable => {
                steps.push(clone(ROOT, self.lower.first().cloned().unwrap_or_default(), Access::ReadWrite));
            }
            _ => steps.push(self.mount_merged(ROOT)),
        }
        for (number, mount) in self.mounts.iter().enumerate() {
            let access = if mount.writable && mode == Mode::ToWrite { Access::ReadWrite } else { Access::ReadOnly };
            steps.push(clone(Slot(FIRST_FREE + number), mount.source.clone(), access));
        }
        steps.push(enter());
        for (number, mount) in self.mounts.iter().enumerate() {
            steps.push(Step::Attach {
                slot: Slot(FIRST_FREE + number),
                on: Place::new(ROOT, &mount.destination),
                kind: mount.kind,
                links: Links::Follow,
                missing: Missing::CreateOrSkip,
            });
        }
        visit::fresh(layout, steps)
    }
}

/// What is held beside the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Nothing.
    Nothing,
    /// The container's own layer and what is below it.
    Layers,
}

/// What a root is mounted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// To be read only.
    ToRead,
    /// To be written to, as far as the container may.
    ToWrite,
}

/// Whether something can be written to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It cannot.
    ReadOnly,
    /// It can.
    ReadWrite,
}

/// The plan that enters a directory, absolute or relative to the store, as its root.
pub fn plan_of_directory(layout: &Layout, path: &Path, access: Access) -> Result<LaunchPlan, Failure> {
    visit::fresh(layout, vec![clone(ROOT, c_path(path), access), enter()])
}

fn enter() -> Step {
    Step::EnterRoot { slot: ROOT, mountpoint: MOUNTPOINT.to_owned() }
}

fn clone(slot: Slot, path: CString, access: Access) -> Step {
    let attrs = MountAttrs::NODEV.and(MountAttrs::NOSUID);
    let attrs = if access == Access::ReadOnly { attrs.and(MountAttrs::RDONLY) } else { attrs };
    Step::CloneHost {
        slot,
        path,
        expect: None,
        depth: Depth::Recursive,
        attrs,
        propagation: crate::name::mount::Propagation::Private,
    }
}

/// The directories on top of each other, topmost first: an overlay has at least two where nothing is written.
fn stacked(driver: Driver, slot: Slot, mut trees: Vec<CString>) -> Step {
    match (trees.pop(), trees.is_empty()) {
        (None, _) => {
            let options = vec![(c"mode".to_owned(), Some(c"755".to_owned()))];
            Step::NewFilesystem { slot, fstype: c"tmpfs", options, attrs: MountAttrs::RDONLY }
        }
        (Some(only), true) => clone(slot, only, Access::ReadOnly),
        (Some(lowest), false) => {
            trees.push(lowest);
            Step::Overlay { driver, slot, lower: trees, upper: None, mountpoint: MOUNTPOINT.to_owned() }
        }
    }
}

/// The directory in which this upper layer is, if there is a copy beside it.
fn with_copy(layout: &Layout, upper: &CStr) -> Option<CString> {
    use std::ffi::OsStr;
    let container = Path::new(OsStr::from_bytes(upper.to_bytes())).parent()?;
    let copy = layout.data().join(container).join(OsStr::from_bytes(CONTAINER_COPY.to_bytes()));
    copy.exists().then(|| c_path(container))
}

fn put_together(record: &ContainerRecord) -> Failure {
    let what = format!(
        "reading the files of container {}: its root is put together of several directories of the host, and what it wrote \
         there is seen only by itself",
        record.name
    );
    Failure::new("E_UNSUPPORTED", what)
        .with_hint("start such a container from an image, or from a directory without mounts below it")
}

/// Opens the root of a mount that is held.
pub fn root_of(mount: &std::os::fd::OwnedFd) -> Result<std::os::fd::OwnedFd, Failure> {
    use std::os::fd::AsFd;
    open_below(mount.as_fd(), c".", OFlag::O_RDONLY | OFlag::O_DIRECTORY, Resolve::NoSymlinks)
        .map_err(|errno| visit::internal("opening a layer", errno))
}
