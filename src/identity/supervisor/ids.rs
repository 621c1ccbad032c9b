//! Calls that ask for credentials, and that change them.

use nix::errno::Errno;

use super::worker::{Answer, Call, DONE, Refusal};
use crate::identity::credentials::{Change, Credentials, Ids, MOST_GROUPS, UNCHANGED, securebits};
use crate::name::capability::Capability;
use crate::sys::syscall::Syscall::{
    self, getegid, getegid32, geteuid, geteuid32, getgid, getgid32, getresgid, getresgid32, getresuid, getresuid32,
    getuid, getuid32, landlock_restrict_self, setfsgid, setfsgid32, setfsuid, setfsuid32, setgid, setgid32, setgroups,
    setgroups32, setregid, setregid32, setresgid, setresgid32, setresuid, setresuid32, setreuid, setreuid32, setuid,
    setuid32,
};

/// What an id is to a call that has 16 bits for it, where it does not fit (`fs.overflowuid`).
const OVERFLOW: u32 = 65_534;

/// How wide ids are: the calls of the 32-bit interface without a number in their name have 16 bits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Width {
    Short,
    Long,
}

impl Call<'_> {
    fn width(&self) -> Width {
        let short = self.arch.is_32_bit() && !self.call.name().ends_with("32");
        if short { Width::Short } else { Width::Long }
    }

    fn id_argument(&self, index: usize) -> u32 {
        let value = self.note.arguments[index] as u32;
        match self.width() {
            Width::Long => value,
            Width::Short if value as u16 == u16::MAX => UNCHANGED,
            Width::Short => u32::from(value as u16),
        }
    }

    fn id_value(&self, id: u32) -> Answer {
        Answer::Value(i64::from(self.shown(id)))
    }

    fn shown(&self, id: u32) -> u32 {
        if self.width() == Width::Short && id > u32::from(u16::MAX) { OVERFLOW } else { id }
    }

    fn id_bytes(&self, id: u32) -> Vec<u8> {
        match self.width() {
            Width::Long => id.to_ne_bytes().to_vec(),
            Width::Short => (self.shown(id) as u16).to_ne_bytes().to_vec(),
        }
    }
}

/// getuid(2) and its like.
pub(super) fn get(call: &Call<'_>) -> Result<Answer, Refusal> {
    let credentials = call.credentials()?;
    let three = |ids: Ids| {
        for (index, id) in [ids.real, ids.effective, ids.saved].into_iter().enumerate() {
            call.write(call.argument(index), &call.id_bytes(id))?;
        }
        Ok(DONE)
    };
    match call.call {
        getuid | getuid32 => Ok(call.id_value(credentials.users.real)),
        geteuid | geteuid32 => Ok(call.id_value(credentials.users.effective)),
        getgid | getgid32 => Ok(call.id_value(credentials.groups.real)),
        getegid | getegid32 => Ok(call.id_value(credentials.groups.effective)),
        getresuid | getresuid32 => three(credentials.users),
        getresgid | getresgid32 => three(credentials.groups),
        _ => groups(call, &credentials),
    }
}

fn groups(call: &Call<'_>, credentials: &Credentials) -> Result<Answer, Refusal> {
    let (size, count) = (call.number(0), credentials.supplementary.len());
    match usize::try_from(size) {
        Err(_) => Err(Errno::EINVAL.into()),
        Ok(0) => Ok(Answer::Value(count as i64)),
        Ok(room) if room < count => Err(Errno::EINVAL.into()),
        Ok(_) => {
            let list: Vec<u8> = credentials.supplementary.iter().flat_map(|&group| call.id_bytes(group)).collect();
            call.write(call.argument(1), &list)?;
            Ok(Answer::Value(count as i64))
        }
    }
}

/// setuid(2) and its like.
pub(super) fn set(call: &Call<'_>) -> Result<Answer, Refusal> {
    let old = call.credentials()?;
    let id = |index| call.id_argument(index);
    let change = match call.call {
        setuid | setgid | setuid32 | setgid32 => Change::One(id(0)),
        setreuid | setregid | setreuid32 | setregid32 => Change::Two(id(0), id(1)),
        setresuid | setresgid | setresuid32 | setresgid32 => Change::Three([id(0), id(1), id(2)]),
        _ => Change::Files(id(0)),
    };
    let new = match call.call {
        setgroups | setgroups32 => old.with_supplementary(group_list(call)?)?,
        setgid | setregid | setresgid | setfsgid | setgid32 | setregid32 | setresgid32 | setfsgid32 => {
            old.with_groups(change)?
        }
        _ => old.with_users(change)?,
    };
    let is_root = new.users == Ids::default() && new.groups == Ids::default();
    if !is_root || new.supplementary.iter().any(|&group| group != 0) {
        call.count_need();
    }
    call.set_credentials(new)?;
    Ok(match call.call {
        setfsuid | setfsuid32 => call.id_value(old.users.files),
        setfsgid | setfsgid32 => call.id_value(old.groups.files),
        _ => DONE,
    })
}

