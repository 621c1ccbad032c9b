//! Rules of nftables, sent to the kernel as one transaction (nfnetlink; linux/netfilter/nf_tables.h). A table is made anew as
//! a whole: what was there of the same name is gone with the same transaction.

use nix::errno::Errno;

use super::netlink::{Netlink, after_first};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;

const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;

/// What goes for IPv4 and IPv6.
const INET: u8 = 1;
const NESTED: u16 = 0x8000;
const REGISTER: u32 = 1;
const SECOND_REGISTER: u32 = 2;
/// `NFT_TABLE_F_OWNER`.
const OWNED: u32 = 2;

/// When a chain is gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Packets that arrive, before all others have seen them: here they are marked.
    Arrival,
    /// Packets that arrive, before it is decided where they go: here addresses of destinations are replaced.
    Prerouting,
    /// Packets that pass.
    Forward,
    /// Packets that leave: here addresses of sources are replaced.
    Postrouting,
}

impl Hook {
    fn number(self) -> u32 {
        match self {
            Self::Arrival | Self::Prerouting => 0,
            Self::Forward => 2,
            Self::Postrouting => 4,
        }
    }

    /// The usual place among the chains of a hook: `mangle`, `dstnat`, `filter` and `srcnat` of nft(8).
    fn priority(self) -> i32 {
        match self {
            Self::Arrival => -150,
            Self::Prerouting => -100,
            Self::Forward => 0,
            Self::Postrouting => 100,
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Arrival | Self::Forward => "filter",
            Self::Prerouting | Self::Postrouting => "nat",
        }
    }
}

/// A condition or an action of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The packet arrives through this device.
    From(String),
    /// It does not.
    NotFrom(String),
    /// It leaves through this device.
    To(String),
    /// It does not.
    NotTo(String),
    /// It belongs to a connection that was let through.
    Established,
    /// It belongs to a connection whose destination was replaced.
    Redirected,
    /// It is for a socket of this machine that has an address of somebody else (IP_TRANSPARENT, ip(7)).
    Transparent,
    /// Its source is in this network.
    Source(ipnet::IpNet),
    /// Its destination is in this network.
    Destination(ipnet::IpNet),
    /// Its destination is an address of this machine.
    ToThisMachine,
    /// It gets this mark, by which routes can be chosen.
    Mark(u32),
    /// It is for this port of this transport protocol (IANA's number).
    Port(u8, u16),
    /// It gets the address of the device through which it leaves.
    Masquerade,
    /// It goes to this address and port instead.
    Redirect(std::net::SocketAddr),
    /// It is let through.
    Accept,
    /// It is thrown away.
    Drop,
}

/// A chain and its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// When it is gone through.
    pub hook: Hook,
    /// Its rules, in order.
    pub rules: Vec<Vec<Part>>,
}

/// How long a table stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as its network namespace.
    Namespace,
    /// As long as the socket by which it was made, so that nothing of it is left whatever becomes of its owner; nobody else can
    /// change it (NFT_TABLE_F_OWNER, Linux 5.12).
    Socket,
}

/// Replaces the table `name` by one with these chains.
pub fn replace(netlink: &Netlink, name: &str, lifetime: Lifetime, chains: &[Chain]) -> Result<(), Errno> {
    let mut batch = Batch::new(netlink);
    // Made so that it can be deleted whether it was there or not.
    batch.message(NEW_TABLE, NLM_F_CREATE, |attributes| attributes.text(1, name));
    batch.message(DELETE_TABLE, 0, |attributes| attributes.text(1, name));
    batch.message(NEW_TABLE, NLM_F_CREATE, |attributes| {
        attributes.text(1, name);
        if lifetime == Lifetime::Socket {
            attributes.number(2, OWNED);
        }
    });
    for chain in chains {
        let chain_name = format!("{:?}", chain.hook).to_lowercase();
        batch.message(NEW_CHAIN, NLM_F_CREATE, |attributes| {
            attributes.text(1, name);
            attributes.text(3, &chain_name);
            attributes.nested(4, |hook| {
                hook.number(1, chain.hook.number());
                hook.number(2, chain.hook.priority() as u32);
            });
            attributes.text(7, chain.hook.kind());
        });
        for rule in &chain.rules {
            batch.message(NEW_RULE, NLM_F_CREATE | NLM_F_APPEND, |attributes| {
                attributes.text(1, name);
                attributes.text(2, &chain_name);
                attributes.nested(4, |expressions| rule.iter().for_each(|part| add(expressions, part)));
            });
        }
    }
    batch.send()
}

