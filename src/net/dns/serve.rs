//! The resolver at work: UDP in one poll loop, TCP in a thread for each connection.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, ResponseCode};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::forward::{self, Asked};
use super::zone::{Member, Verdict, Zone, refused};
use crate::name::container::ContainerId;

/// What the resolver listens on; all in the network that it serves.
#[derive(Debug, Default)]
pub struct Sockets {
    /// For questions in one datagram.
    pub udp: Vec<UdpSocket>,
    /// For connections.
    pub tcp: Vec<TcpListener>,
}

/// Questions that are on their way elsewhere at the same time; one more is refused.
const MOST_ASKED: usize = 512;

/// Connections at the same time; one more is closed.
const MOST_CONNECTIONS: usize = 64;

/// How long a connection may say nothing.
const IDLE: Duration = Duration::from_secs(10);

/// As long as a datagram of UDP can be.
const DATAGRAM: usize = 64 << 10;

/// Gives the members of the other networks in which a container is.
pub type Elsewhere = dyn Fn(&ContainerId) -> Vec<Member> + Send + Sync;

/// A resolver.
pub struct Resolver {
    /// What it knows.
    pub zone: Arc<RwLock<Zone>>,
    /// What it can find out.
    pub elsewhere: Box<Elsewhere>,
}

/// A question of a client that somebody else is asked.
struct Pending {
    asked: Asked,
    /// Index of the socket that it came from.
    socket: usize,
    client: SocketAddr,
    question: Message,
}

impl Resolver {
    /// Answers for ever. Questions that go elsewhere are asked from the network namespace of this thread.
    pub fn serve(self: Arc<Self>, sockets: &Sockets) {
        let mut pending: Vec<Pending> = Vec::new();
        let mut buffer = vec![0; DATAGRAM];
        let connections = Arc::new(AtomicUsize::new(0));
        loop {
            let ready = wait(sockets, &pending);
            for (index, listener) in sockets.tcp.iter().enumerate() {
                if ready.get(sockets.udp.len() + index) == Some(&true) {
                    self.accept(listener, &connections);
                }
            }
            for (index, socket) in sockets.udp.iter().enumerate() {
                if ready.get(index) == Some(&true) {
                    self.take(index, socket, &mut buffer, &mut pending);
                }
            }
            let first = sockets.udp.len() + sockets.tcp.len();
            let mut number = 0;
            pending.retain_mut(|question| {
                let is_ready = ready.get(first + number) == Some(&true);
                number += 1;
                self.proceed(question, is_ready, sockets, &mut buffer)
            });
        }
    }

    fn judge(&self, question: &Message, from: IpAddr) -> Verdict {
        match self.zone.read() {
            Ok(zone) => zone.judge(question, from, |id| (self.elsewhere)(id)),
            Err(_) => Verdict::Answer(Box::new(refused(question, ResponseCode::ServFail))),
        }
    }

    /// Takes questions from a socket until there is none.
    fn take(&self, index: usize, socket: &UdpSocket, buffer: &mut [u8], pending: &mut Vec<Pending>) {
        while let Ok((length, client)) = socket.recv_from(buffer) {
            let bytes = &buffer[..length];
            let Ok(question) = Message::from_vec(bytes) else {
                if let Some(answer) = malformed(bytes) {
                    let _ = socket.send_to(&answer, client);
                }
                continue;
            };
            let answer = match self.judge(&question, client.ip()) {
                Verdict::Ignore => continue,
                Verdict::Answer(answer) => *answer,
                Verdict::Forward(servers) => {
                    let servers = if servers.is_empty() { forward::of_host() } else { servers };
                    let query = question.queries.first().cloned();
                    let asked = query.filter(|_| pending.len() < MOST_ASKED);
                    match asked.map(|query| Asked::new(servers, bytes, query)) {
                        Some(Ok(asked)) => {
                            pending.push(Pending { asked, socket: index, client, question });
                            continue;
                        }
                        _ => refused(&question, ResponseCode::ServFail),
                    }
                }
            };
            send(socket, &answer, client);
        }
    }

    /// Looks after a question that is on its way; whether it still is.
    fn proceed(&self, pending: &mut Pending, is_ready: bool, sockets: &Sockets, buffer: &mut [u8]) -> bool {
        let Some(socket) = sockets.udp.get(pending.socket) else { return false };
        if is_ready {
            match pending.asked.receive(buffer) {
                Ok(Some((length, answer))) if self.zone.read().is_ok_and(|zone| !zone.is_rebinding(&answer)) => {
                    buffer[..2].copy_from_slice(&pending.question.metadata.id.to_be_bytes());
                    let _ = socket.send_to(&buffer[..length], pending.client);
                    return false;
                }
                Ok(Some(_)) => {
                    send(socket, &refused(&pending.question, ResponseCode::Refused), pending.client);
                    return false;
                }
                Ok(None) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                // Nobody is there (ICMP), so there is nothing to wait for.
                Err(_) => return self.ask_next(pending, socket),
            }
        }
        if Instant::now() < pending.asked.deadline() { true } else { self.ask_next(pending, socket) }
    }

