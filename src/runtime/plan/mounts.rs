//! What the user wants mounted.

use std::ffi::CString;

use super::{NO_EXEC_SUID_DEV, NOSUID_NODEV, Planner, ROOT, text};
use crate::name::mount::Propagation;
use crate::runtime::blueprint::{Blueprint, Mount, MountSource, OverlayWrites};
use crate::runtime::step::{Expect, Links, Otherwise, Place, Slot, Step, TargetKind, Upper};
use crate::sys::mount::{Depth, MountAttrs};

/// Whether files are copied into the mount before the container has it, so that it can only then be made read-only.
fn is_filled(mount: &Mount) -> bool {
    matches!(mount.source, MountSource::Tmpfs { copy_up: true, .. } | MountSource::Volume { fill: Some(_), .. })
}

/// A clone of one mount, with nothing to expect of it.
fn clone(slot: Slot, path: &CString, attrs: MountAttrs) -> Step {
    let (depth, propagation) = (Depth::Single, Propagation::Private);
    Step::CloneHost { slot, path: path.clone(), expect: None, depth, attrs, propagation }
}

impl Planner {
    pub(super) fn make_mounts(&mut self, blueprint: &Blueprint) -> Vec<Slot> {
        let mountpoint = text(&blueprint.mountpoint);
        blueprint.mounts.iter().map(|mount| self.make_mount(mount, &mountpoint)).collect()
    }

    /// `mountpoint` is an empty directory of the store.
    fn make_mount(&mut self, mount: &Mount, mountpoint: &CString) -> Slot {
        let slot = self.new_slot();
        let mut attrs = NOSUID_NODEV;
        if !mount.exec {
            attrs = attrs.and(MountAttrs::NOEXEC);
        }
        let is_sealed_now = mount.read_only && !is_filled(mount);
        let all = if is_sealed_now { attrs.and(MountAttrs::RDONLY) } else { attrs };
        match &mount.source {
            MountSource::Bind { path, inode: (device, inode), recursive, propagation, writable_below, .. } => {
                self.steps.push(Step::CloneHost {
                    slot,
                    path: super::path(path),
                    expect: Some(Expect::Inode { device: *device, inode: *inode }),
                    depth: if *recursive { Depth::Recursive } else { Depth::Single },
                    attrs: if *writable_below { attrs } else { all },
                    propagation: *propagation,
                });
                if *writable_below && is_sealed_now {
                    self.steps.push(Step::SealMount(slot));
                }
            }
            MountSource::Volume { path, subpath, fill } => {
                self.steps.push(match subpath {
                    Some((below, _)) => Step::CloneBelow {
                        slot,
                        directory: path.clone(),
                        path: below.clone(),
                        depth: Depth::Single,
                        attrs: all,
                    },
                    None => clone(slot, path, all),
                });
                if let Some(marks) = fill {
                    let slot = self.new_slot();
                    self.steps.push(clone(slot, marks, NO_EXEC_SUID_DEV));
                }
            }
            MountSource::Tmpfs { size, mode, .. } => {
                let mode = format!("{:o}", mode.unwrap_or(0o1777));
                let size = size.map(|size| size.to_string());
                let mut options = vec![("mode", mode.as_str())];
                options.extend(size.as_deref().map(|size| ("size", size)));
                self.new_filesystem(slot, c"tmpfs", &options, all);
            }
            MountSource::Ramfs { mode } => {
                let mode = format!("{:o}", mode.unwrap_or(0o1777));
                self.new_filesystem(slot, c"ramfs", &[("mode", mode.as_str())], all);
            }
            MountSource::Devpts { options } => {
                let given = |name| options.iter().any(|(key, _)| key == name);
                let mut all_options = vec![("newinstance", "")];
                all_options.extend((!given("ptmxmode")).then_some(("ptmxmode", "0666")));
                all_options.extend(options.iter().map(|(key, value)| (key.as_str(), value.as_str())));
                // Terminals are devices.
                let exec = if mount.exec { MountAttrs::NOSUID } else { MountAttrs::NOSUID.and(MountAttrs::NOEXEC) };
                let attrs = if mount.read_only { exec.and(MountAttrs::RDONLY) } else { exec };
                self.new_filesystem(slot, c"devpts", &all_options, attrs);
            }
            MountSource::Overlay { lower, writes, subpath } => {
                let whole = if subpath.is_some() { self.new_slot() } else { slot };
                self.overlay(whole, lower, writes.as_ref(), (mountpoint, all));
                if let Some((below, _)) = subpath {
                    // What is not attached cannot be cloned (before Linux 6.15).
                    self.steps.push(Step::AttachOnHost { slot: whole, on: mountpoint.clone() });
                    self.steps.push(Step::CloneBelow {
                        slot,
                        directory: mountpoint.clone(),
                        path: below.clone(),
                        depth: Depth::Single,
                        attrs: all,
                    });
                }
            }
        }
        slot
    }

    fn overlay(
        &mut self,
        slot: Slot,
        lower: &[CString],
        writes: Option<&OverlayWrites>,
        (mountpoint, attrs): (&CString, MountAttrs),
    ) {
        let upper = writes.map(|OverlayWrites { upper, work, make }| {
            if !make.is_empty() {
                self.steps.push(Step::MakeHostDirectories(make.clone()));
            }
            Upper { upperdir: upper.clone(), workdir: work.clone(), volatile: !make.is_empty(), limit: None }
        });
        let driver = self.driver;
        match (lower, upper) {
            // An overlay that is not written to has at least two directories.
            ([only], None) => return self.steps.push(clone(slot, only, attrs)),
            ([], None) => return self.new_filesystem(slot, c"tmpfs", &[("mode", "755")], attrs),
            ([only], Some(upper)) => {
                let (lower, mountpoint, otherwise) = (only.clone(), mountpoint.clone(), Otherwise::Fail);
                self.steps.push(Step::OverlayDirectory { driver, slot, lower, upper, mountpoint, otherwise });
            }
            (several, upper) => {
                let (lower, mountpoint) = (several.to_vec(), mountpoint.clone());
                self.steps.push(Step::Overlay { driver, slot, lower, upper, mountpoint });
            }
        }
        self.steps.push(Step::AddAttributes(slot, attrs));
    }

    /// Parents before what lies below them, otherwise in the order given.
    pub(super) fn attach_mounts(&mut self, mounts: &[Mount], slots: &[Slot]) {
        let mut ordered: Vec<_> = mounts.iter().zip(slots).collect();
        ordered.sort_by_key(|(mount, _)| mount.destination.split('/').filter(|part| !part.is_empty()).count());
        for (mount, &slot) in ordered {
            let on = Place::new(ROOT, &mount.destination);
            let kind = match mount.source {
                MountSource::Bind { directory: false, .. }
                | MountSource::Volume { subpath: Some((_, false)), .. }
                | MountSource::Overlay { subpath: Some((_, false)), .. } => TargetKind::File,
                _ => TargetKind::Directory,
            };
            match mount.source {
                MountSource::Tmpfs { copy_up: true, mode, .. } => {
                    self.steps.push(Step::CopyUp { into: slot, from: on.clone(), keep_mode: mode.is_some() });
                }
                MountSource::Volume { fill: Some(_), .. } => {
                    // Made right after it.
                    let marks = Slot(slot.0 + 1);
                    self.steps.push(Step::FillVolume { into: slot, marks, from: on.clone() });
                }
                _ => {}
            }
            if mount.read_only && is_filled(mount) {
                self.steps.push(Step::SealMount(slot));
            }
            self.attach(slot, on, kind, Links::Follow);
        }
    }
}
