//! Talking with the kernel about devices, addresses and routes (rtnetlink(7)), one request at a time.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, socket,
};

/// More than the kernel puts into one datagram of a dump (`NLMSG_GOODSIZE` and netlink(7)).
const DATAGRAM: usize = 64 << 10;

/// A netlink socket. It speaks of the network namespace in which it was opened, whoever uses it.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    sequence: AtomicU32,
}

impl Netlink {
    /// A socket for devices, addresses and routes of the namespace that this thread is in.
    pub fn open() -> Result<Self, Errno> {
        Self::open_for(SockProtocol::NetlinkRoute)
    }

    /// The same for the firewall.
    pub fn open_firewall() -> Result<Self, Errno> {
        Self::open_for(SockProtocol::NetlinkNetFilter)
    }

    fn open_for(protocol: SockProtocol) -> Result<Self, Errno> {
        let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Self { socket, sequence: AtomicU32::new(1) })
    }

    /// Asks for something to be done, and waits until it is.
    pub fn request(&self, message: RouteNetlinkMessage, flags: u16) -> Result<(), Errno> {
        self.exchange(message, NLM_F_REQUEST | NLM_F_ACK | flags, &mut |_| {})
    }

    /// All there is of a kind.
    pub fn dump(&self, message: RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>, Errno> {
        let mut all = Vec::new();
        self.exchange(message, NLM_F_REQUEST | NLM_F_DUMP, &mut |message| all.push(message))?;
        Ok(all)
    }

    /// One thing.
    pub fn get(&self, message: RouteNetlinkMessage) -> Result<Option<RouteNetlinkMessage>, Errno> {
        let mut found = None;
        self.exchange(message, NLM_F_REQUEST | NLM_F_ACK, &mut |message| found = Some(message))?;
        Ok(found)
    }

    fn exchange(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
        take: &mut dyn FnMut(RouteNetlinkMessage),
    ) -> Result<(), Errno> {
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.next_sequence();
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.send(&bytes)?;
        let mut datagram = vec![0; DATAGRAM];
        loop {
            let length = self.receive(&mut datagram)?;
            let mut rest = &datagram[..length];
            while !rest.is_empty() {
                // What this program does not know of is not what it asked for.
                let Ok(reply) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest) else {
                    rest = after_first(rest);
                    continue;
                };
                rest = after_first(rest);
                if reply.header.sequence_number != header.sequence_number {
                    continue;
                }
                match reply.payload {
                    NetlinkPayload::Done(_) => return Ok(()),
                    NetlinkPayload::Error(error) => {
                        return match error.code {
                            None => Ok(()),
                            Some(code) => Err(Errno::from_raw(code.get().saturating_neg())),
                        };
                    }
                    NetlinkPayload::InnerMessage(message) => take(message),
                    _ => {}
                }
            }
        }
    }

    /// The number of the next message.
    pub fn next_sequence(&self) -> u32 {
        self.sequence.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends messages as they are.
    pub fn send(&self, bytes: &[u8]) -> Result<(), Errno> {
        send(self.socket.as_raw_fd(), bytes, MsgFlags::empty()).map(drop)
    }

    /// Receives a datagram.
    pub fn receive(&self, datagram: &mut [u8]) -> Result<usize, Errno> {
        loop {
            match recv(self.socket.as_raw_fd(), datagram, MsgFlags::empty()) {
                Err(Errno::EINTR) => {}
                other => return other,
            }
        }
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What follows the first message (netlink(7), NLMSG_NEXT).
pub fn after_first(messages: &[u8]) -> &[u8] {
    let length = messages.first_chunk::<4>().map_or(0, |bytes| u32::from_ne_bytes(*bytes) as usize);
    let aligned = length.next_multiple_of(4);
    if length < 16 { &[] } else { messages.get(aligned..).unwrap_or(&[]) }
}
