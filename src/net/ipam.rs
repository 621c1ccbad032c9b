//! Which addresses are free: pure arithmetic. Who has one is written in leases ([`crate::state::schema::network`]).

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::host::config::containers::SubnetPool;
use crate::name::mac_address::MacAddress;
use crate::state::schema::network::SubnetRecord;

/// Where subnets are found for networks that name none: podman's pools.
pub const POOLS: [SubnetPool; 5] =
    [pool([10, 89], 16), pool([10, 90], 15), pool([10, 92], 14), pool([10, 96], 11), pool([10, 128], 9)];

const fn pool([a, b]: [u8; 2], prefix: u8) -> SubnetPool {
    SubnetPool { base: Ipv4Net::new_assert(Ipv4Addr::new(a, b, 0, 0), prefix), size: 24 }
}

/// Why there is no address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoAddress {
    /// All are taken.
    #[error("all {count} addresses from {first} to {last} are taken")]
    Exhausted {
        /// The first of the range.
        first: IpAddr,
        /// The last.
        last: IpAddr,
        /// How many there are.
        count: u128,
    },
    /// It belongs to no subnet.
    #[error("{address} is in none of the network's subnets ({})", subnets.join(", "))]
    Outside {
        /// The address.
        address: IpAddr,
        /// The subnets.
        subnets: Vec<String>,
    },
    /// It is the router's, or that of the network or of all its members.
    #[error("{0} is an address of the network itself")]
    Reserved(IpAddr),
    /// Somebody has it.
    #[error("{address} is taken by container {owner}")]
    Taken {
        /// The address.
        address: IpAddr,
        /// Who has it.
        owner: String,
    },
}

/// An address as a number, and back; of the same family.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

fn address(number: u128, like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::from(number as u32).into(),
        IpAddr::V6(_) => Ipv6Addr::from(number).into(),
    }
}

/// The first and the last address that a member can have: neither the network's own nor, with IPv4, that of all members.
fn usable(subnet: IpNet) -> (IpAddr, IpAddr) {
    let (network, last) = (subnet.network(), subnet.broadcast());
    let is_tiny = subnet.max_prefix_len() - subnet.prefix_len() < 2;
    match (subnet, is_tiny) {
        (_, true) => (network, last),
        (IpNet::V4(_), false) => (address(number(network) + 1, network), address(number(last) - 1, last)),
        (IpNet::V6(_), false) => (address(number(network) + 1, network), last),
    }
}

/// The router's address where none is named: the first one.
pub fn default_gateway(subnet: IpNet) -> IpAddr {
    usable(subnet).0
}

/// A free address for a member that wants none in particular.
pub fn free(subnet: &SubnetRecord, taken: &HashSet<IpAddr>) -> Result<IpNet, NoAddress> {
    let (first, last) = subnet.range.unwrap_or_else(|| usable(subnet.subnet));
    let candidates = (number(first)..=number(last)).map(|number| address(number, first));
    let mut free = candidates.filter(|candidate| !is_reserved(subnet, *candidate) && !taken.contains(candidate));
    match free.next().and_then(|address| IpNet::new(address, subnet.subnet.prefix_len()).ok()) {
        Some(address) => Ok(address),
        None => Err(NoAddress::Exhausted { first, last, count: number(last) - number(first) + 1 }),
    }
}

/// The address that a member wants, with its prefix.
pub fn wanted(subnets: &[SubnetRecord], address: IpAddr) -> Result<IpNet, NoAddress> {
    let outside =
        || NoAddress::Outside { address, subnets: subnets.iter().map(|subnet| subnet.subnet.to_string()).collect() };
    let subnet = subnets.iter().find(|subnet| subnet.subnet.contains(&address)).ok_or_else(outside)?;
    if is_reserved(subnet, address) {
        return Err(NoAddress::Reserved(address));
    }
    IpNet::new(address, subnet.subnet.prefix_len()).map_err(|_| outside())
}

fn is_reserved(subnet: &SubnetRecord, address: IpAddr) -> bool {
    let (first, last) = usable(subnet.subnet);
    subnet.gateway == Some(address) || !(number(first)..=number(last)).contains(&number(address))
}

/// The first subnet of these pools that has no address in common with any of `taken`.
pub fn free_subnet(pools: &[SubnetPool], taken: &[IpNet]) -> Option<IpNet> {
    let mut candidates = pools.iter().filter_map(|pool| pool.base.subnets(pool.size).ok()).flatten();
    candidates.by_ref().map(IpNet::V4).find(|candidate| overlapping(*candidate, taken).is_none())
}

