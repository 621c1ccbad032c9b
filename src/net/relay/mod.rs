//! Published ports: connections and datagrams are taken on the host and passed on inside, by one thread that is in the network
//! namespace of who is spoken to, or of his network. The listeners were made outside of it, and stay there.

mod connection;

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, bind, connect, setsockopt, socket, sockopt,
};

use super::ports::Source;
use crate::name::container::ContainerId;
use crate::sys::{memory, namespace};
use connection::{Connection, State};

/// What is read at once: a few large segments.
const BUFFER: usize = 128 << 10;

/// As long as a datagram can be.
const DATAGRAM: usize = 64 << 10;

/// How many datagrams of one client or port are passed on before it is another one's turn.
const TURNS: usize = 8;

/// How long a client of a UDP port may say and hear nothing before it is forgotten.
const IDLE: Duration = Duration::from_secs(90);

/// How many clients a UDP port may have at once: their addresses may be invented.
const MOST_CLIENTS: usize = 4096;

/// After this time without anything to do memory is given back.
const QUIET: Duration = Duration::from_millis(300);

/// How long no connection is taken after there were too many descriptors.
const BREATHER: Duration = Duration::from_millis(50);

/// How long a client may be silent before it is asked whether it is still there, in seconds: those who are spoken to cannot ask it.
const SILENCE: u32 = 60;

/// Under whose address a member is spoken to.
#[derive(Clone, Debug)]
pub enum Face {
    /// Our own.
    Ours,
    /// The client's.
    Clients {
        /// Not if that is in one of these networks, whose members answer each other directly; nor if it is the host by its loopback
        /// device.
        but: Vec<IpNet>,
        /// The mark of what is sent under it (SO_MARK, socket(7)).
        mark: Option<u32>,
    },
}

/// The client's address, and the mark of what is sent under it.
type Borrowed = (IpAddr, Option<u32>);

impl Face {
    /// The address, if it is not our own.
    fn of(&self, client: IpAddr, target: IpAddr) -> Option<Borrowed> {
        let Self::Clients { but, mark } = self else { return None };
        // One of IPv4 comes through a socket of IPv6 as such.
        let client = client.to_canonical();
        let is_own = client.is_loopback() || client.is_unspecified() || but.iter().any(|net| net.contains(&client));
        let is_local = matches!(client, IpAddr::V6(client) if client.is_unicast_link_local());
        (!is_own && !is_local && client.is_ipv4() == target.is_ipv4()).then_some((client, *mark))
    }
}

/// From where to where.
#[derive(Debug)]
pub struct Way {
    /// Where it comes from.
    pub source: Source,
    /// Who is spoken to.
    pub target: SocketAddr,
    /// Under which address.
    pub face: Face,
}

enum Order {
    Add(ContainerId, Way),
    Remove(ContainerId),
}

/// The thread that passes on.
#[derive(Debug)]
pub struct Relay {
    orders: Sender<Order>,
    wake: Arc<EventFd>,
}

impl Relay {
    /// Starts it in the network namespace `inside`.
    pub fn start(inside: BorrowedFd<'_>) -> io::Result<Self> {
        let inside = inside.try_clone_to_owned()?;
        let (orders, receiver) = channel();
        let wake = Arc::new(EventFd::from_flags(
            nix::sys::eventfd::EfdFlags::EFD_CLOEXEC | nix::sys::eventfd::EfdFlags::EFD_NONBLOCK,
        )?);
        let (started, is_started) = channel();
        let theirs = Arc::clone(&wake);
        std::thread::Builder::new().name("ports".into()).spawn(move || {
            let worker = namespace::enter_network(inside.as_fd()).and_then(|()| Worker::new(Some((theirs, receiver))));
            match worker {
                Ok(mut worker) => {
                    let _ = started.send(Ok(()));
                    worker.work();
                }
                Err(errno) => drop(started.send(Err(errno))),
            }
        })?;
        is_started.recv().unwrap_or(Err(Errno::EIO))?;
        Ok(Self { orders, wake })
    }

    /// Passes on, for a container.
    pub fn add(&self, container: &ContainerId, way: Way) {
        self.give(Order::Add(container.clone(), way));
    }

    /// Ends all that is passed on to a container.
    pub fn remove(&self, container: &ContainerId) {
        self.give(Order::Remove(container.clone()));
    }

    fn give(&self, order: Order) {
        // The thread ends with the process only.
        let _ = self.orders.send(order);
        let _ = self.wake.write(1);
    }
}