    fn ask_next(&self, pending: &mut Pending, socket: &UdpSocket) -> bool {
        if pending.asked.ask_next().is_ok() {
            return true;
        }
        send(socket, &refused(&pending.question, ResponseCode::ServFail), pending.client);
        false
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener, connections: &Arc<AtomicUsize>) {
        while let Ok((stream, client)) = listener.accept() {
            if connections.fetch_add(1, Ordering::Relaxed) >= MOST_CONNECTIONS {
                connections.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let (resolver, connections) = (Arc::clone(self), Arc::clone(connections));
            let serve = move || {
                resolver.converse(stream, client.ip());
                connections.fetch_sub(1, Ordering::Relaxed);
            };
            // Without a thread the connection is closed, and the client asks again.
            let _ = std::thread::Builder::new().stack_size(128 << 10).spawn(serve);
        }
    }

    fn converse(&self, mut stream: TcpStream, client: IpAddr) {
        let is_set = stream.set_nonblocking(false).and_then(|()| stream.set_read_timeout(Some(IDLE)));
        if is_set.and_then(|()| stream.set_write_timeout(Some(IDLE))).is_err() {
            return;
        }
        while let Ok(bytes) = forward::read_message(&mut stream) {
            let Some(answer) = self.answer_over_tcp(&bytes, client) else { return };
            if forward::write_message(&mut stream, &answer).is_err() {
                return;
            }
        }
    }

    fn answer_over_tcp(&self, bytes: &[u8], client: IpAddr) -> Option<Vec<u8>> {
        let Ok(question) = Message::from_vec(bytes) else { return malformed(bytes) };
        let failed = |code| refused(&question, code).to_vec().ok();
        match self.judge(&question, client) {
            Verdict::Ignore => None,
            Verdict::Answer(answer) => answer.to_vec().ok(),
            Verdict::Forward(servers) => {
                let servers = if servers.is_empty() { forward::of_host() } else { servers };
                let Ok(mut answer) = forward::over_tcp(&servers, bytes, question.queries.first()?) else {
                    return failed(ResponseCode::ServFail);
                };
                let parsed = Message::from_vec(&answer).ok()?;
                if self.zone.read().is_ok_and(|zone| zone.is_rebinding(&parsed)) {
                    return failed(ResponseCode::Refused);
                }
                answer.get_mut(..2)?.copy_from_slice(&question.metadata.id.to_be_bytes());
                Some(answer)
            }
        }
    }
}

/// What is said to something that is no message, but may have been meant as one.
fn malformed(bytes: &[u8]) -> Option<Vec<u8>> {
    let header = bytes.first_chunk::<12>()?;
    // An answer is not answered.
    let is_question = header[2] & 0x80 == 0;
    let id = u16::from_be_bytes([header[0], header[1]]);
    let answer = Message::error_msg(id, hickory_proto::op::OpCode::Query, ResponseCode::FormErr);
    answer.to_vec().ok().filter(|_| is_question)
}

/// Sends an answer, cut where it is longer than the client takes: then it asks again over TCP.
fn send(socket: &UdpSocket, answer: &Message, client: SocketAddr) {
    let Ok(mut bytes) = answer.to_vec() else { return };
    if bytes.len() > usize::from(answer.max_payload()) {
        let Ok(cut) = answer.truncate().to_vec() else { return };
        bytes = cut;
    }
    let _ = socket.send_to(&bytes, client);
}

/// Waits until something happens: which of all sockets are ready, those of clients first.
fn wait(sockets: &Sockets, pending: &[Pending]) -> Vec<bool> {
    let clients = sockets.udp.iter().map(AsFd::as_fd).chain(sockets.tcp.iter().map(AsFd::as_fd));
    let all: Vec<BorrowedFd<'_>> = clients.chain(pending.iter().map(|pending| pending.asked.as_fd())).collect();
    let mut fds: Vec<PollFd<'_>> = all.iter().map(|&fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    let next = pending.iter().map(|pending| pending.asked.deadline()).min();
    let left = next.map(|next| next.saturating_duration_since(Instant::now()));
    // Rounded up, or the deadline would be waited for again and again.
    let limit = left.map_or(PollTimeout::NONE, |left| {
        PollTimeout::try_from(left.as_millis() as i32 + 1).unwrap_or(PollTimeout::MAX)
    });
    match poll(&mut fds, limit) {
        Ok(_) => fds.iter().map(|fd| fd.any().unwrap_or(false)).collect(),
        Err(Errno::EINTR) => Vec::new(),
        Err(_) => {
            // Memory is short: nothing is lost by a pause.
            std::thread::sleep(Duration::from_millis(10));
            Vec::new()
        }
    }
}
