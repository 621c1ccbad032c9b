//! Credentials of processes whose ids are virtual, and what the system calls that change them do: credentials(7),
//! capabilities(7), `kernel/sys.c` and `security/commoncap.c` of Linux 6.18. Pure.

use nix::errno::Errno;

use crate::name::capability::{Capability, CapabilitySet};

/// What leaves an id as it is.
pub const UNCHANGED: u32 = u32::MAX;

/// Most supplementary groups a process can have (`NGROUPS_MAX`).
pub const MOST_GROUPS: usize = 65_536;

/// `SECBIT_*` (capabilities(7)).
pub mod securebits {
    /// User 0 has no privilege.
    pub const NO_ROOT: u32 = 1 << 0;
    /// A change of user changes no capabilities.
    pub const NO_SETUID_FIXUP: u32 = 1 << 2;
    /// One away from 0 leaves the permitted ones.
    pub const KEEP_CAPS: u32 = 1 << 4;
    /// The same cannot be set.
    pub const KEEP_CAPS_LOCKED: u32 = 1 << 5;
    /// No ambient capability can be raised.
    pub const NO_AMBIENT_RAISE: u32 = 1 << 6;
    /// All there are.
    pub const ALL: u32 = 0xff;
    /// Those that lock the bit below.
    pub const LOCKS: u32 = 0xaa;
}

/// Real, effective, saved and file system id: of a user or of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Ids {
    /// Whose process it is.
    pub real: u32,
    /// With whose rights it acts.
    pub effective: u32,
    /// What it may make effective again.
    pub saved: u32,
    /// With whose rights it uses files.
    pub files: u32,
}

impl Ids {
    /// All the same.
    pub fn all(id: u32) -> Self {
        Self { real: id, effective: id, saved: id, files: id }
    }

    fn has(self, id: u32) -> bool {
        [self.real, self.effective, self.saved].contains(&id)
    }

    /// setuid(2).
    fn set(self, id: u32, privileged: bool) -> Result<Self, Errno> {
        if privileged {
            return Ok(Self::all(id));
        }
        match id == self.real || id == self.saved {
            true => Ok(Self { effective: id, files: id, ..self }),
            false => Err(Errno::EPERM),
        }
    }

    /// setreuid(2).
    fn set_two(self, real: u32, effective: u32, privileged: bool) -> Result<Self, Errno> {
        let mut new = self;
        if real != UNCHANGED {
            if !privileged && ![self.real, self.effective].contains(&real) {
                return Err(Errno::EPERM);
            }
            new.real = real;
        }
        if effective != UNCHANGED {
            if !privileged && !self.has(effective) {
                return Err(Errno::EPERM);
            }
            new.effective = effective;
        }
        if real != UNCHANGED || (effective != UNCHANGED && effective != self.real) {
            new.saved = new.effective;
        }
        new.files = new.effective;
        Ok(new)
    }

    /// setresuid(2).
    fn set_three(self, ids: [u32; 3], privileged: bool) -> Result<Self, Errno> {
        if !privileged && ids.iter().any(|&id| id != UNCHANGED && !self.has(id)) {
            return Err(Errno::EPERM);
        }
        let choose = |id, old| if id == UNCHANGED { old } else { id };
        let effective = choose(ids[1], self.effective);
        Ok(Self { real: choose(ids[0], self.real), effective, saved: choose(ids[2], self.saved), files: effective })
    }

    /// setfsuid(2).
    fn set_files(self, id: u32, privileged: bool) -> Self {
        match id != UNCHANGED && (privileged || self.has(id) || id == self.files) {
            true => Self { files: id, ..self },
            false => self,
        }
    }
}

/// A change of ids that a system call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// setuid(2), setgid(2).
    One(u32),
    /// setreuid(2), setregid(2).
    Two(u32, u32),
    /// setresuid(2), setresgid(2).
    Three([u32; 3]),
    /// setfsuid(2), setfsgid(2).
    Files(u32),
}

/// The credentials of a process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// Users.
    pub users: Ids,
    /// Groups.
    pub groups: Ids,
    /// Supplementary groups, in ascending order.
    pub supplementary: Box<[u32]>,
    /// Permitted capabilities, as the kernel's bits.
    pub permitted: u64,
    /// Effective ones.
    pub effective: u64,
    /// Inheritable ones.
    pub inheritable: u64,
    /// Ambient ones.
    pub ambient: u64,
    /// The bounding set.
    pub bounding: u64,
    /// `SECBIT_*`.
    pub securebits: u32,
    /// Whether it has changed its root.
    pub has_own_root: bool,
    /// Whether it has confined itself (landlock(7)): nothing is done for it that the kernel would not let it do.
    pub is_confined: bool,
}

