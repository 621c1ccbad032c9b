//! Asking others: the name servers of the host, from the host's own network.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, Query};

use crate::sys::random;

/// How long a name server may take before another one is asked.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often each is asked.
const ROUNDS: usize = 2;

/// The name servers in `/etc/resolv.conf` (resolv.conf(5)): it may change at any time.
pub fn of_host() -> Vec<IpAddr> {
    parse(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default())
}

fn parse(resolv_conf: &str) -> Vec<IpAddr> {
    let server = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        // An address of this link names its link, which is the host's.
        words.next().filter(|word| *word == "nameserver").and_then(|_| words.next()?.split('%').next()?.parse().ok())
    };
    resolv_conf.lines().filter_map(server).collect()
}

/// A question on its way.
#[derive(Debug)]
pub struct Asked {
    servers: Vec<IpAddr>,
    attempt: usize,
    socket: UdpSocket,
    /// What was asked, under an identifier of our own.
    question: Vec<u8>,
    id: u16,
    query: Query,
    deadline: Instant,
}

impl Asked {
    /// Asks the first of `servers` that can be asked. `question` is what the client said.
    pub fn new(servers: Vec<IpAddr>, question: &[u8], query: Query) -> io::Result<Self> {
        let id = random_id()?;
        let mut question = question.to_vec();
        question.get_mut(..2).ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(&id.to_be_bytes());
        let (socket, attempt) = ask(&servers, 0, &question)?;
        Ok(Self { servers, attempt, socket, question, id, query, deadline: Instant::now() + PATIENCE })
    }

    /// When the next one is to be asked.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Asks the next one; an error when all have been asked.
    pub fn ask_next(&mut self) -> io::Result<()> {
        (self.socket, self.attempt) = ask(&self.servers, self.attempt + 1, &self.question)?;
        self.deadline = Instant::now() + PATIENCE;
        Ok(())
    }

    /// What has come: an answer to what was asked, from who was asked, or nothing that counts. An error if it cannot come.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<(usize, Message)>> {
        // The socket is connected: the kernel lets nothing through from anybody else.
        let length = self.socket.recv(buffer)?;
        let answer = buffer.get(..length).and_then(|bytes| Message::from_vec(bytes).ok());
        Ok(answer.filter(|answer| is_answer(answer, self.id, &self.query)).map(|answer| (length, answer)))
    }
}

impl AsFd for Asked {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn is_answer(answer: &Message, id: u16, query: &Query) -> bool {
    let is_response = answer.metadata.message_type == hickory_proto::op::MessageType::Response;
    is_response && answer.metadata.id == id && answer.queries.as_slice() == std::slice::from_ref(query)
}

/// Sends the question, at the attempt of this number or a later one: the socket, and the number.
fn ask(servers: &[IpAddr], from: usize, question: &[u8]) -> io::Result<(UdpSocket, usize)> {
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    for attempt in from..servers.len() * ROUNDS {
        match send(servers[attempt % servers.len()], question) {
            Ok(socket) => return Ok((socket, attempt)),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Each question has a port of its own, which is hard to guess (RFC 5452).
fn send(server: IpAddr, question: &[u8]) -> io::Result<UdpSocket> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((server, 53))?;
    socket.set_nonblocking(true)?;
    socket.send(question)?;
    Ok(socket)
}

fn random_id() -> io::Result<u16> {
    let bytes: [u8; 32] = random::bytes()?;
    Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// Asks over TCP, and waits for the answer.
pub fn over_tcp(servers: &[IpAddr], question: &[u8], query: &Query) -> io::Result<Vec<u8>> {
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    for server in servers {
        match over_tcp_from(*server, question, query) {
            Ok(answer) => return Ok(answer),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn over_tcp_from(server: IpAddr, question: &[u8], query: &Query) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(server, 53), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let id = random_id()?;
    let mut ours = question.to_vec();
    ours.get_mut(..2).ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(&id.to_be_bytes());
    write_message(&mut stream, &ours)?;
    let answer = read_message(&mut stream)?;
    let parsed = Message::from_vec(&answer).map_err(|_| io::ErrorKind::InvalidData)?;
    if is_answer(&parsed, id, query) { Ok(answer) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// A message over TCP has its length before it (RFC 1035, 4.2.2).
pub fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    stream.write_all(&[&length.to_be_bytes()[..], message].concat())
}

/// The next message.
pub fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut message)?;
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_of_the_host() {
        let text =
            "# x\nsearch example\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\nnameserver x\n nameserver 2001:db8::1";
        let servers: Vec<String> = parse(text).iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.1", "fe80::1", "2001:db8::1"]);
    }
}