fn group_list(call: &Call<'_>) -> Result<Vec<u32>, Refusal> {
    let count = usize::try_from(call.number(0)).ok().filter(|&count| count <= MOST_GROUPS);
    let count = count.ok_or(Errno::EINVAL)?;
    // Who may not set them is not read.
    if !call.credentials()?.can(Capability::Setgid) {
        return Err(Errno::EPERM.into());
    }
    let size = if call.width() == Width::Short { 2 } else { 4 };
    let mut bytes = vec![0; count * size];
    if count > 0 {
        call.read(call.argument(1), &mut bytes)?;
    }
    let id = |chunk: &[u8]| match *chunk {
        [a, b] => u32::from(u16::from_ne_bytes([a, b])),
        [a, b, c, d] => u32::from_ne_bytes([a, b, c, d]),
        _ => UNCHANGED,
    };
    Ok(bytes.chunks_exact(size).map(id).collect())
}

/// `_LINUX_CAPABILITY_VERSION_1` to `_3`, and how many words a set has.
const VERSIONS: [(u32, usize); 3] = [(0x1998_0330, 1), (0x2007_1026, 2), (0x2008_0522, 2)];

/// capget(2) and capset(2).
pub(super) fn capabilities(call: &Call<'_>) -> Result<Answer, Refusal> {
    let mut header = [0; 8];
    call.read(call.argument(0), &mut header)?;
    let version = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]);
    let pid = i32::from_ne_bytes([header[4], header[5], header[6], header[7]]);
    let words = VERSIONS.iter().find(|(known, _)| *known == version).map(|(_, words)| *words);
    // Who asks which version there is, is told by the kernel; it also tells of other processes.
    let (Some(words), data) = (words, call.argument(1)) else { return Ok(Answer::Proceed) };
    if data == 0 || (pid != 0 && pid != super::process::number_inside(call.pid())?) {
        return Ok(Answer::Proceed);
    }
    let old = call.credentials()?;
    let mut bytes = vec![0; 12 * words];
    if call.call == Syscall::capget {
        let sets = [old.effective, old.permitted, old.inheritable];
        for (word, part) in bytes.chunks_exact_mut(12).enumerate() {
            for (set, bytes) in sets.iter().zip(part.chunks_exact_mut(4)) {
                bytes.copy_from_slice(&((set >> (32 * word)) as u32).to_ne_bytes());
            }
        }
        call.write(data, &bytes)?;
        return Ok(DONE);
    }
    call.read(data, &mut bytes)?;
    let set = |which: usize| {
        bytes.chunks_exact(12).enumerate().fold(0_u64, |set, (word, part)| {
            let bytes = &part[4 * which..4 * which + 4];
            set | u64::from(u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])) << (32 * word)
        })
    };
    let known = (1_u64 << Capability::ALL.len()) - 1;
    let new = old.with_capabilities(set(1) & known, set(0) & known, set(2) & known)?;
    call.set_credentials(new)?;
    // What is given up is given up for real, too.
    Ok(Answer::Proceed)
}

/// prctl(2), as far as it is about capabilities.
pub(super) fn process_control(call: &Call<'_>) -> Result<Answer, Refusal> {
    let old = call.credentials()?;
    let argument = call.argument(1);
    let keeps = old.securebits & securebits::KEEP_CAPS != 0;
    let new = match call.number(0) {
        libc::PR_GET_KEEPCAPS => return Ok(Answer::Value(keeps.into())),
        libc::PR_GET_SECUREBITS => return Ok(Answer::Value(old.securebits.into())),
        libc::PR_SET_KEEPCAPS => old.keeping_capabilities(argument)?,
        libc::PR_SET_SECUREBITS => old.with_securebits(argument)?,
        libc::PR_CAPBSET_DROP => {
            call.set_credentials(old.without_bound(argument)?)?;
            return Ok(Answer::Proceed);
        }
        libc::PR_CAP_AMBIENT => match (argument as i32, call.argument(2)) {
            (libc::PR_CAP_AMBIENT_CLEAR_ALL, 0) => Credentials { ambient: 0, ..(*old).clone() },
            (libc::PR_CAP_AMBIENT_RAISE, capability) => old.raising_ambient(capability)?,
            (libc::PR_CAP_AMBIENT_LOWER, capability @ 0..64) => {
                Credentials { ambient: old.ambient & !(1 << capability), ..(*old).clone() }
            }
            (libc::PR_CAP_AMBIENT_IS_SET, capability @ 0..64) => {
                return Ok(Answer::Value((old.ambient >> capability & 1) as i64));
            }
            _ => return Err(Errno::EINVAL.into()),
        },
        _ => return Ok(Answer::Proceed),
    };
    call.set_credentials(new)?;
    Ok(DONE)
}

/// Calls after which a process sees or may do something else, which is to be remembered of it.
pub(super) fn mark(call: &Call<'_>) -> Result<Answer, Refusal> {
    let old = call.credentials()?;
    let needed = if call.call == Syscall::chroot { Some(Capability::SysChroot) } else { None };
    if needed.is_some_and(|capability| !old.can(capability)) {
        return Err(Errno::EPERM.into());
    }
    let new = match call.call {
        landlock_restrict_self => Credentials { is_confined: true, ..(*old).clone() },
        _ => {
            call.worker.shared.note_own_root();
            Credentials { has_own_root: true, ..(*old).clone() }
        }
    };
    call.set_credentials(new)?;
    Ok(Answer::Proceed)
}
