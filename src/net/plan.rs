//! What a container's network is to be: plain data, made by a pure function of the request and of what the host has.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use super::error::NetworkError;
use super::ports::{self, Wish};
use crate::name::network_mode::NetworkMode;
use crate::name::port::{ExposedPorts, PortRequest, Protocol};
use crate::name::user_network::{PastaOptions, PortHandler, SlirpOptions, UserNetwork};

/// A container's network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkPlan {
    /// A namespace of its own, with a loopback device.
    None,
    /// The caller's namespace.
    Host,
    /// A namespace of its own, which a program of the host connects.
    User(UserPlan),
    /// The namespace of somebody else.
    Join(JoinPlan),
    /// A namespace of its own, attached to networks that have names.
    Named(NamedPlan),
}

/// A network namespace that somebody else has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinPlan {
    /// Whose it is.
    pub of: Owner,
    /// Whether its user namespace is entered, too: who made a network namespace of a user is root there.
    pub shares_users: bool,
}

/// Whose namespace it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A container's: its identifier.
    Container(String),
    /// Of whoever keeps it at this path.
    Path(PathBuf),
}

/// Networks that have names; which ones is said by the request, and what the container gets in them by its leases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPlan {
    /// Ports to publish.
    pub ports: Vec<Wish>,
    /// The resolver of the first of them, once it is known.
    pub resolver: Option<IpAddr>,
    /// Whether that knows the names of members.
    pub has_names: bool,
}

/// A network in user mode: one program, the helper, for one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserPlan {
    /// Which program.
    pub helper: Helper,
    /// Its path.
    pub program: PathBuf,
    /// Its arguments, but for those that name descriptors, files and ports.
    pub arguments: Vec<String>,
    /// The container's device.
    pub device: String,
    /// The container's address, and the length of its network's prefix.
    pub address: (Ipv4Addr, u8),
    /// Its gateway.
    pub gateway: Ipv4Addr,
    /// Where the helper takes questions to the host's name server.
    pub dns: Ipv4Addr,
    /// The address under which the container reaches the host, if that is not one of the host's own.
    pub host: Option<IpAddr>,
    /// Ports to publish.
    pub ports: Vec<Wish>,
    /// Whether they are passed on by us ([`super::forwarder`]), and not by the helper.
    pub forwards: bool,
}

/// A program that connects a network namespace without privileges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helper {
    /// slirp4netns(1): small, and there at once.
    Slirp,
    /// pasta(1): needs sixteen times the memory, and twice that to publish ports.
    Pasta,
}

impl Helper {
    /// The program's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Slirp => "slirp4netns",
            Self::Pasta => "pasta",
        }
    }
}

/// What the host has; asked for only where it matters.
#[derive(Clone, Copy)]
pub struct Host {
    /// The path of a program.
    pub find: fn(&str) -> Option<PathBuf>,
    /// Whether a network namespace belongs to a user namespace below ours.
    pub is_of_users_below: fn(&Path) -> io::Result<bool>,
}

/// Bytes of a packet, at most: without a wire there is no reason to keep to those of Ethernet, and the fewer packets the faster.
const MTU: u16 = 65_520;

/// The device, as docker's.
const DEVICE: &str = "eth0";

/// The network that slirp4netns makes unless told otherwise; with pasta it is the same.
const NETWORK: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 0, 2, 0), 24);

impl NetworkPlan {
    /// For what was asked for. `exposed` are the ports that the image says it listens on.
    pub fn new(
        mode: &NetworkMode,
        ports: &PortRequest,
        exposed: &[ExposedPorts],
        host: Host,
    ) -> Result<Self, NetworkError> {
        let user = match mode {
            NetworkMode::None => return Ok(Self::None),
            NetworkMode::Host => return Ok(Self::Host),
            NetworkMode::Default => &UserNetwork::Best,
            NetworkMode::User(user) => user,
            NetworkMode::Container(id) => {
                return Ok(Self::Join(JoinPlan { of: Owner::Container(id.clone()), shares_users: true }));
            }
            NetworkMode::Namespace(path) => {
                let refused = |cause| NetworkError::Namespace { path: path.clone(), cause };
                let shares_users = (host.is_of_users_below)(path).map_err(refused)?;
                return Ok(Self::Join(JoinPlan { of: Owner::Path(path.clone()), shares_users }));
            }
            NetworkMode::Networks(_) => {
                let ports = ports::wishes(ports, exposed)?;
                if let Some(wish) = ports.iter().find(|wish| wish.protocol == Protocol::Sctp) {
                    return Err(NetworkError::Protocol { port: wish.container, helper: "a network with a name" });
                }
                return Ok(Self::Named(NamedPlan { ports, resolver: None, has_names: false }));
            }
        };
        let wishes = ports::wishes(ports, exposed)?;
        let plan = match user {
            UserNetwork::Best => match best(host) {
                Some((Helper::Slirp, program)) => slirp(program, &SlirpOptions::default(), wishes),
                Some((Helper::Pasta, program)) => pasta(program, &PastaOptions::default(), wishes),
                None if *mode == NetworkMode::Default && wishes.is_empty() => return Ok(Self::None),
                None => return Err(NetworkError::NoHelper),
            },
            UserNetwork::Slirp(options) => slirp(installed(Helper::Slirp, host)?, options, wishes),
            UserNetwork::Pasta(options) => pasta(installed(Helper::Pasta, host)?, options, wishes),
        };
        plan.check_ports()?;
        Ok(Self::User(plan))
    }

