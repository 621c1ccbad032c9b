//! Published ports of the members of a network: connections and datagrams are taken on the host and passed on inside, by one
//! thread that is in the network's namespace. The listeners were made outside of it, and stay there.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, connect, socket};

use crate::name::container::ContainerId;
use crate::sys::namespace;

/// What is read at once: a few large segments.
const BUFFER: usize = 128 << 10;

/// As long as a datagram can be.
const DATAGRAM: usize = 64 << 10;

/// How many pieces of one connection are passed on before it is another one's turn.
const TURNS: usize = 8;

/// How long a client of a UDP port may say and hear nothing before it is forgotten.
const IDLE: Duration = Duration::from_secs(90);

/// How many clients a UDP port may have at once: their addresses may be invented.
const MOST_CLIENTS: usize = 4096;

/// How long no connection is taken after there were too many descriptors.
const BREATHER: Duration = Duration::from_millis(50);

/// Where connections or datagrams come from.
#[derive(Debug)]
pub enum Source {
    /// A port of TCP.
    Tcp(TcpListener),
    /// A port of UDP.
    Udp(UdpSocket),
}

enum Order {
    Add(ContainerId, Source, SocketAddr),
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
            let worker = namespace::enter_network(inside.as_fd()).and_then(|()| Worker::new(theirs, receiver));
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

