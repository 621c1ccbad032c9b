//! What monitor and init say to each other over their socket pair, one message each.
//!
//! ```text
//!   monitor                          init
//!      | -- (fork) ------------------> |
//!      | -- IdMapsWritten -----------> |   only where the monitor writes the maps
//!      | <--------- Namespace + fd --- |   only where somebody connects the network
//!      | <----- NameServers + fd ----- |   only where they follow the host's
//!      | <-------------- Notes + fd -- |   only where a service manager is told of the container
//!      | <---------- OwnMounts + fd -- |   only where it has no pid namespace of its own
//!      | <-------- Descriptor + fd --- |   only with a file system to be served: what for
//!      | <------------------ Serve --- |   and then this
//!      | -- Served ------------------> |   answers it
//!      | <---------- Terminal + fd --- |   only with a terminal
//!      | <-- Listener, .. + fds ------- |   only where ids are virtual
//!      | <---------- Unconnected ----- |   only where somebody connects the network
//!      | -- Connected ---------------> |   answers that
//!      | <------------------ Ready ---- |   only where the program is to wait
//!      | -- Start -------------------> |   answers that, some day
//!      | <---------------- Failed ---- |   at most once, the last message
//!      | <------------- end of file -- |   the container's process runs
//! ```

use nix::errno::Errno;

/// Length of every message.
pub const MESSAGE_LEN: usize = 8;

/// What the monitor says.
pub const ID_MAPS_WRITTEN: [u8; MESSAGE_LEN] = *b"idmaps\0\0";

/// What the monitor says to an init that waits before the program.
pub const START: [u8; MESSAGE_LEN] = *b"start\0\0\0";

/// What the monitor says when the network that init waits for is there.
pub const CONNECTED: [u8; MESSAGE_LEN] = *b"connect\0";
/// What the monitor says once a file system is served.
pub const SERVED: [u8; MESSAGE_LEN] = *b"served\0\0";

/// What init says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromInit {
    /// A terminal's master comes with this message.
    Terminal,
    /// The listener of system calls comes with this message.
    Listener,
    /// The user namespace comes with this message.
    UserNamespace,
    /// The mount namespace comes with this message.
    MountNamespace,
    /// The network namespace, which is to be connected, comes with this message.
    Namespace,
    /// The file `/etc/resolv.conf`, which is to follow the host's, comes with this message.
    NameServers,
    /// The socket on which the container's processes are listened to comes with this message.
    Notes,
    /// The mount namespace comes with this message, for the monitor: what is in it when the container ends is ended.
    OwnMounts,
    /// There is nothing more to do without the network.
    Unconnected,
    /// A descriptor for the process that is to serve the root file system comes with this message: first what `/dev/fuse` was
    /// opened as, then the user namespace, then `upperdir` and `workdir` if there are any, then the layers, topmost first.
    Descriptor,
    /// Those descriptors were all: the file system of the step of this index is to be served.
    Serve(u16),
    /// Everything is done but the program's execution, for which it waits.
    Ready,
    /// A step failed; nothing follows.
    Failed(StepFailed),
}

/// A failed step: numbers only, the monitor owns the plan and tells the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepFailed {
    /// Index in the plan.
    pub step: u16,
    /// What about it, where the error number alone does not say.
    pub detail: Detail,
    /// Error number.
    pub errno: Errno,
}

/// What about a step failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Detail {
    /// Nothing to add.
    None = 0,
    /// A mount target is a symbolic link, or not of the kind that is needed.
    WrongTarget = 1,
    /// A host path is not what it was when the plan was made.
    Changed = 2,
    /// The program exists, but what it needs to run does not (its interpreter).
    NoInterpreter = 3,
    /// The working directory is not inside the root.
    OutsideRoot = 4,
}

impl FromInit {
    /// The message's bytes.
    pub fn encode(self) -> [u8; MESSAGE_LEN] {
        match self {
            Self::Terminal => *b"terminal",
            Self::Namespace => *b"netspace",
            Self::NameServers => *b"resolver",
            Self::Notes => *b"notes\0\0\0",
            Self::OwnMounts => *b"own mnt\0",
            Self::Unconnected => *b"no link!",
            Self::Ready => *b"is ready",
            Self::Listener => *b"listener",
            Self::UserNamespace => *b"user ns\0",
            Self::MountNamespace => *b"mount ns",
            Self::Descriptor => *b"a handle",
            Self::Serve(step) => {
                let [s0, s1] = step.to_le_bytes();
                [b's', b'e', b'r', b'v', b'e', b' ', s0, s1]
            }
            Self::Failed(StepFailed { step, detail, errno }) => {
                let [s0, s1] = step.to_le_bytes();
                let [e0, e1, e2, e3] = (errno as i32).to_le_bytes();
                [b'!', detail as u8, s0, s1, e0, e1, e2, e3]
            }
        }
    }

    /// The message in `bytes`, if there is one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        match *bytes {
            [b't', b'e', b'r', b'm', b'i', b'n', b'a', b'l'] => Some(Self::Terminal),
            [b'n', b'e', b't', b's', b'p', b'a', b'c', b'e'] => Some(Self::Namespace),
            [b'r', b'e', b's', b'o', b'l', b'v', b'e', b'r'] => Some(Self::NameServers),
            [b'n', b'o', b' ', b'l', b'i', b'n', b'k', b'!'] => Some(Self::Unconnected),
            [b'i', b's', b' ', b'r', b'e', b'a', b'd', b'y'] => Some(Self::Ready),
            [b'l', b'i', b's', b't', b'e', b'n', b'e', b'r'] => Some(Self::Listener),
            [b'u', b's', b'e', b'r', b' ', b'n', b's', 0] => Some(Self::UserNamespace),
            [b'm', b'o', b'u', b'n', b't', b' ', b'n', b's'] => Some(Self::MountNamespace),
            [b'a', b' ', b'h', b'a', b'n', b'd', b'l', b'e'] => Some(Self::Descriptor),
            [b's', b'e', b'r', b'v', b'e', b' ', s0, s1] => Some(Self::Serve(u16::from_le_bytes([s0, s1]))),
            [b'n', b'o', b't', b'e', b's', 0, 0, 0] => Some(Self::Notes),
            [b'o', b'w', b'n', b' ', b'm', b'n', b't', 0] => Some(Self::OwnMounts),
            [b'!', detail, s0, s1, e0, e1, e2, e3] => {
                let detail = match detail {
                    0 => Detail::None,
                    1 => Detail::WrongTarget,
                    2 => Detail::Changed,
                    3 => Detail::NoInterpreter,
                    4 => Detail::OutsideRoot,
                    _ => return None,
                };
                let errno = Errno::from_raw(i32::from_le_bytes([e0, e1, e2, e3]));
                Some(Self::Failed(StepFailed { step: u16::from_le_bytes([s0, s1]), detail, errno }))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_the_wire() {
        let failed = StepFailed { step: 513, detail: Detail::WrongTarget, errno: Errno::ELOOP };
        let handles = [FromInit::Listener, FromInit::UserNamespace, FromInit::MountNamespace];
        let plain =
            [FromInit::Terminal, FromInit::Namespace, FromInit::NameServers, FromInit::Unconnected, FromInit::Ready];
        let more = [FromInit::Descriptor, FromInit::Serve(300), FromInit::Failed(failed)];
        for message in plain.into_iter().chain(handles).chain(more) {
            assert_eq!(FromInit::decode(&message.encode()), Some(message));
        }
        assert_eq!(FromInit::decode(b""), None);
        assert_eq!(FromInit::decode(b"!\xff000000"), None);
    }
}
