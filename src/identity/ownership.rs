//! Who may change whose files, and what becomes of them: chown(2), chmod(2), `fs/attr.c` of Linux 6.18. Pure.

use nix::errno::Errno;

use super::credentials::{Credentials, UNCHANGED};
use crate::name::capability::{Capability, CapabilitySet};

/// Owner of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// The owner after chown(2) to `uid` and `gid`, of which either may be [`UNCHANGED`].
pub fn given(by: &Credentials, old: Owner, uid: u32, gid: u32) -> Result<Owner, Errno> {
    let privileged = by.can(Capability::Chown);
    let owns = by.users.files == old.uid;
    let may_give = uid == UNCHANGED || (owns && uid == old.uid);
    let may_regroup = gid == UNCHANGED || (owns && (gid == old.gid || by.is_member(gid)));
    if !(privileged || may_give && may_regroup) {
        return Err(Errno::EPERM);
    }
    let choose = |new, old| if new == UNCHANGED { old } else { new };
    Ok(Owner { uid: choose(uid, old.uid), gid: choose(gid, old.gid) })
}

/// Whether somebody may do with a file what `wanted` says, by the bits of one of its three classes: of access(2)
/// (`acl_permission_check` and `generic_permission` of `fs/namei.c`).
pub fn permits(who: Reader<'_>, owner: Owner, mode: u32, wanted: u32) -> bool {
    const EXECUTE: u32 = libc::X_OK as u32;
    const READ: u32 = libc::R_OK as u32;
    let Reader { uid, gid, supplementary, capabilities } = who;
    let class = match () {
        () if uid == owner.uid => 6,
        () if gid == owner.gid || supplementary.binary_search(&owner.gid).is_ok() => 3,
        () => 0,
    };
    if mode >> class & wanted == wanted {
        return true;
    }
    let can = |capability: Capability| capabilities.contains(capability);
    let is_directory = mode & libc::S_IFMT == libc::S_IFDIR;
    let searches = can(Capability::DacReadSearch);
    match is_directory {
        true => can(Capability::DacOverride) || (searches && wanted & !(READ | EXECUTE) == 0),
        false => {
            (can(Capability::DacOverride) && (wanted & EXECUTE == 0 || mode & 0o111 != 0))
                || (searches && wanted & !READ == 0)
        }
    }
}

/// Who looks at a file: the ids and capabilities that count.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Supplementary groups, sorted.
    pub supplementary: &'a [u32],
    /// Capabilities.
    pub capabilities: CapabilitySet,
}

impl<'a> Reader<'a> {
    /// Who opens files.
    pub fn effective(by: &'a Credentials) -> Self {
        Self {
            uid: by.users.files,
            gid: by.groups.files,
            supplementary: &by.supplementary,
            capabilities: CapabilitySet::from_bits(by.effective),
        }
    }

    /// Who access(2) asks for: the real user, with all that root has or without anything (`access_override_creds`).
    pub fn real(by: &'a Credentials) -> Self {
        let capabilities = match (by.follows_ids(), by.users.real) {
            (false, _) => by.effective,
            (true, 0) => by.permitted,
            (true, _) => 0,
        };
        Self {
            uid: by.users.real,
            gid: by.groups.real,
            supplementary: &by.supplementary,
            capabilities: CapabilitySet::from_bits(capabilities),
        }
    }
}

/// The permissions after a change of owner: set-user-id bits go, and the set-group-id bit where it means that.
pub fn mode_once_given(mode: u32, is_directory: bool) -> u32 {
    const EXECUTABLE_FOR_GROUP: u32 = libc::S_ISGID | libc::S_IXGRP;
    if is_directory {
        return mode;
    }
    let group_bit = if mode & EXECUTABLE_FOR_GROUP == EXECUTABLE_FOR_GROUP { libc::S_ISGID } else { 0 };
    mode & !(libc::S_ISUID | group_bit)
}

/// The permissions that chmod(2) to `mode` sets.
pub fn permitted_mode(by: &Credentials, owner: Owner, mode: u32) -> Result<u32, Errno> {
    if by.users.files != owner.uid && !by.can(Capability::Fowner) {
        return Err(Errno::EPERM);
    }
    let keeps_group_bit = by.is_member(owner.gid) || by.can(Capability::Fsetid);
    Ok(mode & 0o7777 & !if keeps_group_bit { 0 } else { libc::S_ISGID })
}

