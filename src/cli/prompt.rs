//! Questions to whoever sits at the terminal, on standard error; the answers are read from standard input.

use std::io::{IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

use crate::failure::{Failure, escape_control};
use crate::image::short_name::Chosen;
use crate::name::reference::Reference;
use crate::sys::process::standard_fd;
use crate::sys::signal::SignalQueue;

/// The longest answer that is read, in bytes.
const LONGEST: usize = 64 * 1024;
/// What ends or stops a process that asks for a password, and would leave the terminal without echo.
const FATAL: [Signal; 5] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGTSTP];

/// Whether there is somebody to ask.
pub fn is_possible() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks for a line, which is shown as it is typed. Without its end; `None` at the end of the input.
pub fn line(question: &str) -> Result<Option<String>, Failure> {
    ask(question);
    text(read_line(&mut |_| Ok(()))?)
}

/// Asks for a line that is not shown.
pub fn hidden_line(question: &str) -> Result<Option<String>, Failure> {
    let failed = |errno: Errno| Failure::new("E_IO", format!("asking for a password: {errno}"));
    let terminal = standard_fd(0);
    let signals = SignalQueue::new(|number| FATAL.iter().any(|signal| *signal as i32 == number)).map_err(failed)?;
    let mut silence = Some(Silence::begin(terminal).map_err(failed)?);
    ask(question);
    let answer = read_line(&mut |stdin| {
        loop {
            let mut waiting = [PollFd::new(stdin, PollFlags::POLLIN), PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
            match poll(&mut waiting, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                outcome => outcome?,
            };
            let Some(number) = signals.next() else { return Ok(()) };
            // The terminal is the shell's again while this is stopped, and after it has ended.
            silence = None;
            SigSet::all().thread_unblock()?;
            raise(Signal::try_from(number)?)?;
            SigSet::from_iter(FATAL).thread_block()?;
            silence = Some(Silence::begin(terminal)?);
        }
    });
    drop(silence);
    let unblocked = SigSet::from_iter(FATAL).thread_unblock();
    ask("\n");
    unblocked.map_err(failed)?;
    text(answer?)
}

/// Asks which of the `candidates` the short name stands for.
pub fn choose(short: &str, candidates: &[Reference]) -> Chosen {
    // podman does not ask either where its output goes elsewhere.
    if !is_possible() || !std::io::stdout().is_terminal() {
        return Chosen::CannotAsk;
    }
    let mut question = format!("{} may be\n", escape_control(short));
    for (position, candidate) in candidates.iter().enumerate() {
        question.push_str(&format!("  {}  {candidate}\n", position + 1));
    }
    question.push_str(&format!("Which one (1 to {})? ", candidates.len()));
    let answer = line(&question).ok().flatten();
    let number = answer.and_then(|text| text.trim().parse::<usize>().ok());
    match number.filter(|number| (1..=candidates.len()).contains(number)) {
        Some(number) => Chosen::One(number - 1),
        None => Chosen::Nothing,
    }
}

/// What is left to read on standard input, which must be text; for secrets that are piped in.
pub fn all_of_stdin() -> Result<String, Failure> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(LONGEST as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|cause| Failure::new("E_IO", format!("reading standard input: {cause}")))?;
    text(Some(bytes)).map(Option::unwrap_or_default)
}

fn ask(question: &str) {
    // A question that nobody sees is not answered, which is noticed.
    let _ = std::io::stderr().lock().write_all(question.as_bytes());
}

fn text(bytes: Option<Vec<u8>>) -> Result<Option<String>, Failure> {
    let refused = |what| Failure::new("E_CONFIG", format!("what was read from standard input {what}"));
    match bytes {
        Some(bytes) if bytes.len() > LONGEST => Err(refused("is too long")),
        Some(bytes) => String::from_utf8(bytes).map(Some).map_err(|_| refused("is not UTF-8")),
        None => Ok(None),
    }
}

/// One line of standard input, not a byte more; `wait` is called before each read.
fn read_line(wait: &mut dyn FnMut(BorrowedFd<'_>) -> Result<(), Errno>) -> Result<Option<Vec<u8>>, Failure> {
    let stdin = standard_fd(0);
    let failed = |errno: Errno| Failure::new("E_IO", format!("reading standard input: {errno}"));
    let mut answer = Vec::new();
    let mut byte = [0];
    while answer.len() <= LONGEST {
        wait(stdin).map_err(failed)?;
        match nix::unistd::read(stdin, &mut byte) {
            Ok(0) if answer.is_empty() => return Ok(None),
            Ok(0) => break,
            Ok(_) if byte == *b"\n" => break,
            Ok(_) => answer.extend_from_slice(&byte),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
    if answer.last() == Some(&b'\r') {
        answer.pop();
    }
    Ok(Some(answer))
}

/// A terminal that does not show what is typed, until dropped.
struct Silence<'t> {
    terminal: BorrowedFd<'t>,
    before: Termios,
}

impl<'t> Silence<'t> {
    fn begin(terminal: BorrowedFd<'t>) -> Result<Self, Errno> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(terminal, SetArg::TCSADRAIN, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = tcsetattr(self.terminal, SetArg::TCSADRAIN, &self.before);
    }
}