/// What a program gives to whom executes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// The user that it makes effective.
    pub user: Option<u32>,
    /// The group that it makes effective.
    pub group: Option<u32>,
    /// Capabilities.
    pub capabilities: Option<FileCapabilities>,
}

/// File capabilities (capabilities(7)): the attribute `security.capability`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileCapabilities {
    /// What it gives.
    pub permitted: u64,
    /// What it gives to who has inherited it.
    pub inheritable: u64,
    /// Whether all that is effective at once.
    pub is_effective: bool,
}

impl FileCapabilities {
    /// Those in a value of the attribute: `struct vfs_cap_data` or `vfs_ns_cap_data` (linux/capability.h).
    pub fn parse(value: &[u8]) -> Option<Self> {
        let words: Vec<u32> =
            value.chunks_exact(4).map(|word| word.try_into().map(u32::from_le_bytes)).collect::<Result<_, _>>().ok()?;
        let (&magic, rest) = words.split_first()?;
        let number = match (magic >> 24, rest.len()) {
            (1, 2) => 1,
            (2, 4) | (3, 5) => 2,
            _ => return None,
        };
        let set =
            |which: usize| (0..number).fold(0, |set, word| set | u64::from(rest[2 * word + which]) << (32 * word));
        Some(Self { permitted: set(0), inheritable: set(1), is_effective: magic & 1 != 0 })
    }

    /// Whether the kernel refuses to execute a program that is to have them, for one of them cannot be had.
    pub fn are_refused_to(self, credentials: &Credentials) -> bool {
        self.is_effective && self.permitted & !self.given_to(credentials) != 0
    }

    fn given_to(self, credentials: &Credentials) -> u64 {
        credentials.bounding & self.permitted | credentials.inheritable & self.inheritable
    }
}

impl Credentials {
    /// Root with these capabilities.
    pub fn root(capabilities: CapabilitySet) -> Self {
        let all = capabilities.bits();
        Self {
            users: Ids::default(),
            groups: Ids::default(),
            supplementary: [].into(),
            permitted: all,
            effective: all,
            inheritable: 0,
            ambient: 0,
            bounding: all,
            securebits: 0,
            has_own_root: false,
            is_confined: false,
        }
    }

    /// Those of a process that begins as this user, with these capabilities.
    pub fn of_user(
        uid: u32,
        gid: u32,
        groups: &[u32],
        bounding: CapabilitySet,
        permitted: CapabilitySet,
        inheritable: CapabilitySet,
    ) -> Self {
        let mut supplementary = groups.to_vec();
        supplementary.sort_unstable();
        Self {
            users: Ids::all(uid),
            groups: Ids::all(gid),
            supplementary: supplementary.into(),
            permitted: permitted.bits(),
            effective: permitted.bits(),
            inheritable: inheritable.bits(),
            ambient: inheritable.bits(),
            ..Self::root(bounding)
        }
    }

    /// Whether a capability is effective.
    pub fn can(&self, capability: Capability) -> bool {
        CapabilitySet::from_bits(self.effective).contains(capability)
    }

    /// Whether files that it makes are nobody else's than root's.
    pub fn makes_files_of_root(&self) -> bool {
        (self.users.files, self.groups.files) == (0, 0)
    }

    /// Whether it uses files as a member of a group.
    pub fn is_member(&self, group: u32) -> bool {
        self.groups.files == group || self.supplementary.binary_search(&group).is_ok()
    }

    /// Whether a change of user changes capabilities.
    pub fn follows_ids(&self) -> bool {
        !self.has_bit(securebits::NO_SETUID_FIXUP)
    }

    fn has_bit(&self, bit: u32) -> bool {
        self.securebits & bit != 0
    }

    /// The credentials after a change of users.
    pub fn with_users(&self, change: Change) -> Result<Self, Errno> {
        let privileged = self.can(Capability::Setuid);
        let (old, mut new) = (self.users, self.clone());
        new.users = match change {
            Change::One(id) => {
                refuse_unchanged(id)?;
                old.set(id, privileged)?
            }
            Change::Two(real, effective) => old.set_two(real, effective, privileged)?,
            Change::Three(ids) => old.set_three(ids, privileged)?,
            Change::Files(id) => old.set_files(id, privileged),
        };
        match change {
            Change::Files(_) => new.follow_files_user(old),
            _ => new.follow_users(old),
        }
        Ok(new)
    }