/// Attributes in the kernel's form (netlink(7)): length, type, value, padding.
#[derive(Default)]
struct Attributes(Vec<u8>);

impl Attributes {
    fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.0.extend(((value.len() + 4) as u16).to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn text(&mut self, kind: u16, value: &str) {
        self.bytes(kind, &[value.as_bytes(), &[0]].concat());
    }

    /// Numbers of nf_tables are in network byte order.
    fn number(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        fill(&mut inner);
        self.bytes(kind | NESTED, &inner.0);
    }

    fn expression(&mut self, name: &str, fill: impl FnOnce(&mut Self)) {
        self.nested(1, |element| {
            element.text(1, name);
            element.nested(2, fill);
        });
    }

    fn meta(&mut self, key: u32) {
        self.expression("meta", |meta| {
            meta.number(1, REGISTER);
            meta.number(2, key);
        });
    }

    fn compare(&mut self, operator: u32, value: &[u8]) {
        self.expression("cmp", |compare| {
            compare.number(1, REGISTER);
            compare.number(2, operator);
            compare.nested(3, |data| data.bytes(1, value));
        });
    }

    fn mask(&mut self, mask: &[u8]) {
        self.expression("bitwise", |bitwise| {
            bitwise.number(1, REGISTER);
            bitwise.number(2, REGISTER);
            bitwise.number(3, mask.len() as u32);
            bitwise.nested(4, |data| data.bytes(1, mask));
            bitwise.nested(5, |data| data.bytes(1, &vec![0; mask.len()]));
        });
    }

    /// Whether a word about the packet's connection has one of these bits; they are in the byte order of the machine.
    fn connection(&mut self, key: u32, bits: u32) {
        self.expression("ct", |ct| {
            ct.number(1, REGISTER);
            ct.number(2, key);
        });
        self.mask(&bits.to_ne_bytes());
        self.compare(DIFFERENT, &0_u32.to_ne_bytes());
    }

    fn payload(&mut self, base: u32, offset: u32, length: u32) {
        self.expression("payload", |payload| {
            payload.number(1, REGISTER);
            payload.number(2, base);
            payload.number(3, offset);
            payload.number(4, length);
        });
    }

    fn immediate(&mut self, register: u32, value: &[u8]) {
        self.expression("immediate", |immediate| {
            immediate.number(1, register);
            immediate.nested(2, |data| data.bytes(1, value));
        });
    }

    fn verdict(&mut self, code: u32) {
        self.expression("immediate", |immediate| {
            immediate.number(1, 0);
            immediate.nested(2, |data| data.nested(2, |verdict| verdict.number(1, code)));
        });
    }

    fn device(&mut self, key: u32, operator: u32, name: &str) {
        let mut padded = [0; 16];
        let length = name.len().min(15);
        padded[..length].copy_from_slice(&name.as_bytes()[..length]);
        self.meta(key);
        self.compare(operator, &padded);
    }

    fn network(&mut self, network: ipnet::IpNet, is_source: bool) {
        let (family, offset, address, mask) = match network {
            ipnet::IpNet::V4(net) => {
                (2, if is_source { 12 } else { 16 }, net.network().octets().to_vec(), net.netmask().octets().to_vec())
            }
            ipnet::IpNet::V6(net) => {
                (10, if is_source { 8 } else { 24 }, net.network().octets().to_vec(), net.netmask().octets().to_vec())
            }
        };
        self.meta(META_FAMILY);
        self.compare(EQUAL, &[family]);
        self.payload(1, offset, address.len() as u32);
        self.mask(&mask);
        self.compare(EQUAL, &address);
    }
}

const META_MARK: u32 = 3;
const META_FROM: u32 = 6;
const META_TO: u32 = 7;
const META_FAMILY: u32 = 15;
const META_PROTOCOL: u32 = 16;
const EQUAL: u32 = 0;
const DIFFERENT: u32 = 1;
/// `RTN_LOCAL` of linux/rtnetlink.h.
const LOCAL: u32 = 2;

fn add(rule: &mut Attributes, part: &Part) {
    match part {
        Part::From(device) => rule.device(META_FROM, EQUAL, device),
        Part::NotFrom(device) => rule.device(META_FROM, DIFFERENT, device),
        Part::To(device) => rule.device(META_TO, EQUAL, device),
        Part::NotTo(device) => rule.device(META_TO, DIFFERENT, device),
        // The state: established or related.
        Part::Established => rule.connection(0, 6),
        // The status: `IPS_DST_NAT` of linux/netfilter/nf_conntrack_common.h.
        Part::Redirected => rule.connection(2, 1 << 5),
        Part::Transparent => {
            rule.expression("socket", |socket| {
                socket.number(1, 0);
                socket.number(2, REGISTER);
            });
            rule.compare(EQUAL, &[1]);
        }
        Part::Mark(mark) => {
            rule.immediate(REGISTER, &mark.to_ne_bytes());
            rule.expression("meta", |meta| {
                meta.number(2, META_MARK);
                meta.number(3, REGISTER);
            });
        }
        Part::Source(network) => rule.network(*network, true),
        Part::Destination(network) => rule.network(*network, false),
        Part::ToThisMachine => {
            rule.expression("fib", |fib| {
                fib.number(1, REGISTER);
                // The type of the destination's address.
                fib.number(2, 3);
                fib.number(3, 2);
            });
            rule.compare(EQUAL, &LOCAL.to_ne_bytes());
        }
        Part::Port(protocol, port) => {
            rule.meta(META_PROTOCOL);
            rule.compare(EQUAL, &[*protocol]);
            rule.payload(2, 2, 2);
            rule.compare(EQUAL, &port.to_be_bytes());
        }
        Part::Masquerade => rule.expression("masq", |_| {}),
        Part::Redirect(to) => {
            let (family, address) = match to.ip() {
                std::net::IpAddr::V4(address) => (2, address.octets().to_vec()),
                std::net::IpAddr::V6(address) => (10, address.octets().to_vec()),
            };
            rule.meta(META_FAMILY);
            rule.compare(EQUAL, &[family as u8]);
            rule.immediate(REGISTER, &address);
            rule.immediate(SECOND_REGISTER, &to.port().to_be_bytes());
            rule.expression("nat", |nat| {
                nat.number(1, 1);
                nat.number(2, family);
                nat.number(3, REGISTER);
                nat.number(5, SECOND_REGISTER);
            });
        }
        Part::Accept => rule.verdict(1),
        Part::Drop => rule.verdict(0),
    }
}

/// Messages that take effect together or not at all.
struct Batch<'a> {
    netlink: &'a Netlink,
    bytes: Vec<u8>,
    /// How many answers there are to come.
    expected: usize,
}

