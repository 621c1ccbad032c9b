//! Which capabilities a container's process gets (capabilities(7)).

use crate::name::capability::{Capability, CapabilitySet};
use crate::name::capability_change::{CapabilityChanges, CapabilityName};

/// What a container has if nothing is asked for: podman's eleven.
///
/// Less breaks dpkg and rpm (SETFCAP, FSETID), dbus (SETPCAP) or sshd (SYS_CHROOT); docker's NET_RAW, MKNOD and AUDIT_WRITE
/// are missed by few: ping works through the sysctl `ping_group_range`.
pub const DEFAULT: CapabilitySet = CapabilitySet::from_bits(
    1 << Capability::Chown as u8
        | 1 << Capability::DacOverride as u8
        | 1 << Capability::Fowner as u8
        | 1 << Capability::Fsetid as u8
        | 1 << Capability::Kill as u8
        | 1 << Capability::Setgid as u8
        | 1 << Capability::Setuid as u8
        | 1 << Capability::Setpcap as u8
        | 1 << Capability::NetBindService as u8
        | 1 << Capability::SysChroot as u8
        | 1 << Capability::Setfcap as u8,
);

/// Why a set of capabilities cannot be had.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CapabilityError {
    /// Named by both options.
    #[error("capability {} is both added and dropped", name(*.0))]
    AddedAndDropped(CapabilityName),
    /// Outside of what this process can give.
    #[error("capability {0} cannot be added: this kernel or whoever started this process does not have it to give")]
    Unavailable(Capability),
}

fn name(capability: CapabilityName) -> &'static str {
    match capability {
        CapabilityName::All => "ALL",
        CapabilityName::One(capability) => capability.name(),
    }
}

impl crate::failure::Explain for CapabilityError {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::AddedAndDropped(capability) => {
                format!("remove `--cap-add {0}` or `--cap-drop {0}`", name(*capability))
            }
            Self::Unavailable(capability) => format!("remove `--cap-add {}`", capability.name()),
        };
        Some(text)
    }
}

/// The container's capabilities: [`DEFAULT`], less what is dropped, with what is added, as podman does. The order of the
/// options means nothing: `ALL` is dropped before anything is added, and added before anything is dropped.
///
/// `ceiling` is what can be given at all; `ALL` means all of that.
pub fn resolve(changes: &CapabilityChanges, ceiling: CapabilitySet) -> Result<CapabilitySet, CapabilityError> {
    if let Some(&both) = changes.add.iter().find(|added| changes.drop.contains(added)) {
        return Err(CapabilityError::AddedAndDropped(both));
    }
    let added = listed(&changes.add);
    if let Some(missing) = added.iter().find(|&capability| !ceiling.contains(capability)) {
        return Err(CapabilityError::Unavailable(missing));
    }
    let base = if changes.drop.contains(&CapabilityName::All) {
        CapabilitySet::EMPTY
    } else if changes.add.contains(&CapabilityName::All) {
        ceiling
    } else {
        DEFAULT.intersection(ceiling)
    };
    let kept = base.bits() & !listed(&changes.drop).bits();
    Ok(CapabilitySet::from_bits(kept | added.bits()))
}

/// Those named, `ALL` not among them.
fn listed(names: &[CapabilityName]) -> CapabilitySet {
    names.iter().fold(CapabilitySet::EMPTY, |set, name| match name {
        CapabilityName::All => set,
        CapabilityName::One(capability) => set.with(*capability),
    })
}

/// The five sets of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Sets {
    /// What execve can never go beyond.
    pub bounding: CapabilitySet,
    /// What may be made effective.
    pub permitted: CapabilitySet,
    /// What is used in permission checks.
    pub effective: CapabilitySet,
    /// What execve keeps for files that ask for it.
    pub inheritable: CapabilitySet,
    /// What execve keeps for all files.
    pub ambient: CapabilitySet,
}