    /// The credentials after a change of groups.
    pub fn with_groups(&self, change: Change) -> Result<Self, Errno> {
        let privileged = self.can(Capability::Setgid);
        let old = self.groups;
        let groups = match change {
            Change::One(id) => {
                refuse_unchanged(id)?;
                old.set(id, privileged)?
            }
            Change::Two(real, effective) => old.set_two(real, effective, privileged)?,
            Change::Three(ids) => old.set_three(ids, privileged)?,
            Change::Files(id) => old.set_files(id, privileged),
        };
        Ok(Self { groups, ..self.clone() })
    }

    /// The credentials after setgroups(2).
    pub fn with_supplementary(&self, mut groups: Vec<u32>) -> Result<Self, Errno> {
        if !self.can(Capability::Setgid) {
            return Err(Errno::EPERM);
        }
        if groups.contains(&UNCHANGED) {
            return Err(Errno::EINVAL);
        }
        groups.sort_unstable();
        Ok(Self { supplementary: groups.into(), ..self.clone() })
    }

    /// `cap_emulate_setxuid`.
    fn follow_users(&mut self, old: Ids) {
        if self.has_bit(securebits::NO_SETUID_FIXUP) {
            return;
        }
        let new = self.users;
        if old.has(0) && !new.has(0) {
            if !self.has_bit(securebits::KEEP_CAPS) {
                (self.permitted, self.effective) = (0, 0);
            }
            self.ambient = 0;
        }
        if old.effective == 0 && new.effective != 0 {
            self.effective = 0;
        }
        if old.effective != 0 && new.effective == 0 {
            self.effective = self.permitted;
        }
    }

    /// `cap_task_fix_setuid` for setfsuid(2).
    fn follow_files_user(&mut self, old: Ids) {
        const OF_FILES: u64 = 1 << Capability::Chown as u8
            | 1 << Capability::Mknod as u8
            | 1 << Capability::DacOverride as u8
            | 1 << Capability::DacReadSearch as u8
            | 1 << Capability::Fowner as u8
            | 1 << Capability::Fsetid as u8
            | 1 << Capability::LinuxImmutable as u8
            | 1 << Capability::MacOverride as u8;
        if self.has_bit(securebits::NO_SETUID_FIXUP) {
            return;
        }
        if old.files == 0 && self.users.files != 0 {
            self.effective &= !OF_FILES;
        }
        if old.files != 0 && self.users.files == 0 {
            self.effective |= self.permitted & OF_FILES;
        }
    }

    /// The credentials after capset(2).
    pub fn with_capabilities(&self, permitted: u64, effective: u64, inheritable: u64) -> Result<Self, Errno> {
        let beyond = |set: u64, limit: u64| set & !limit != 0;
        let may_inherit = self.inheritable | if self.can(Capability::Setpcap) { u64::MAX } else { self.permitted };
        if beyond(inheritable, may_inherit)
            || beyond(inheritable, self.inheritable | self.bounding)
            || beyond(permitted, self.permitted)
            || beyond(effective, permitted)
        {
            return Err(Errno::EPERM);
        }
        let ambient = self.ambient & permitted & inheritable;
        Ok(Self { permitted, effective, inheritable, ambient, ..self.clone() })
    }

    /// The credentials after PR_SET_KEEPCAPS.
    pub fn keeping_capabilities(&self, keep: u64) -> Result<Self, Errno> {
        if keep > 1 {
            return Err(Errno::EINVAL);
        }
        if self.has_bit(securebits::KEEP_CAPS_LOCKED) {
            return Err(Errno::EPERM);
        }
        let rest = self.securebits & !securebits::KEEP_CAPS;
        Ok(Self { securebits: rest | if keep == 1 { securebits::KEEP_CAPS } else { 0 }, ..self.clone() })
    }

    /// The credentials after PR_SET_SECUREBITS.
    pub fn with_securebits(&self, bits: u64) -> Result<Self, Errno> {
        let (old, new) = (self.securebits, bits as u32);
        let locked = (old & securebits::LOCKS) >> 1;
        if bits > u64::from(securebits::ALL)
            || locked & (old ^ new) != 0
            || old & securebits::LOCKS & !new != 0
            || !self.can(Capability::Setpcap)
        {
            return Err(Errno::EPERM);
        }
        Ok(Self { securebits: new, ..self.clone() })
    }