    /// Whether the container makes a network namespace.
    pub fn is_made(&self) -> bool {
        matches!(self, Self::None | Self::User(_) | Self::Named(_))
    }

    /// Whether the container may do with its network namespace what root may: see it in its own `/sys`, and change it.
    pub fn is_own(&self) -> bool {
        self.is_made() || self.shares_users()
    }

    /// Whether the container is in a user namespace that somebody else has made.
    pub fn shares_users(&self) -> bool {
        matches!(self, Self::Join(JoinPlan { shares_users: true, .. }))
    }

    /// Whether somebody has to connect it while the container is started.
    pub fn is_connected(&self) -> bool {
        matches!(self, Self::User(_) | Self::Named(_))
    }

    /// The network in user mode, if it is one.
    pub fn user(&self) -> Option<&UserPlan> {
        match self {
            Self::User(plan) => Some(plan),
            _ => None,
        }
    }
}

/// slirp4netns takes a sixteenth of the memory and a fourth of the time to start.
fn best(host: Host) -> Option<(Helper, PathBuf)> {
    let find = |helper: Helper| (host.find)(helper.name()).map(|program| (helper, program));
    find(Helper::Slirp).or_else(|| find(Helper::Pasta))
}

fn installed(helper: Helper, host: Host) -> Result<PathBuf, NetworkError> {
    (host.find)(helper.name()).ok_or(NetworkError::NotInstalled(helper.name()))
}

/// The address of this number in a network.
fn nth((base, _): (Ipv4Addr, u8), number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(base) + number)
}

fn slirp(program: PathBuf, options: &SlirpOptions, ports: Vec<Wish>) -> UserPlan {
    let network = options.cidr.unwrap_or(NETWORK);
    let reaches_loopback = options.allow_host_loopback == Some(true);
    let mut arguments = vec!["--configure".into(), format!("--mtu={}", options.mtu.unwrap_or(MTU))];
    arguments.extend(options.cidr.map(|(base, length)| format!("--cidr={base}/{length}")));
    arguments.extend((!reaches_loopback).then(|| "--disable-host-loopback".into()));
    arguments.extend((options.enable_ipv6 == Some(true)).then(|| "--enable-ipv6".into()));
    arguments.extend(options.outbound.as_ref().map(|outbound| format!("--outbound-addr={outbound}")));
    arguments.extend(options.outbound6.as_ref().map(|outbound| format!("--outbound-addr6={outbound}")));
    UserPlan {
        helper: Helper::Slirp,
        program,
        arguments,
        device: DEVICE.into(),
        address: (nth(network, 100), network.1),
        gateway: nth(network, 2),
        dns: nth(network, 3),
        host: reaches_loopback.then(|| nth(network, 2).into()),
        ports,
        forwards: options.port_handler != Some(PortHandler::Slirp),
    }
}

