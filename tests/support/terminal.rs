//! A person at a terminal: a pseudo-terminal whose other end is the controlling terminal of a command.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{Termios, tcgetattr};
use nix::unistd::Pid;

use super::{LIMIT, Lab, output};

/// A terminal with a command in it. The command is killed when this is dropped.
pub struct Terminal {
    master: File,
    slave: File,
    path: String,
    child: Child,
    transcript: String,
    /// Where [`Terminal::expect`] goes on looking.
    position: usize,
    before: Termios,
}

impl Terminal {
    /// Starts coracle as the session leader of a new terminal of 24 by 80.
    pub fn start<S: AsRef<std::ffi::OsStr>>(lab: &Lab, arguments: impl IntoIterator<Item = S>) -> Self {
        let mut command = lab.program("/usr/bin/setsid");
        command.env("TERM", "xterm").arg("--ctty").arg(super::coracle_path()).args(arguments);
        Self::start_command(&mut command)
    }

    /// Starts any command in a new terminal; it should begin with `setsid --ctty`, which makes it the controlling one.
    pub fn start_command(command: &mut Command) -> Self {
        // Close-on-exec from the first moment: tests fork in parallel.
        let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname_r(&master).unwrap();
        let slave = OpenOptions::new().read(true).write(true).custom_flags(OFlag::O_NOCTTY.bits()).open(&path).unwrap();
        set_size(&path, 24, 80);
        let before = tcgetattr(&slave).unwrap();
        let end = || slave.try_clone().unwrap();
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let master = File::from(std::os::fd::OwnedFd::from(master));
        Self { master, slave, path, child, transcript: String::new(), position: 0, before }
    }

    /// Process id of the command.
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Sends a signal to the command.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// Types `text`.
    pub fn send(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until `text` appears after what was already waited for.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(found) = self.transcript[self.position..].find(text) {
                self.position += found + text.len();
                return;
            }
            let ended = self.child.try_wait().unwrap().is_some();
            let more = self.read();
            if !more && (ended || Instant::now() > deadline) {
                panic!("expected {text:?}; the terminal shows:\n{}", self.transcript);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Changes the window's size.
    pub fn resize(&self, rows: u16, columns: u16) {
        set_size(&self.path, rows, columns);
    }

    /// Waits for the command's end and returns its exit code, or minus the signal that killed it.
    #[track_caller]
    pub fn wait(&mut self) -> i32 {
        let deadline = Instant::now() + LIMIT;
        loop {
            while self.read() {}
            if let Some(status) = self.child.try_wait().unwrap() {
                while self.read() {}
                return status.code().unwrap_or_else(|| -status.signal().unwrap());
            }
            assert!(Instant::now() < deadline, "does not end; the terminal shows:\n{}", self.transcript);
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Everything shown so far.
    pub fn transcript(&self) -> &str {
        &self.transcript
    }

    /// Takes the terminal away, as the end of a connection does; what has been started in it stays.
    pub fn hang_up(&mut self) {
        self.master = File::open("/dev/null").unwrap();
        self.slave = File::open("/dev/null").unwrap();
    }

    /// Whether the terminal has the settings it had before the command started.
    pub fn is_restored(&self) -> bool {
        let now = tcgetattr(&self.slave).unwrap();
        let flags = |t: &Termios| (t.input_flags, t.output_flags, t.control_flags, t.local_flags, t.control_chars);
        flags(&now) == flags(&self.before)
    }

    fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match self.master.read(&mut buffer) {
            Ok(count) => {
                self.transcript.push_str(&String::from_utf8_lossy(&buffer[..count]));
                count > 0
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) if error.raw_os_error() == Some(nix::libc::EIO) => false,
            Err(error) => panic!("{error}"),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `stty` sets the size, and the kernel tells the foreground process group.
fn set_size(path: &str, rows: u16, columns: u16) {
    let mut command = Command::new("/bin/stty");
    command.args(["-F", path, "rows", &rows.to_string(), "cols", &columns.to_string()]);
    assert_eq!(output::run(&mut command, &[], LIMIT).code, 0, "stty {path}");
}