    /// The credentials after PR_CAPBSET_DROP.
    pub fn without_bound(&self, capability: u64) -> Result<Self, Errno> {
        if !self.can(Capability::Setpcap) {
            return Err(Errno::EPERM);
        }
        match capability < Capability::ALL.len() as u64 {
            true => Ok(Self { bounding: self.bounding & !(1 << capability), ..self.clone() }),
            false => Err(Errno::EINVAL),
        }
    }

    /// The credentials after PR_CAP_AMBIENT_RAISE.
    pub fn raising_ambient(&self, capability: u64) -> Result<Self, Errno> {
        let bit = 1_u64.checked_shl(capability as u32).filter(|_| capability < Capability::ALL.len() as u64);
        let bit = bit.ok_or(Errno::EINVAL)?;
        if self.permitted & self.inheritable & bit == 0 || self.has_bit(securebits::NO_AMBIENT_RAISE) {
            return Err(Errno::EPERM);
        }
        Ok(Self { ambient: self.ambient | bit, ..self.clone() })
    }

    /// The credentials after execve(2) of `program` (`cap_bprm_creds_from_file`).
    pub fn executing(&self, program: Program) -> Self {
        let mut new = self.clone();
        if let Some(user) = program.user {
            new.users.effective = user;
        }
        if let Some(group) = program.group {
            new.groups.effective = group;
        }
        let is_root = !self.has_bit(securebits::NO_ROOT);
        let (real, effective) = (new.users.real, new.users.effective);
        let of_file = program.capabilities;
        let mut permitted = of_file.map_or(0, |of_file| of_file.given_to(self));
        let mut is_effective = of_file.is_some_and(|of_file| of_file.is_effective);
        // A program of root's with its bit that has capabilities, too, gives no more than these.
        let is_root = is_root && !(of_file.is_some() && effective == 0 && real != 0);
        if is_root && (real == 0 || effective == 0) {
            permitted = self.bounding | self.inheritable;
        }
        if is_root && effective == 0 {
            is_effective = true;
        }
        // Who becomes another by a program takes no ambient capabilities along.
        let changes_ids = new.users.effective != self.users.effective || !self.is_member(new.groups.effective);
        new.ambient = if changes_ids || of_file.is_some() { 0 } else { self.ambient };
        new.permitted = permitted | new.ambient;
        new.effective = if is_effective { new.permitted } else { new.ambient };
        new.securebits &= !securebits::KEEP_CAPS;
        new.users.saved = new.users.effective;
        new.users.files = new.users.effective;
        new.groups.saved = new.groups.effective;
        new.groups.files = new.groups.effective;
        new
    }
}