/// Passes on with this thread, until it cannot any more.
pub fn pass_on(ways: Vec<Way>) -> Result<(), Errno> {
    let mut worker = Worker::new(None)?;
    for way in ways {
        worker.add(None, way)?;
    }
    worker.work();
    Ok(())
}

/// What a token of the kernel stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Thing {
    Orders,
    Source(u64),
    /// And which of its ends.
    Connection(u64, usize),
    Client(u64),
}

struct Port {
    /// Whose it is, where there are several.
    container: Option<ContainerId>,
    way: Way,
    /// The clients of a UDP port.
    clients: HashMap<SocketAddr, u64>,
}

/// A connection of a port, and what its ends are called by the kernel.
struct Passed {
    port: u64,
    tokens: [u64; 2],
    connection: Connection,
}

/// Who has sent a datagram, and the socket by which it is passed on.
struct Client {
    port: u64,
    address: SocketAddr,
    socket: UdpSocket,
    last: Instant,
}

struct Worker {
    epoll: Epoll,
    /// Where orders come from, and what tells of them.
    orders: Option<(Arc<EventFd>, Receiver<Order>)>,
    things: HashMap<u64, Thing>,
    ports: HashMap<u64, Port>,
    connections: HashMap<u64, Passed>,
    clients: HashMap<u64, Client>,
    next: u64,
    buffer: Vec<u8>,
    /// Connections whose turn was over before there was nothing left to do.
    unfinished: Vec<u64>,
}

impl Worker {
    fn new(orders: Option<(Arc<EventFd>, Receiver<Order>)>) -> Result<Self, Errno> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let wake = orders.as_ref().map(|(wake, _)| Arc::clone(wake));
        let mut worker = Self {
            epoll,
            orders,
            things: HashMap::new(),
            ports: HashMap::new(),
            connections: HashMap::new(),
            clients: HashMap::new(),
            next: 0,
            buffer: vec![0; BUFFER],
            unfinished: Vec::new(),
        };
        if let Some(wake) = wake {
            worker.watch(wake.as_fd(), Thing::Orders, EpollFlags::EPOLLIN)?;
        }
        Ok(worker)
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn watch(&mut self, fd: BorrowedFd<'_>, thing: Thing, flags: EpollFlags) -> Result<u64, Errno> {
        let token = self.number();
        self.epoll.add(fd, EpollEvent::new(flags, token))?;
        self.things.insert(token, thing);
        Ok(token)
    }

    fn work(&mut self) {
        let mut events = [EpollEvent::empty(); 128];
        let mut swept = Instant::now();
        loop {
            let limit = match (self.unfinished.is_empty(), self.clients.is_empty()) {
                (false, _) => Some(Duration::ZERO),
                (true, false) => Some(IDLE / 2),
                (true, true) => None,
            };
            let count = self.wait(&mut events, limit);
            for connection in std::mem::take(&mut self.unfinished) {
                self.pump(connection, None);
            }
            for event in &events[..count] {
                match self.things.get(&event.data()).copied() {
                    Some(Thing::Orders) => self.obey(),
                    Some(Thing::Source(port)) => self.take(port),
                    Some(Thing::Connection(connection, end)) => self.pump(connection, Some((end, event.events()))),
                    Some(Thing::Client(client)) => self.answer(client),
                    None => {}
                }
            }
            if swept.elapsed() > IDLE / 2 {
                swept = Instant::now();
                self.sweep(|client| client.last.elapsed() > IDLE);
            }
        }
    }

    /// Waits for something to happen: how much has.
    fn wait(&mut self, events: &mut [EpollEvent], limit: Option<Duration>) -> usize {
        let timeout = |limit: Option<Duration>| match limit {
            Some(limit) => EpollTimeout::try_from(limit).unwrap_or(EpollTimeout::MAX),
            None => EpollTimeout::NONE,
        };
        // A thread beside others has no memory of its own to give back.
        let is_alone = self.orders.is_none();
        let first = if is_alone { Some(limit.map_or(QUIET, |limit| limit.min(QUIET))) } else { limit };
        let count = self.epoll.wait(events, timeout(first)).unwrap_or(0);
        if count > 0 || first == limit {
            return count;
        }
        self.buffer = Vec::new();
        let _ = memory::wait_lightly(
            &mut [PollFd::new(self.epoll.0.as_fd(), PollFlags::POLLIN)],
            limit,
            std::path::Path::new("/proc"),
        );
        self.buffer = vec![0; BUFFER];
        self.epoll.wait(events, EpollTimeout::ZERO).unwrap_or(0)
    }

