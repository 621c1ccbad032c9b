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

pub mod error;
pub mod inside;
pub mod outside;
pub mod protocol;
pub mod serve;