fn pasta(program: PathBuf, options: &PastaOptions, ports: Vec<Wish>) -> UserPlan {
    let given = |name: &str| options.value(name);
    let v4 = |name: &str| -> Option<Ipv4Addr> {
        let values = options.iter().filter(|option| option.name == name).filter_map(|option| option.value.as_deref());
        values.filter_map(|value| value.parse().ok()).last()
    };
    let mut arguments: Vec<String> = ["--quiet", "--foreground", "--config-net"].map(str::to_owned).to_vec();
    let mut add = |name: &str, value: &str| {
        if !options.has(name) {
            arguments.extend([name.to_owned(), value.to_owned()]);
        }
    };
    add("--ns-ifname", DEVICE);
    add("--mtu", &MTU.to_string());
    let has_v4 = !options.has("--ipv6-only");
    let (address, gateway) = (v4("--address").unwrap_or(nth(NETWORK, 100)), v4("--gateway").unwrap_or(nth(NETWORK, 2)));
    let length = given("--netmask").and_then(|mask| mask.parse().ok()).unwrap_or(NETWORK.1);
    let dns = v4("--dns-forward").unwrap_or(nth(NETWORK, 3));
    let (host_v4, host_v6) = (given("--map-host-loopback"), options.has("--map-gw"));
    if has_v4 {
        if v4("--address").is_none() {
            arguments.extend(["--address".into(), address.to_string()]);
        }
        if !options.has("--netmask") {
            arguments.extend(["--netmask".into(), length.to_string()]);
        }
        if v4("--gateway").is_none() {
            arguments.extend(["--gateway".into(), gateway.to_string()]);
        }
        if v4("--dns-forward").is_none() {
            arguments.extend(["--dns-forward".into(), dns.to_string()]);
        }
    }
    if !host_v6 && !options.has("--no-map-gw") {
        arguments.push("--no-map-gw".into());
    }
    // What is not said would be "as the caller's bound ports", or all of them.
    let publishes = |protocol: Protocol| ports.iter().any(|wish| wish.protocol == protocol);
    for (name, is_published) in [
        ("--tcp-ports", publishes(Protocol::Tcp)),
        ("--udp-ports", publishes(Protocol::Udp)),
        ("--tcp-ns", false),
        ("--udp-ns", false),
    ] {
        if !is_published && !options.has(name) {
            arguments.extend([name.to_owned(), "none".to_owned()]);
        }
    }
    // "--map-gw" is podman's word for the absence of pasta's own.
    for option in options.iter().filter(|option| option.name != "--map-gw") {
        arguments.push(option.name.to_owned());
        arguments.extend(option.value.clone());
    }
    let host = host_v4.and_then(|value| value.parse().ok()).or_else(|| host_v6.then(|| gateway.into()));
    UserPlan {
        helper: Helper::Pasta,
        program,
        arguments,
        device: given("--ns-ifname").unwrap_or(DEVICE).to_owned(),
        address: (address, length),
        gateway,
        dns,
        host,
        ports,
        forwards: false,
    }
}