    fn obey(&mut self) {
        if let Some((wake, _)) = &self.orders {
            let _ = wake.read();
        }
        while let Some(order) = self.orders.as_ref().and_then(|(_, orders)| orders.try_recv().ok()) {
            match order {
                // Who is not watched is not heard: there is nobody left to tell.
                Order::Add(container, way) => drop(self.add(Some(container), way)),
                Order::Remove(container) => {
                    let ports: Vec<u64> = self
                        .ports
                        .iter()
                        .filter(|(_, port)| port.container.as_ref() == Some(&container))
                        .map(|(number, _)| *number)
                        .collect();
                    for number in ports {
                        self.ports.remove(&number);
                        self.connections.retain(|_, connection| connection.port != number);
                        self.clients.retain(|_, client| client.port != number);
                    }
                    self.forget();
                }
            }
        }
    }

    fn add(&mut self, container: Option<ContainerId>, way: Way) -> Result<(), Errno> {
        let number = self.number();
        self.watch(way.source.as_fd(), Thing::Source(number), EpollFlags::EPOLLIN)?;
        self.ports.insert(number, Port { container, way, clients: HashMap::new() });
        Ok(())
    }

    /// Takes what has come to a port.
    fn take(&mut self, number: u64) {
        let Some(port) = self.ports.get(&number) else { return };
        match &port.way.source {
            Source::Tcp(listener) => match listener.accept() {
                Ok((stream, client)) => {
                    let (target, face) = (port.way.target, port.way.face.of(client.ip(), port.way.target.ip()));
                    // Who cannot be served sees the connection closed.
                    let _ = self.connect(number, stream, target, face);
                }
                Err(error)
                    if matches!(
                        error.raw_os_error(),
                        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS)
                    ) =>
                {
                    std::thread::sleep(BREATHER);
                }
                Err(_) => {}
            },
            Source::Udp(_) => self.take_datagrams(number),
        }
    }

    fn connect(&mut self, port: u64, client: TcpStream, target: SocketAddr, face: Option<Borrowed>) -> io::Result<()> {
        client.set_nonblocking(true)?;
        client.set_nodelay(true)?;
        setsockopt(&client, sockopt::KeepAlive, &true)?;
        setsockopt(&client, sockopt::TcpKeepIdle, &SILENCE)?;
        let member = TcpStream::from(begin_connection(SockType::Stream, target, face)?);
        member.set_nodelay(true)?;
        let number = self.number();
        let tokens = [
            self.watch(client.as_fd(), Thing::Connection(number, 0), connection::FLAGS)?,
            self.watch(member.as_fd(), Thing::Connection(number, 1), connection::FLAGS)?,
        ];
        let connection = Connection::new([client, member]);
        self.connections.insert(number, Passed { port, tokens, connection });
        Ok(())
    }

    /// Passes on what there is of a connection, after what the kernel has told of one of its ends.
    fn pump(&mut self, number: u64, told: Option<(usize, EpollFlags)>) {
        let Some(Passed { connection, tokens, .. }) = self.connections.get_mut(&number) else { return };
        if let Some((end, flags)) = told {
            connection.hear(end, flags);
        }
        match connection.pump(&mut self.buffer) {
            Ok(State::Rests) => {}
            Ok(State::Goes) => self.unfinished.push(number),
            Ok(State::Over) | Err(_) => {
                tokens.iter().for_each(|token| {
                    self.things.remove(token);
                });
                self.connections.remove(&number);
            }
        }
    }

    fn take_datagrams(&mut self, number: u64) {
        for _ in 0..TURNS {
            let Some(port) = self.ports.get(&number) else { return };
            let Source::Udp(socket) = &port.way.source else { return };
            let Ok((length, address)) = socket.recv_from(&mut self.buffer[..DATAGRAM]) else { return };
            let client = match port.clients.get(&address) {
                Some(client) => *client,
                None => match self.new_client(number, address) {
                    Ok(client) => client,
                    // As a network may, it loses the datagram.
                    Err(_) => continue,
                },
            };
            if let Some(client) = self.clients.get_mut(&client) {
                client.last = Instant::now();
                let _ = client.socket.send(&self.buffer[..length]);
            }
        }
    }

    fn new_client(&mut self, number: u64, address: SocketAddr) -> io::Result<u64> {
        let port = self.ports.get(&number).ok_or(ErrorKind::NotFound)?;
        if port.clients.len() >= MOST_CLIENTS {
            return Err(ErrorKind::QuotaExceeded.into());
        }
        let face = port.way.face.of(address.ip(), port.way.target.ip());
        let socket = UdpSocket::from(begin_connection(SockType::Datagram, port.way.target, face)?);
        let client = self.number();
        self.watch(socket.as_fd(), Thing::Client(client), EpollFlags::EPOLLIN)?;
        self.clients.insert(client, Client { port: number, address, socket, last: Instant::now() });
        if let Some(port) = self.ports.get_mut(&number) {
            port.clients.insert(address, client);
        }
        Ok(client)
    }

    /// Passes on what a member says to a client.
    fn answer(&mut self, number: u64) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        client.last = Instant::now();
        for _ in 0..TURNS {
            // An error says that nobody listens there: it is read by this, and the client learns nothing, as over UDP.
            let Ok(length) = client.socket.recv(&mut self.buffer[..DATAGRAM]) else { return };
            if let Some(Source::Udp(socket)) = self.ports.get(&client.port).map(|port| &port.way.source) {
                let _ = socket.send_to(&self.buffer[..length], client.address);
            }
        }
    }

    fn sweep(&mut self, is_gone: impl Fn(&Client) -> bool) {
        let gone: Vec<u64> =
            self.clients.iter().filter(|(_, client)| is_gone(client)).map(|(number, _)| *number).collect();
        for number in gone {
            if let Some(client) = self.clients.remove(&number)
                && let Some(port) = self.ports.get_mut(&client.port)
            {
                port.clients.remove(&client.address);
            }
        }
        self.forget();
    }

    /// Forgets the tokens of what is gone; the kernel has forgotten it with its descriptor.
    fn forget(&mut self) {
        let (ports, connections, clients) = (&self.ports, &self.connections, &self.clients);
        self.things.retain(|_, thing| match thing {
            Thing::Orders => true,
            Thing::Source(number) => ports.contains_key(number),
            Thing::Connection(number, _) => connections.contains_key(number),
            Thing::Client(number) => clients.contains_key(number),
        });
    }
}