    /// Passes on from `source` to `target`, for a container.
    pub fn add(&self, container: &ContainerId, source: Source, target: SocketAddr) {
        self.give(Order::Add(container.clone(), source, target));
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

/// What a token of the kernel stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Thing {
    Orders,
    Source(u64),
    Connection(u64),
    Client(u64),
}

struct Port {
    container: ContainerId,
    source: Source,
    target: SocketAddr,
    /// The clients of a UDP port.
    clients: HashMap<SocketAddr, u64>,
}

/// Two ends, and what is on its way from each to the other.
struct Connection {
    port: u64,
    tokens: [u64; 2],
    ends: [TcpStream; 2],
    ways: [Way; 2],
}

#[derive(Default)]
struct Way {
    bytes: Vec<u8>,
    sent: usize,
    has_ended: bool,
    is_shut: bool,
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
    wake: Arc<EventFd>,
    orders: Receiver<Order>,
    things: HashMap<u64, Thing>,
    ports: HashMap<u64, Port>,
    connections: HashMap<u64, Connection>,
    clients: HashMap<u64, Client>,
    next: u64,
    buffer: Vec<u8>,
    /// Connections whose turn was over before there was nothing left to do.
    unfinished: Vec<u64>,
}

impl Worker {
    fn new(wake: Arc<EventFd>, orders: Receiver<Order>) -> Result<Self, Errno> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let mut worker = Self {
            epoll,
            wake,
            orders,
            things: HashMap::new(),
            ports: HashMap::new(),
            connections: HashMap::new(),
            clients: HashMap::new(),
            next: 0,
            buffer: vec![0; BUFFER],
            unfinished: Vec::new(),
        };
        let wake = Arc::clone(&worker.wake);
        worker.watch(wake.as_fd(), Thing::Orders, EpollFlags::EPOLLIN)?;
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
                (false, _) => EpollTimeout::ZERO,
                (true, false) => EpollTimeout::from(u16::try_from(IDLE.as_millis() / 2).unwrap_or(u16::MAX)),
                (true, true) => EpollTimeout::NONE,
            };
            let count = self.epoll.wait(&mut events, limit).unwrap_or(0);
            for connection in std::mem::take(&mut self.unfinished) {
                self.pump(connection);
            }
            for event in &events[..count] {
                match self.things.get(&event.data()).copied() {
                    Some(Thing::Orders) => self.obey(),
                    Some(Thing::Source(port)) => self.take(port),
                    Some(Thing::Connection(connection)) => self.pump(connection),
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

    fn obey(&mut self) {
        let _ = self.wake.read();
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Add(container, source, target) => self.add(container, source, target),
                Order::Remove(container) => {
                    let ports: Vec<u64> = self
                        .ports
                        .iter()
                        .filter(|(_, port)| port.container == container)
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

    fn add(&mut self, container: ContainerId, source: Source, target: SocketAddr) {
        let number = self.number();
        let watched = match &source {
            Source::Tcp(listener) => self.watch(listener.as_fd(), Thing::Source(number), EpollFlags::EPOLLIN),
            Source::Udp(socket) => self.watch(socket.as_fd(), Thing::Source(number), EpollFlags::EPOLLIN),
        };
        if watched.is_ok() {
            self.ports.insert(number, Port { container, source, target, clients: HashMap::new() });
        }
    }

    /// Takes what has come to a port.
    fn take(&mut self, number: u64) {
        let Some(port) = self.ports.get(&number) else { return };
        match &port.source {
            Source::Tcp(listener) => match listener.accept() {
                Ok((stream, _)) => {
                    let target = port.target;
                    // Who cannot be served sees the connection closed.
                    let _ = self.connect(number, stream, target);
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

    fn connect(&mut self, port: u64, client: TcpStream, target: SocketAddr) -> io::Result<()> {
        client.set_nonblocking(true)?;
        client.set_nodelay(true)?;
        let member = TcpStream::from(begin_connection(target)?);
        member.set_nodelay(true)?;
        let number = self.number();
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        let tokens = [
            self.watch(client.as_fd(), Thing::Connection(number), flags)?,
            self.watch(member.as_fd(), Thing::Connection(number), flags)?,
        ];
        let connection = Connection { port, tokens, ends: [client, member], ways: Default::default() };
        self.connections.insert(number, connection);
        Ok(())
    }

    /// Passes on what there is of a connection.
    fn pump(&mut self, number: u64) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let mut turns = TURNS;
        let result = connection.pump(&mut self.buffer, &mut turns);
        if result.is_err() || connection.ways.iter().all(|way| way.is_shut) {
            let tokens = connection.tokens;
            self.connections.remove(&number);
            tokens.iter().for_each(|token| {
                self.things.remove(token);
            });
        } else if turns == 0 {
            self.unfinished.push(number);
        }
    }

    fn take_datagrams(&mut self, number: u64) {
        for _ in 0..TURNS {
            let Some(port) = self.ports.get(&number) else { return };
            let Source::Udp(socket) = &port.source else { return };
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
        let any: IpAddr =
            if port.target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(port.target)?;
        socket.set_nonblocking(true)?;
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
            if let Some(Port { source: Source::Udp(socket), .. }) = self.ports.get(&client.port) {
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
            Thing::Connection(number) => connections.contains_key(number),
            Thing::Client(number) => clients.contains_key(number),
        });
    }
}

impl Connection {
    /// Passes on until there is nothing left to do, or the turns are used up. An error ends both ways.
    fn pump(&mut self, buffer: &mut [u8], turns: &mut usize) -> io::Result<()> {
        for from in [0, 1] {
            let (way, mut source, mut sink) = (&mut self.ways[from], &self.ends[from], &self.ends[1 - from]);
            while !way.is_shut && *turns > 0 {
                if way.sent < way.bytes.len() {
                    match sink.write(&way.bytes[way.sent..]) {
                        Ok(count) => way.sent += count,
                        Err(error) if is_not_yet(&error) => break,
                        Err(error) => return Err(error),
                    }
                    continue;
                }
                if !way.bytes.is_empty() {
                    way.bytes = Vec::new();
                    way.sent = 0;
                }
                if way.has_ended {
                    sink.shutdown(Shutdown::Write)?;
                    way.is_shut = true;
                    break;
                }
                match source.read(buffer) {
                    Ok(0) => way.has_ended = true,
                    Ok(count) => {
                        *turns -= 1;
                        // Most is taken at once, and needs to be kept by nobody.
                        let sent = match sink.write(&buffer[..count]) {
                            Err(error) if is_not_yet(&error) => 0,
                            other => other?,
                        };
                        if sent < count {
                            way.bytes = buffer[sent..count].to_vec();
                            way.sent = 0;
                        }
                    }
                    Err(error) if is_not_yet(&error) => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

/// Not now, or not before it is connected.
fn is_not_yet(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// A socket that is being connected.
fn begin_connection(target: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if target.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let member = socket(family, SockType::Stream, flags, None)?;
    let connected = match target {
        SocketAddr::V4(target) => connect(member.as_raw_fd(), &SockaddrIn::from(target)),
        SocketAddr::V6(target) => connect(member.as_raw_fd(), &SockaddrIn6::from(target)),
    };
    match connected {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(member),
        Err(errno) => Err(errno),
    }
}
