//! The process that holds a network: its namespace with the bridge, the resolver, published ports, and one program that connects
//! it with the network of the host.
//!
//! ```text
//!  host's network namespace             the network's own                    a member's own
//!  +-----------------------------+      +--------------------------------+   +--------------+
//!  | holder: main thread         |      | bridge, firewall               |   |              |
//!  |   members' processes, socket|      |   veth  =======================|===| eth0         |
//!  | resolver asks name servers -|      |- resolver's sockets, port 53   |   |              |
//!  | published ports: listeners -|------|- connections to members        |   |              |
//!  | slirp4netns or pasta ======-|======| tap0, default route            |   |              |
//!  +-----------------------------+      +--------------------------------+   +--------------+
//! ```
//!
//! All networks of a user, and the user namespaces of all containers that are in networks, belong to one user namespace, the
//! ground: whoever is in it may work on both ends of a pair of devices, and nobody in a container is in it.
//!
//! It begins with the first member and ends after the last: whoever wants to join holds the network's lock from before the
//! connection to the answer, and the holder ends only with that lock in its hands. Whoever finds it dead starts another one,
//! which members are attached to anew: leases are files, the process is not needed to know them.

//!
//! Who may change the host's network ([`crate::net::privilege`]) gets there without a program: the host has a device on the
//! bridge ([`pair`]), under the network's name for it, with the router's address. All of it is tied to this process: the namespace with the bridge and
//! the devices, and the host's firewall rules with their socket. However this process ends, the kernel removes them.
//! Networks of the kinds macvlan and ipvlan have no namespace: members get devices that share one of the host.

pub mod error;
pub mod inside;
pub mod outside;
pub mod pair;
pub mod protocol;
pub mod serve;

use crate::net::privilege;
use crate::state::schema::network::{NetworkDriver, NetworkRecord};

/// How members of a network reach others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Not at all.
    Nowhere,
    /// Through a program of the host.
    Program,
    /// Through the host, which has a device on the network.
    Pair,
    /// Through a device of the host, which they share.
    Shared,
}

impl Way {
    /// That of a network, for this process.
    pub fn of(record: &NetworkRecord) -> Self {
        match record.driver {
            NetworkDriver::MacVlan | NetworkDriver::IpVlan => Self::Shared,
            NetworkDriver::Bridge if record.internal => Self::Nowhere,
            NetworkDriver::Bridge if privilege::is_privileged() => Self::Pair,
            NetworkDriver::Bridge => Self::Program,
        }
    }
}