/// A socket that is being connected, under the address `face`, if that can be had.
fn begin_connection(kind: SockType, target: SocketAddr, face: Option<Borrowed>) -> Result<OwnedFd, Errno> {
    let family = if target.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let member = socket(family, kind, flags, None)?;
    if let Some(face) = face
        && put_on(&member, face).is_err()
    {
        return begin_connection(kind, target, None);
    }
    let connected = match target {
        SocketAddr::V4(target) => connect(member.as_raw_fd(), &SockaddrIn::from(target)),
        SocketAddr::V6(target) => connect(member.as_raw_fd(), &SockaddrIn6::from(target)),
    };
    match connected {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(member),
        Err(errno) => Err(errno),
    }
}

/// Gives a socket an address that is not ours (ip(7); the options are those of sockets of IPv6, too). Its port is found with the connection: all clients
/// together have more than there are.
fn put_on(member: &OwnedFd, (face, mark): Borrowed) -> Result<(), Errno> {
    if let Some(mark) = mark {
        setsockopt(member, sockopt::Mark, &mark)?;
    }
    setsockopt(member, sockopt::IpTransparent, &true)?;
    setsockopt(member, sockopt::IpBindAddressNoPort, &true)?;
    match face {
        IpAddr::V4(face) => bind(member.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(face, 0))),
        IpAddr::V6(face) => bind(member.as_raw_fd(), &SockaddrIn6::from(SocketAddrV6::new(face, 0, 0, 0))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_see_clients_that_are_neither_the_host_nor_their_own_network() {
        let face =
            Face::Clients { but: vec!["10.89.0.0/24".parse().unwrap(), "fd00:1::/64".parse().unwrap()], mark: None };
        let of = |client: &str, target: &str| {
            face.of(client.parse().unwrap(), target.parse().unwrap()).map(|(address, _)| address)
        };
        assert_eq!(of("192.0.2.7", "10.89.0.2"), Some("192.0.2.7".parse().unwrap()));
        assert_eq!(of("::ffff:192.0.2.7", "10.89.0.2"), Some("192.0.2.7".parse().unwrap()));
        assert_eq!(of("2001:db8::7", "fd00:1::2"), Some("2001:db8::7".parse().unwrap()));
        for (client, target) in [
            ("127.0.0.1", "10.89.0.2"),
            ("::1", "fd00:1::2"),
            ("10.89.0.7", "10.89.0.2"),
            ("fe80::1", "fd00:1::2"),
            ("2001:db8::7", "10.89.0.2"),
        ] {
            assert_eq!(of(client, target), None, "{client}");
        }
        assert_eq!(Face::Ours.of("192.0.2.7".parse().unwrap(), "10.89.0.2".parse().unwrap()), None);
    }
}