/// A subnet of unique local addresses (RFC 4193) with this random global identifier.
pub fn local_subnet(random: [u8; 5]) -> IpNet {
    let [a, b, c, d, e] = random.map(u16::from);
    let address = Ipv6Addr::new(0xfd00 | a, b << 8 | c, d << 8 | e, 0, 0, 0, 0, 0);
    IpNet::V6(Ipv6Net::new_assert(address, 64))
}

/// The one of `others` with which `subnet` has addresses in common.
pub fn overlapping(subnet: IpNet, others: &[IpNet]) -> Option<IpNet> {
    let overlaps = |other: &&IpNet| subnet.contains(&other.network()) || other.contains(&subnet.network());
    others.iter().find(overlaps).copied()
}

/// A hardware address for the member that has `address`: whoever gets the address next has the same, so that nobody's
/// neighbour table is wrong. Locally administered (IEEE 802, second lowest bit of the first byte).
pub fn mac(address: IpAddr) -> MacAddress {
    let bytes = match address {
        IpAddr::V4(address) => address.octets(),
        IpAddr::V6(address) => {
            let [.., a, b, c, d] = address.octets();
            [a, b, c, d]
        }
    };
    let [a, b, c, d] = bytes;
    MacAddress([0x02, 0x63, a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> SubnetRecord {
        let subnet: IpNet = text.parse().unwrap();
        SubnetRecord { subnet, gateway: Some(default_gateway(subnet)), range: None }
    }

    #[test]
    fn addresses_are_given_in_order() {
        let net = subnet("10.89.0.0/29");
        let mut taken = HashSet::new();
        let mut given = Vec::new();
        while let Ok(address) = free(&net, &taken) {
            taken.insert(address.addr());
            given.push(address.to_string());
        }
        assert_eq!(given, ["10.89.0.2/29", "10.89.0.3/29", "10.89.0.4/29", "10.89.0.5/29", "10.89.0.6/29"]);
        assert_eq!(
            free(&net, &taken).unwrap_err().to_string(),
            "all 6 addresses from 10.89.0.1 to 10.89.0.6 are taken"
        );
        taken.remove(&"10.89.0.3".parse().unwrap());
        assert_eq!(free(&net, &taken).unwrap().to_string(), "10.89.0.3/29");
        let ranged = SubnetRecord { range: Some(("10.89.0.5".parse().unwrap(), "10.89.0.5".parse().unwrap())), ..net };
        assert!(free(&ranged, &taken).is_err());
        assert_eq!(free(&subnet("fd00:1::/64"), &taken).unwrap().to_string(), "fd00:1::2/64");
        assert_eq!(free(&subnet("10.1.1.0/31"), &taken).unwrap().to_string(), "10.1.1.1/31");
    }

    #[test]
    fn wanted_addresses_belong_to_the_network() {
        let subnets = [subnet("10.89.0.0/24"), subnet("fd00:1::/64")];
        let want = |text: &str| wanted(&subnets, text.parse().unwrap());
        assert_eq!(want("10.89.0.77").unwrap().to_string(), "10.89.0.77/24");
        assert_eq!(want("fd00:1::77").unwrap().to_string(), "fd00:1::77/64");
        for reserved in ["10.89.0.0", "10.89.0.1", "10.89.0.255", "fd00:1::", "fd00:1::1"] {
            assert!(matches!(want(reserved), Err(NoAddress::Reserved(_))), "{reserved}");
        }
        assert_eq!(
            want("10.90.0.1").unwrap_err().to_string(),
            "10.90.0.1 is in none of the network's subnets (10.89.0.0/24, fd00:1::/64)"
        );
    }

    #[test]
    fn subnets_that_overlap_are_left_out() {
        let taken = ["10.89.0.0/16", "10.90.0.0/24", "10.90.1.128/25"].map(|text| text.parse().unwrap());
        assert_eq!(free_subnet(&POOLS, &[]).unwrap().to_string(), "10.89.0.0/24");
        assert_eq!(free_subnet(&POOLS, &taken).unwrap().to_string(), "10.90.2.0/24");
        assert_eq!(free_subnet(&POOLS, &["0.0.0.0/1".parse().unwrap()]), None);
        assert_eq!(overlapping("10.90.1.0/24".parse().unwrap(), &taken), Some(taken[2]));
        assert_eq!(overlapping("fd00::/8".parse().unwrap(), &taken), None);
        assert_eq!(local_subnet([1, 2, 3, 4, 5]).to_string(), "fd01:203:405::/64");
    }
}
