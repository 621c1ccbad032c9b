//! A command's end: its exit code and every byte it wrote, or a failure of the test when it takes too long.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// What a command left.
pub struct Output {
    /// Its exit code, or minus the signal that killed it.
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    command: String,
}

impl Output {
    /// Standard output without its last newline.
    pub fn text(&self) -> String {
        let text = String::from_utf8(self.stdout.clone()).unwrap_or_else(|_| panic!("not UTF-8: {self:?}"));
        text.strip_suffix('\n').unwrap_or(&text).to_owned()
    }

    /// Standard error.
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Standard output as a JSON document.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Fails the test unless the exit code is `code`.
    #[track_caller]
    pub fn exited(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    /// Fails the test unless the command succeeded.
    #[track_caller]
    pub fn ok(&self) -> &Self {
        self.exited(0)
    }

    /// Fails the test unless this is a refusal that says why: exit code, stable error code, no panic, nothing on standard
    /// output, no control characters but newlines.
    #[track_caller]
    pub fn refused(&self, exit_code: i32, code: &str) -> &Self {
        self.exited(exit_code);
        let errors = self.errors();
        assert!(errors.contains(&format!("[{code}]")), "no {code}: {self:?}");
        assert!(!errors.contains("panicked"), "{self:?}");
        assert!(!errors.chars().any(|c| c.is_control() && c != '\n'), "control characters: {self:?}");
        assert!(self.stdout.is_empty(), "{self:?}");
        self
    }

    /// Fails the test unless standard error has `text`.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.errors().contains(text), "no {text:?}: {self:?}");
        self
    }
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(4000)]).into_owned();
        write!(
            f,
            "\n{}\nexit code {}\n--- stdout ({} bytes)\n{}\n",
            self.command,
            self.code,
            self.stdout.len(),
            show(&self.stdout)
        )?;
        write!(f, "--- stderr\n{}\n---", show(&self.stderr))
    }
}

/// Runs `command` to its end in a process group of its own.
pub fn run(command: &mut Command, input: &[u8], limit: Duration) -> Output {
    let stdin = if input.is_empty() { Stdio::null() } else { Stdio::piped() };
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("starting {command:?}: {error}"));
    collect_of(format!("{command:?}"), &mut child, input, limit)
}

/// Feeds and drains a child with pipes until it has exited and its output is closed. Fails the test, and kills the
/// child's process group, when that takes longer than `limit`, or when somebody keeps the output open.
pub fn collect(child: &mut Child, input: &[u8], limit: Duration) -> Output {
    collect_of(String::new(), child, input, limit)
}

fn collect_of(command: String, child: &mut Child, input: &[u8], limit: Duration) -> Output {
    let deadline = Instant::now() + limit;
    let mut stdin = child.stdin.take().filter(|_| !input.is_empty());
    let mut pipes = (child.stdout.take(), child.stderr.take());
    let mut output = Output { code: 0, stdout: Vec::new(), stderr: Vec::new(), command };
    stdin.iter().for_each(set_nonblocking);
    pipes.0.iter().for_each(set_nonblocking);
    pipes.1.iter().for_each(set_nonblocking);
    let (mut written, mut status, mut exited_at) = (0, None, Instant::now());
    loop {
        wait_for_any(&stdin, &pipes.0, &pipes.1);
        if let Some(pipe) = &mut stdin {
            match pipe.write(&input[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => written = input.len(), // it does not want it
            }
            if written == input.len() {
                stdin = None;
            }
        }
        drain(&mut pipes.0, &mut output.stdout);
        drain(&mut pipes.1, &mut output.stderr);
        if status.is_none() {
            status = child.try_wait().unwrap();
            exited_at = Instant::now();
        }
        if status.is_some() && pipes.0.is_none() && pipes.1.is_none() {
            break;
        }
        let held_open = status.is_some() && exited_at.elapsed() > Duration::from_secs(10);
        if held_open || Instant::now() > deadline {
            let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
            let what = if held_open { "exited, but somebody keeps its output open" } else { "does not end" };
            panic!("{what}: {output:?}");
        }
    }
    let status = status.unwrap();
    output.code = status.code().unwrap_or_else(|| -status.signal().unwrap());
    output
}

/// Reads of this descriptor fail rather than wait.
pub fn set_nonblocking(fd: &impl AsFd) {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).unwrap());
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).unwrap();
}

fn drain<R: Read>(pipe: &mut Option<R>, into: &mut Vec<u8>) {
    let Some(reader) = pipe else { return };
    let mut buffer = [0; 65536];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => {
                *pipe = None;
                return;
            }
            Ok(count) => into.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
    }
}

fn wait_for_any(stdin: &Option<impl AsFd>, stdout: &Option<impl AsFd>, stderr: &Option<impl AsFd>) {
    let mut fds = Vec::new();
    fds.extend(stdin.as_ref().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLOUT)));
    fds.extend(stdout.as_ref().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
    fds.extend(stderr.as_ref().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
    // Short: the child's exit is not among what is waited for.
    let _ = poll(&mut fds, PollTimeout::from(5_u8));
}