impl<'a> Batch<'a> {
    fn new(netlink: &'a Netlink) -> Self {
        let mut batch = Self { netlink, bytes: Vec::new(), expected: 0 };
        batch.raw(BATCH_BEGIN, 0, 0, SUBSYSTEM, &[]);
        batch
    }

    fn message(&mut self, kind: u16, flags: u16, fill: impl FnOnce(&mut Attributes)) {
        let mut attributes = Attributes::default();
        fill(&mut attributes);
        self.raw(SUBSYSTEM << 8 | kind, NLM_F_ACK | flags, INET, 0, &attributes.0);
        self.expected += 1;
    }

    fn raw(&mut self, kind: u16, flags: u16, family: u8, resource: u16, attributes: &[u8]) {
        self.bytes.extend(((20 + attributes.len()) as u32).to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((NLM_F_REQUEST | flags).to_ne_bytes());
        self.bytes.extend(self.netlink.next_sequence().to_ne_bytes());
        self.bytes.extend(0_u32.to_ne_bytes());
        self.bytes.extend([family, 0]);
        self.bytes.extend(resource.to_be_bytes());
        self.bytes.extend(attributes);
    }

    fn send(mut self) -> Result<(), Errno> {
        self.raw(BATCH_END, 0, 0, SUBSYSTEM, &[]);
        self.netlink.send(&self.bytes)?;
        let mut datagram = vec![0; 64 << 10];
        let (mut answered, mut first) = (0, None);
        while answered < self.expected {
            let length = self.netlink.receive(&mut datagram)?;
            let mut rest = &datagram[..length];
            while rest.len() >= 20 {
                let code = i32::from_ne_bytes([rest[16], rest[17], rest[18], rest[19]]);
                answered += 1;
                if code != 0 {
                    first = first.or(Some(Errno::from_raw(-code)));
                }
                rest = after_first(rest);
            }
            if first.is_some() {
                break;
            }
        }
        first.map_or(Ok(()), Err)
    }
}