impl UserPlan {
    /// Whether what is to be published can be.
    fn check_ports(&self) -> Result<(), NetworkError> {
        for wish in &self.ports {
            if wish.protocol == Protocol::Sctp {
                return Err(NetworkError::Protocol { port: wish.container, helper: self.helper.name() });
            }
            if self.forwards {
                continue;
            }
            // Both drop the answers: to them their client is the host's loopback device, which is closed.
            let is_local = wish.host_ip.is_some_and(|ip| ip.is_loopback());
            if wish.protocol == Protocol::Udp && is_local && self.host.is_none() {
                return Err(NetworkError::LocalUdp(wish.container));
            }
            if self.helper == Helper::Slirp && matches!(wish.host_ip, Some(IpAddr::V6(_))) {
                return Err(NetworkError::NoIpv6Ports(wish.host_ip.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED))));
            }
        }
        Ok(())
    }

    /// Whether a port without an address is published on those of IPv6, too.
    pub fn publishes_both(&self) -> bool {
        self.forwards
            || self.helper == Helper::Pasta && !self.arguments.iter().any(|argument| argument == "--ipv4-only")
    }

    /// The device, if it is to get what slirp4netns has of IPv6 ([`super::slirp_ipv6`]).
    pub fn slirp_ipv6(&self) -> Option<&str> {
        let has_ipv6 =
            self.helper == Helper::Slirp && self.arguments.iter().any(|argument| argument == "--enable-ipv6");
        has_ipv6.then_some(&*self.device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Host =
        Host { find: |name| Some(PathBuf::from("/usr/bin").join(name)), is_of_users_below: |_| Ok(true) };
    const NOTHING: Host = Host { find: |_| None, ..BOTH };

    fn only(name: &'static str) -> Host {
        match name {
            "pasta" => Host { find: |name| (name == "pasta").then(|| "/usr/bin/pasta".into()), ..BOTH },
            _ => Host { find: |name| (name == "slirp4netns").then(|| "/usr/bin/slirp4netns".into()), ..BOTH },
        }
    }

    fn plan_on(host: Host, network: &str, published: &[&str]) -> Result<NetworkPlan, NetworkError> {
        let published = published.iter().map(|text| text.parse().unwrap()).collect();
        let ports = PortRequest { published, ..PortRequest::default() };
        NetworkPlan::new(&network.parse().unwrap(), &ports, &[], host)
    }

    fn helper(plan: Result<NetworkPlan, NetworkError>) -> Helper {
        plan.unwrap().user().unwrap().helper
    }

    #[test]
    fn the_helper_is_the_small_one() {
        assert_eq!(helper(plan_on(BOTH, "default", &[])), Helper::Slirp);
        assert_eq!(helper(plan_on(BOTH, "private", &[])), Helper::Slirp);
        assert_eq!(helper(plan_on(BOTH, "default", &["80:80"])), Helper::Slirp);
        assert_eq!(helper(plan_on(only("pasta"), "default", &[])), Helper::Pasta);
        assert_eq!(helper(plan_on(BOTH, "pasta", &[])), Helper::Pasta);
        assert_eq!(helper(plan_on(BOTH, "slirp4netns", &["80:80"])), Helper::Slirp);
    }

    #[test]
    fn without_a_helper_there_is_no_network_unless_it_was_asked_for() {
        assert_eq!(plan_on(NOTHING, "default", &[]).unwrap(), NetworkPlan::None);
        assert!(matches!(plan_on(NOTHING, "default", &["80:80"]), Err(NetworkError::NoHelper)));
        assert!(matches!(plan_on(NOTHING, "private", &[]), Err(NetworkError::NoHelper)));
        assert!(matches!(plan_on(only("pasta"), "slirp4netns", &[]), Err(NetworkError::NotInstalled("slirp4netns"))));
        assert!(matches!(plan_on(only("slirp4netns"), "pasta", &[]), Err(NetworkError::NotInstalled("pasta"))));
        assert_eq!(plan_on(NOTHING, "none", &[]).unwrap(), NetworkPlan::None);
        assert_eq!(plan_on(NOTHING, "host", &["80:80"]).unwrap(), NetworkPlan::Host);
    }

    #[test]
    fn what_a_helper_cannot_publish_is_refused() {
        assert!(matches!(plan_on(BOTH, "default", &["80:80/sctp"]), Err(NetworkError::Protocol { .. })));
        let by_itself = "slirp4netns:port_handler=slirp4netns";
        assert!(matches!(plan_on(BOTH, by_itself, &["[::1]:80:80"]), Err(NetworkError::NoIpv6Ports(_))));
        assert!(plan_on(BOTH, "pasta", &["[::1]:80:80"]).is_ok());
        for network in ["pasta", by_itself] {
            assert!(matches!(plan_on(BOTH, network, &["127.0.0.1:53:53/udp"]), Err(NetworkError::LocalUdp(53))));
        }
        let open = "slirp4netns:allow_host_loopback=true,port_handler=slirp4netns";
        assert!(plan_on(BOTH, open, &["127.0.0.1:53:53/udp"]).is_ok());
        assert!(plan_on(BOTH, "default", &["127.0.0.1:53:53/udp", "[::1]:80:80"]).is_ok());
    }

    #[test]
    fn plans() {
        for (name, network, published) in [
            ("slirp", "slirp4netns", &[][..]),
            (
                "slirp_with_options",
                "slirp4netns:allow_host_loopback=true,cidr=10.1.0.0/24,enable_ipv6=true,mtu=1500,outbound_addr=eth1",
                &["127.0.0.1:8080:80", "5353:53/udp"][..],
            ),
            ("pasta", "pasta", &[][..]),
            ("pasta_with_ports", "pasta", &["8080-8082:80-82", "80"][..]),
            ("pasta_with_options", "pasta:--mtu,1500,--map-gw,-a,192.0.2.9,-g,192.0.2.1,-4,-I,tap0", &[][..]),
        ] {
            insta::assert_debug_snapshot!(name, plan_on(BOTH, network, published).unwrap());
        }
    }

    /// The host's loopback device is not to be reached by who did not ask for that.
    #[test]
    fn the_hosts_loopback_is_closed_by_default() {
        for (network, word) in
            [("slirp4netns", "--disable-host-loopback"), ("pasta", "--no-map-gw"), ("pasta:-4", "--no-map-gw")]
        {
            let plan = plan_on(BOTH, network, &[]).unwrap();
            assert!(plan.user().unwrap().arguments.iter().any(|argument| argument == word), "{network}");
        }
    }
}
