//! Devices that were asked for, and secrets.

use super::{DEV, DEVICE_ATTRS, NO_EXEC_SUID_DEV, NOSUID_NODEV, Planner, ROOT, SECRETS, path, text};
use crate::name::mount::Propagation;
use crate::runtime::blueprint::{GivenSecret, HostDevice};
use crate::runtime::step::{Expect, Links, Missing, Place, Slot, Step, TargetKind};
use crate::sys::mount::{Depth, MountAttrs};

impl Planner {
    pub(super) fn clone_host_devices(&mut self, devices: &[HostDevice]) -> Vec<Slot> {
        let mut slots = Vec::with_capacity(devices.len());
        for device in devices {
            let slot = self.new_slot();
            let number = device.number;
            self.steps.push(Step::CloneHost {
                slot,
                path: path(&device.source),
                expect: Some(if device.block { Expect::BlockDevice(number) } else { Expect::CharacterDevice(number) }),
                depth: Depth::Single,
                attrs: DEVICE_ATTRS,
                propagation: Propagation::Private,
            });
            slots.push(slot);
        }
        slots
    }

    pub(super) fn attach_host_devices(&mut self, devices: &[HostDevice], slots: &[Slot]) {
        for (device, &slot) in devices.iter().zip(slots) {
            // In our own `/dev` there are no links but ours.
            let (on, links) = match device.destination.strip_prefix("/dev/") {
                Some(name) if !name.split('/').any(|part| part == "..") => (Place::new(DEV, name), Links::Refuse),
                _ => (Place::new(ROOT, &device.destination), Links::Follow),
            };
            self.attach(slot, on, TargetKind::File, links);
        }
    }

    /// In a file system of their own that is never swapped, which is attached for a moment, since only what is attached can be
    /// cloned (before Linux 6.15).
    pub(super) fn make_secrets(&mut self, secrets: &[GivenSecret], mountpoint: &str) -> Vec<Slot> {
        if secrets.is_empty() {
            return Vec::new();
        }
        self.new_filesystem(SECRETS, c"ramfs", &[("mode", "755")], NOSUID_NODEV);
        for (number, secret) in secrets.iter().enumerate() {
            self.steps.push(Step::WriteSecret {
                at: Place::new(SECRETS, &number.to_string()),
                content: secret.content.clone(),
                mode: secret.mode,
                owner: secret.owner,
            });
        }
        self.steps.push(Step::AttachOnHost { slot: SECRETS, on: text(mountpoint) });
        (0..secrets.len())
            .map(|number| {
                let slot = self.new_slot();
                self.steps.push(Step::CloneHost {
                    slot,
                    path: text(&format!("{mountpoint}/{number}")),
                    expect: None,
                    depth: Depth::Single,
                    attrs: NO_EXEC_SUID_DEV.and(MountAttrs::RDONLY),
                    propagation: Propagation::Private,
                });
                slot
            })
            .collect()
    }

    pub(super) fn attach_secrets(&mut self, secrets: &[GivenSecret], slots: &[Slot]) {
        for (secret, &slot) in secrets.iter().zip(slots) {
            let on = Place::new(ROOT, &secret.destination);
            let (kind, links, missing) = (TargetKind::File, Links::Follow, Missing::Create);
            self.steps.push(Step::Attach { slot, on, kind, links, missing });
        }
    }
}