fn refuse_unchanged(id: u32) -> Result<(), Errno> {
    if id == UNCHANGED { Err(Errno::EINVAL) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> Credentials {
        Credentials::root(CapabilitySet::all())
    }

    fn three(credentials: &Credentials, ids: [u32; 3]) -> Result<Credentials, Errno> {
        credentials.with_users(Change::Three(ids))
    }

    #[test]
    fn who_gives_up_root_cannot_have_it_back() {
        let user = root().with_users(Change::One(33)).unwrap();
        assert_eq!((user.users, user.permitted, user.effective), (Ids::all(33), 0, 0));
        assert_eq!(user.with_users(Change::One(0)), Err(Errno::EPERM));
        assert_eq!(user.with_groups(Change::One(0)).unwrap().groups, Ids::all(0), "it is its own group still");
        assert_eq!(user.with_groups(Change::One(5)), Err(Errno::EPERM));
        assert_eq!(user.with_supplementary(vec![]), Err(Errno::EPERM));
        assert_eq!(user.with_users(Change::One(UNCHANGED)), Err(Errno::EINVAL));
    }

    #[test]
    fn a_saved_id_leads_back() {
        let lowered = three(&root(), [UNCHANGED, 42, UNCHANGED]).unwrap();
        assert_eq!((lowered.users.effective, lowered.effective, lowered.permitted != 0), (42, 0, true));
        let raised = three(&lowered, [UNCHANGED, 0, UNCHANGED]).unwrap();
        assert_eq!(raised.effective, root().effective);
        let gone = three(&root(), [42, 42, 42]).unwrap();
        assert_eq!(three(&gone, [UNCHANGED, 0, UNCHANGED]), Err(Errno::EPERM));
        let swapped = lowered.with_users(Change::Two(42, 0)).unwrap();
        assert_eq!(swapped.users, Ids { real: 42, effective: 0, saved: 0, files: 0 });
    }

    #[test]
    fn capabilities_are_kept_where_that_was_asked_for() {
        let kept = root().keeping_capabilities(1).unwrap().with_users(Change::One(33)).unwrap();
        assert_eq!((kept.permitted, kept.effective), (root().permitted, 0));
        let used = kept.with_capabilities(kept.permitted, kept.permitted, 0).unwrap();
        assert!(used.can(Capability::Setgid) && used.with_groups(Change::Three([33; 3])).is_ok());
        let executed = used.executing(Program::default());
        assert_eq!((executed.permitted, executed.securebits), (0, 0));
        assert_eq!(executed.with_capabilities(1, 1, 0), Err(Errno::EPERM));
    }

    #[test]
    fn set_user_id_programs() {
        let user = root().with_groups(Change::One(33)).unwrap().with_users(Change::One(33)).unwrap();
        let su = user.executing(Program { user: Some(0), ..Program::default() });
        assert_eq!(su.users, Ids { real: 33, effective: 0, saved: 0, files: 0 });
        assert_eq!((su.permitted, su.effective), (user.bounding, user.bounding));
        let mail = user.executing(Program { group: Some(8), ..Program::default() });
        assert_eq!((mail.groups.effective, mail.groups.saved, mail.permitted), (8, 8, 0));
        let executed = three(&root(), [UNCHANGED, 33, UNCHANGED]).unwrap().executing(Program::default());
        assert_eq!((executed.users.saved, executed.effective), (33, 0), "the saved one is gone");
        assert_eq!(executed.permitted, root().bounding, "the real one is 0");
    }

    #[test]
    fn ambient_capabilities_survive_programs() {
        let bit = 1 << Capability::NetBindService as u8;
        let user = root().keeping_capabilities(1).unwrap().with_users(Change::One(33)).unwrap();
        let user = user.with_capabilities(bit, bit, bit).unwrap().raising_ambient(10).unwrap();
        let executed = user.executing(Program::default());
        assert_eq!((executed.permitted, executed.effective, executed.ambient), (bit, bit, bit));
        assert_eq!(user.executing(Program { user: Some(0), ..Program::default() }).ambient, 0);
        assert_eq!(user.raising_ambient(0), Err(Errno::EPERM));
    }

    #[test]
    fn file_capabilities() {
        let value = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let bind = FileCapabilities::parse(&value).unwrap();
        assert_eq!(bind, FileCapabilities { permitted: 1 << 10, inheritable: 0, is_effective: true });
        assert_eq!(FileCapabilities::parse(&value[..19]), None);
        let with = |capabilities| Program { capabilities: Some(capabilities), ..Program::default() };
        let user = root().with_groups(Change::One(33)).unwrap().with_users(Change::One(33)).unwrap();
        let executed = user.executing(with(bind));
        assert_eq!((executed.permitted, executed.effective, executed.users), (1 << 10, 1 << 10, Ids::all(33)));
        let lazy = user.executing(with(FileCapabilities { is_effective: false, ..bind }));
        assert_eq!((lazy.permitted, lazy.effective), (1 << 10, 0));
        assert_eq!(root().executing(with(bind)), root(), "root has all that it may have");
        let su = user.executing(Program { user: Some(0), ..with(bind) });
        assert_eq!((su.users.effective, su.permitted), (0, 1 << 10));
        let bounded = Credentials { bounding: 0, ..user };
        assert!(bind.are_refused_to(&bounded) && bounded.executing(with(bind)).permitted == 0);
    }

    #[test]
    fn what_is_not_bounded_cannot_come_back() {
        let fewer = root().without_bound(Capability::Setuid as u64).unwrap();
        assert!(fewer.can(Capability::Setuid) && !fewer.executing(Program::default()).can(Capability::Setuid));
        assert_eq!(fewer.without_bound(64), Err(Errno::EINVAL));
    }

    #[test]
    fn file_system_ids() {
        let lowered = root().with_users(Change::Files(33)).unwrap();
        assert!(lowered.users.files == 33 && !lowered.can(Capability::Chown) && lowered.can(Capability::Setuid));
        let back = lowered.with_users(Change::Files(0)).unwrap();
        assert_eq!(back, root());
        let user = root().with_users(Change::One(33)).unwrap();
        assert_eq!(user.with_users(Change::Files(0)).unwrap().users.files, 33, "no error, and no change");
    }

    #[test]
    fn locked_bits_stay() {
        let locked = root().with_securebits(0b11).unwrap();
        assert_eq!(locked.with_securebits(0b10), Err(Errno::EPERM));
        assert_eq!(locked.executing(Program::default()).permitted, 0);
        assert_eq!(root().with_securebits(0x100), Err(Errno::EPERM));
    }
}
