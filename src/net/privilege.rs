//! Whether this process may change the network of the host: then networks are attached to it by devices of the kernel, and no
//! program in user mode is needed.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use crate::sys::{credentials, namespace};

const CAP_NET_ADMIN: u64 = 1 << 12;
/// For network namespaces: to make them, and to enter those of containers.
const CAP_SYS_ADMIN: u64 = 1 << 21;

/// Whether IPv4 packets pass through the host.
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// Whether it may. Root may; so may who has CAP_NET_ADMIN and CAP_SYS_ADMIN in the user namespace to which the network belongs.
pub fn is_privileged() -> bool {
    let needed = CAP_NET_ADMIN | CAP_SYS_ADMIN;
    credentials::capabilities().is_ok_and(|own| own.effective & needed == needed) && owns_network() && may_forward()
}

fn owns_network() -> bool {
    let owner = File::open("/proc/thread-self/ns/net")
        .ok()
        .and_then(|network| namespace::owner(network.as_fd()).ok())
        .and_then(|users| File::from(users).metadata().ok());
    let ours = fs::metadata("/proc/thread-self/ns/user").ok();
    owner.zip(ours).is_some_and(|(owner, ours)| (owner.dev(), owner.ino()) == (ours.dev(), ours.ino()))
}

/// Root of a container may see settings that it cannot change.
fn may_forward() -> bool {
    fs::read_to_string(FORWARDING).is_ok_and(|value| value.trim() == "1")
        || OpenOptions::new().write(true).open(FORWARDING).is_ok()
}
