//! Those who are attached to a container.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockFlag, accept4, send};

use super::frame::{FRAME_LIMIT, Frame};
use crate::sys::socket;

/// How far a guest may fall behind: who falls further is let go, since nobody may stop a container by not reading.
const GUEST_LIMIT: usize = 4 << 20;

/// How far the command that started the container may fall behind before no more is taken from the container: as with a
/// terminal of its own, whose user stops the output.
const OWNER_LIMIT: usize = 256 << 10;

/// Whether the container waits for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It does, and ends when the client is gone without leaving.
    Keeper,
    /// It does.
    Owner,
    /// It does not.
    Guest,
}

/// One of them.
struct Client {
    socket: OwnedFd,
    standing: Standing,
    queue: VecDeque<Vec<u8>>,
    /// Bytes in the queue.
    queued: usize,
    /// Whether it has asked for the container's start, and was not answered.
    asks_for_start: bool,
    has_left: bool,
}

/// All of them, and where new ones come from.
#[derive(Default)]
pub struct Clients {
    listener: Option<OwnedFd>,
    connected: Vec<Client>,
}

/// What a client says.
pub enum Said {
    /// Bytes for the container.
    Input(Vec<u8>),
    /// There will be no more.
    EndOfInput,
    /// The size of its window: rows and columns.
    Resize(u16, u16),
    /// A signal for the container.
    Signal(i32),
    /// Nothing: without it the container is not to run any longer.
    Lost,
    /// It is to be started.
    Start,
    /// The client of this index asks for the limit that stands for these credentials.
    Credentials(usize, Vec<u8>),
    /// System calls that come from there are to be answered.
    Listener(OwnedFd),
}

impl Clients {
    /// Those that will come to `listener`, and the command that starts the container.
    pub fn new(listener: Option<OwnedFd>, owner: Option<OwnedFd>) -> Self {
        let owner = owner.map(|socket| Client::new(socket, Standing::Owner));
        Self { listener, connected: owner.into_iter().collect() }
    }

    /// The command without which the process is not to run, unless its user leaves it.
    pub fn keeper(socket: OwnedFd) -> Self {
        Self { listener: None, connected: vec![Client::new(socket, Standing::Keeper)] }
    }

    /// Where new ones come.
    pub fn listener(&self) -> Option<BorrowedFd<'_>> {
        self.listener.as_ref().map(AsFd::as_fd)
    }

    /// Each one's socket, and whether there is something to send to it.
    pub fn sockets(&self) -> impl Iterator<Item = (BorrowedFd<'_>, bool)> {
        self.connected.iter().map(|client| (client.socket.as_fd(), !client.queue.is_empty()))
    }

    /// Whether the owner keeps up.
    pub fn keep_up(&self) -> bool {
        self.connected.iter().all(|client| client.standing == Standing::Guest || client.queued < OWNER_LIMIT)
    }

    /// Lets a new one in.
    pub fn accept(&mut self) {
        let Some(listener) = &self.listener else { return };
        if let Ok(socket) = accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC)
            && let Some(socket) = crate::sys::process::adopt_fd(socket)
        {
            self.connected.push(Client::new(socket, Standing::Guest));
        }
    }

    /// What the client of this index says; nothing if it has said nothing, or has left.
    pub fn receive(&mut self, index: usize) -> Option<Said> {
        let client = self.connected.get_mut(index)?;
        let mut message = vec![0; FRAME_LIMIT];
        match socket::receive_now(client.socket.as_fd(), &mut message) {
            // After a reset: it has left something of ours unread, and what it has said before is still to be heard.
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNRESET) => return None,
            Ok((len, listener)) if len > 0 => match Frame::decode(&message[..len]) {
                Some(Frame::Input(bytes)) => return Some(Said::Input(bytes.to_vec())),
                Some(Frame::EndOfInput) => return Some(Said::EndOfInput),
                Some(Frame::Resize { rows, columns }) => return Some(Said::Resize(rows, columns)),
                Some(Frame::Signal(number)) => return Some(Said::Signal(number)),
                Some(Frame::Credentials(bytes)) => return Some(Said::Credentials(index, bytes.to_vec())),
                Some(Frame::Listener) => return listener.map(Said::Listener),
                Some(Frame::Leave) => {
                    client.leave();
                    return None;
                }
                Some(Frame::Start) => {
                    client.asks_for_start = true;
                    client.standing = Standing::Owner;
                    return Some(Said::Start);
                }
                _ => {}
            },
            _ => {}
        }
        // It is gone, or speaks nonsense.
        client.leave();
        (client.standing == Standing::Keeper).then_some(Said::Lost)
    }

    /// Sends to all; queued for those who are behind.
    pub fn broadcast(&mut self, frame: Frame<'_>) {
        if self.connected.is_empty() {
            return;
        }
        let message = frame.encode();
        for client in &mut self.connected {
            client.queue(&message);
        }
        self.tidy();
    }

    /// Sends to the client of this index.
    pub fn answer(&mut self, index: usize, frame: Frame<'_>) {
        if let Some(client) = self.connected.get_mut(index) {
            client.queue(&frame.encode());
        }
    }

    /// Whether somebody waits for the container's start.
    pub fn ask_for_start(&self) -> bool {
        self.connected.iter().any(|client| client.asks_for_start)
    }

    /// Tells those who wait for its start that it runs.
    pub fn tell_start(&mut self) {
        for client in self.connected.iter_mut().filter(|client| client.asks_for_start) {
            client.asks_for_start = false;
            client.queue(&Frame::Started.encode());
        }
    }

    /// Sends on what is queued for the client of this index.
    pub fn flush(&mut self, index: usize) {
        if let Some(client) = self.connected.get_mut(index) {
            client.flush();
        }
    }

    /// Forgets those who have left. Indices change.
    pub fn tidy(&mut self) {
        self.connected.retain(|client| !client.has_left);
    }

    /// Whether something is still to be sent.
    pub fn have_queued(&self) -> bool {
        self.connected.iter().any(|client| !client.queue.is_empty())
    }
}

impl Client {
    fn new(socket: OwnedFd, standing: Standing) -> Self {
        Self { socket, standing, queue: VecDeque::new(), queued: 0, asks_for_start: false, has_left: false }
    }

    fn queue(&mut self, message: &[u8]) {
        self.queued += message.len();
        self.queue.push_back(message.to_vec());
        self.flush();
        if self.standing == Standing::Guest && self.queued > GUEST_LIMIT {
            self.leave();
        }
    }

    fn flush(&mut self) {
        while let Some(message) = self.queue.front() {
            match send(self.socket.as_raw_fd(), message, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
                Ok(_) => {
                    self.queued -= message.len();
                    self.queue.pop_front();
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN | Errno::ENOBUFS) => return,
                // It is gone; what it has said before is still to be heard.
                Err(_) => return self.forget_queue(),
            }
        }
    }

    fn forget_queue(&mut self) {
        self.queue.clear();
        self.queued = 0;
    }

    fn leave(&mut self) {
        self.forget_queue();
        self.has_left = true;
    }
}