impl Sets {
    /// The sets of a container's process that runs as `uid`, where the container has `granted` ([`resolve`]'s result for
    /// `changes`). For run, exec and build alike (SECURITY.md R10).
    ///
    /// Root has all that is granted, nothing of it inheritable or ambient. Another user has nothing but what was added by
    /// name or by `ALL`, as with podman, through the ambient set; set-user-id programs reach up to the bounding set.
    pub fn for_user(granted: CapabilitySet, changes: &CapabilityChanges, uid: u32) -> Self {
        if uid == 0 {
            return Self { bounding: granted, permitted: granted, effective: granted, ..Self::default() };
        }
        let all = changes.add.contains(&CapabilityName::All);
        let own = if all { granted } else { listed(&changes.add).intersection(granted) };
        Self { bounding: granted, permitted: own, effective: own, inheritable: own, ambient: own }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use CapabilityName::{All, One};

    fn changes(add: &[CapabilityName], drop: &[CapabilityName]) -> CapabilityChanges {
        CapabilityChanges { add: add.to_vec(), drop: drop.to_vec() }
    }

    fn names(set: CapabilitySet) -> Vec<&'static str> {
        set.iter().map(Capability::name).collect()
    }

    fn resolved(add: &[CapabilityName], drop: &[CapabilityName]) -> Vec<&'static str> {
        names(resolve(&changes(add, drop), CapabilitySet::all()).expect("no conflict"))
    }

    #[test]
    fn the_default_is_podmans() {
        let podmans = "CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SYS_CHROOT SETFCAP";
        assert_eq!(resolved(&[], &[]).join(" "), podmans);
    }

    #[test]
    fn all_and_order() {
        let (chown, admin) = (One(Capability::Chown), One(Capability::SysAdmin));
        assert_eq!(resolved(&[admin], &[All]), ["SYS_ADMIN"]);
        assert_eq!(resolved(&[], &[All]), [""; 0]);
        assert_eq!(resolved(&[All], &[chown]).len(), Capability::ALL.len() - 1);
        assert_eq!(resolved(&[All], &[]).len(), Capability::ALL.len());
        assert_eq!(resolved(&[admin, admin], &[chown]).len(), 11);
        assert_eq!(resolved(&[], &[admin]).len(), 11);
    }

    #[test]
    fn contradictions_are_refused() {
        let chown = One(Capability::Chown);
        for (add, drop, both) in
            [(&[chown][..], &[chown][..], chown), (&[All], &[All], All), (&[All, chown], &[chown], chown)]
        {
            let error = resolve(&changes(add, drop), CapabilitySet::all()).expect_err("a contradiction");
            assert_eq!(error, CapabilityError::AddedAndDropped(both));
        }
    }

    #[test]
    fn nothing_beyond_the_ceiling() {
        let ceiling = CapabilitySet::of(&[Capability::Chown, Capability::NetRaw]);
        assert_eq!(resolve(&changes(&[], &[]), ceiling).map(names), Ok(vec!["CHOWN"]));
        assert_eq!(resolve(&changes(&[All], &[]), ceiling).map(names), Ok(vec!["CHOWN", "NET_RAW"]));
        let beyond = resolve(&changes(&[One(Capability::Bpf)], &[]), ceiling);
        assert_eq!(beyond, Err(CapabilityError::Unavailable(Capability::Bpf)));
    }

    #[test]
    fn only_root_has_what_it_did_not_ask_for() {
        let none = changes(&[], &[]);
        let root = Sets::for_user(DEFAULT, &none, 0);
        assert_eq!((root.bounding, root.permitted, root.effective), (DEFAULT, DEFAULT, DEFAULT));
        assert_eq!((root.inheritable, root.ambient), (CapabilitySet::EMPTY, CapabilitySet::EMPTY));
        assert_eq!(Sets::for_user(DEFAULT, &none, 33), Sets { bounding: DEFAULT, ..Sets::default() });
        let asked = changes(&[One(Capability::NetRaw)], &[]);
        let granted = resolve(&asked, CapabilitySet::all()).expect("no conflict");
        let user = Sets::for_user(granted, &asked, 33);
        assert_eq!(names(user.ambient), ["NET_RAW"]);
        assert_eq!((user.permitted, user.effective, user.inheritable), (user.ambient, user.ambient, user.ambient));
        assert_eq!(user.bounding, granted);
    }
}