/// Owner and permissions of a new file in a directory of this owner and mode. The creation mask is the kernel's business.
pub fn new_file(
    by: &Credentials,
    directory: Owner,
    directory_mode: u32,
    mode: u32,
    is_directory: bool,
) -> (Owner, u32) {
    let inherits = directory_mode & libc::S_ISGID != 0;
    let gid = if inherits { directory.gid } else { by.groups.files };
    let owner = Owner { uid: by.users.files, gid };
    let mode = mode & 0o7777;
    let mode = match (inherits, is_directory) {
        (true, true) => mode | libc::S_ISGID,
        (true, false) if mode & libc::S_IXGRP != 0 && !by.is_member(gid) && !by.can(Capability::Fsetid) => {
            mode & !libc::S_ISGID
        }
        _ => mode,
    };
    (owner, mode)
}

#[cfg(test)]
mod tests {
    use super::super::credentials::Change;
    use super::*;

    const ROOTS: Owner = Owner { uid: 0, gid: 0 };

    fn root() -> Credentials {
        Credentials::root(CapabilitySet::all())
    }

    fn user() -> Credentials {
        let grouped = root().with_supplementary(vec![5]).unwrap().with_groups(Change::One(33)).unwrap();
        grouped.with_users(Change::One(33)).unwrap()
    }

    #[test]
    fn only_root_gives_files_away() {
        assert_eq!(given(&root(), ROOTS, 33, UNCHANGED), Ok(Owner { uid: 33, gid: 0 }));
        let own = Owner { uid: 33, gid: 33 };
        assert_eq!(given(&user(), own, 34, UNCHANGED), Err(Errno::EPERM));
        assert_eq!(given(&user(), own, 33, 5), Ok(Owner { uid: 33, gid: 5 }), "to a group of one's own");
        assert_eq!(given(&user(), own, UNCHANGED, 6), Err(Errno::EPERM));
        assert_eq!(given(&user(), ROOTS, UNCHANGED, UNCHANGED), Ok(ROOTS), "nothing is asked for");
        assert_eq!(given(&user(), ROOTS, 0, UNCHANGED), Err(Errno::EPERM));
    }

    #[test]
    fn bits_go_with_the_owner() {
        assert_eq!(mode_once_given(0o6755, false), 0o755);
        assert_eq!(mode_once_given(0o2745, false), 0o2745, "mandatory locking is no privilege");
        assert_eq!(mode_once_given(0o6755, true), 0o6755);
    }

    #[test]
    fn modes_are_the_owners_to_change() {
        assert_eq!(permitted_mode(&user(), ROOTS, 0o644), Err(Errno::EPERM));
        assert_eq!(permitted_mode(&user(), Owner { uid: 33, gid: 0 }, 0o2755), Ok(0o755));
        assert_eq!(permitted_mode(&user(), Owner { uid: 33, gid: 5 }, 0o2755), Ok(0o2755));
        assert_eq!(permitted_mode(&root(), Owner { uid: 33, gid: 9 }, 0o6755), Ok(0o6755));
    }

    #[test]
    fn bits_of_one_class_count() {
        let by = user();
        let may = |owner, mode, wanted| permits(Reader::effective(&by), owner, libc::S_IFREG | mode, wanted as u32);
        let (own, groups) = (Owner { uid: 33, gid: 0 }, Owner { uid: 0, gid: 5 });
        assert!(may(own, 0o600, libc::R_OK | libc::W_OK) && !may(own, 0o077, libc::R_OK), "the owner's alone");
        assert!(may(groups, 0o640, libc::R_OK) && !may(groups, 0o604, libc::R_OK) && !may(groups, 0o640, libc::W_OK));
        assert!(may(ROOTS, 0o644, libc::R_OK) && !may(ROOTS, 0o640, libc::R_OK) && may(ROOTS, 0, libc::F_OK));
        let root = root();
        let may = |mode, wanted| permits(Reader::real(&root), own, mode, wanted as u32);
        assert!(may(libc::S_IFREG, libc::R_OK | libc::W_OK) && !may(libc::S_IFREG | 0o666, libc::X_OK));
        assert!(may(libc::S_IFREG | 0o100, libc::X_OK) && may(libc::S_IFDIR, libc::X_OK));
        let lowered = root.with_users(Change::Three([33, 0, 0])).unwrap();
        assert!(!permits(Reader::real(&lowered), ROOTS, libc::S_IFREG | 0o600, libc::R_OK as u32));
        assert!(permits(Reader::effective(&lowered), ROOTS, libc::S_IFREG | 0o600, libc::R_OK as u32));
    }

    #[test]
    fn directories_hand_their_group_down() {
        let mail = Owner { uid: 0, gid: 8 };
        assert_eq!(new_file(&root(), mail, 0o2775, 0o644, false), (mail, 0o644));
        assert_eq!(new_file(&root(), mail, 0o2775, 0o755, true), (mail, 0o2755));
        assert_eq!(new_file(&user(), mail, 0o2775, 0o2755, false).1, 0o755);
        assert_eq!(new_file(&user(), mail, 0o775, 0o644, false).0, Owner { uid: 33, gid: 33 });
    }
}
