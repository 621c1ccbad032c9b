//! The `docker-credential-*` protocol: the server's name on standard input, JSON on standard output.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Deserialize;

use super::credential::Credential;
use crate::failure::Explain;

/// How long a helper may take: some ask the user for a pass phrase.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// More than any answer needs.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Why a helper gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum HelperFailure {
    /// Its name could be a path.
    #[error("the credential helper's name {0:?} is not a word")]
    Name(String),
    /// Not installed, or not executable.
    #[error("starting the credential helper {program}")]
    Start {
        /// Its file name.
        program: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// It could not be talked to.
    #[error("talking to the credential helper {program}")]
    Talk {
        /// Its file name.
        program: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// It said that it failed.
    #[error("the credential helper {program} failed for {server}: {answer}")]
    Failed {
        /// Its file name.
        program: String,
        /// What it was asked about.
        server: String,
        /// What it said.
        answer: String,
    },
    /// It said something else than it should.
    #[error("the credential helper {program} gave an answer that is not understood for {server}")]
    Answer {
        /// Its file name.
        program: String,
        /// What it was asked about.
        server: String,
    },
    /// It said nothing in time.
    #[error("the credential helper {program} gave no answer within {} seconds", patience.as_secs())]
    Silent {
        /// Its file name.
        program: String,
        /// How long it was given.
        patience: Duration,
    },
}

impl Explain for HelperFailure {
    fn code(&self) -> &'static str {
        "E_AUTH_HELPER"
    }

    fn hint(&self) -> Option<String> {
        Some("repair the helper, or remove its `credsStore` or `credHelpers` entry from the authentication file".into())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Login {
    username: String,
    secret: String,
}

/// What `docker-credential-NAME` knows for `server`; `None` if it knows nothing.
pub fn ask(name: &str, server: &str, patience: Duration) -> Result<Option<Credential>, HelperFailure> {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if name.is_empty() || !name.bytes().all(is_word) {
        return Err(HelperFailure::Name(name.chars().take(100).collect()));
    }
    let program = format!("docker-credential-{name}");
    let start = |cause| HelperFailure::Start { program: program.clone(), cause };
    let mut child = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(start)?;
    let talked = converse(&mut child, server, patience);
    if !matches!(talked, Ok(Some(_))) {
        // Already gone, or about to be; either way nothing more is expected of it.
        let _ = child.kill();
        let _ = child.wait();
    }
    let talk = |cause| HelperFailure::Talk { program: program.clone(), cause };
    match talked.map_err(talk)? {
        None => Err(HelperFailure::Silent { program, patience }),
        Some((succeeded, answer)) => understand(program, server, succeeded, &answer),
    }
}

/// Whether the helper succeeded and what it said, or `None` if it took too long.
fn converse(child: &mut Child, server: &str, patience: Duration) -> io::Result<Option<(bool, Vec<u8>)>> {
    let deadline = Instant::now() + patience;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read its input may still answer.
        let _ = stdin.write_all(server.as_bytes());
    }
    let mut answer = Vec::new();
    let Some(mut stdout) = child.stdout.take() else { return Ok(None) };
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut waiting = [PollFd::new(stdout.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waiting, timeout) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(nix::errno::Errno::EINTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        let mut piece = [0; 4096];
        match stdout.read(&mut piece)? {
            0 => break,
            length if answer.len() + length > LONGEST_ANSWER => return Err(io::ErrorKind::FileTooLarge.into()),
            length => answer.extend_from_slice(&piece[..length]),
        }
    }
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(Some((status.success(), answer)));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(None)
}

fn understand(
    program: String,
    server: &str,
    succeeded: bool,
    answer: &[u8],
) -> Result<Option<Credential>, HelperFailure> {
    let text = String::from_utf8_lossy(answer);
    let text = text.trim();
    if !succeeded {
        // The protocol has no code for "not there", only these words (docker-credential-helpers, credentials/error.go).
        if text.contains("credentials not found") || text.contains("no credentials server URL") {
            return Ok(None);
        }
        let answer = text.chars().take(300).collect();
        return Err(HelperFailure::Failed { program, server: server.into(), answer });
    }
    match serde_json::from_str::<Login>(text) {
        Ok(login) if login.secret.is_empty() => Ok(None),
        Ok(login) => Ok(Some(Credential::from_login(login.username, login.secret))),
        Err(_) => Err(HelperFailure::Answer { program, server: server.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_be_a_path_is_refused() {
        for name in ["", "../x", "a/b", "a b", "x\0"] {
            assert!(matches!(ask(name, "r.io", PATIENCE), Err(HelperFailure::Name(_))), "{name:?}");
        }
    }

    #[test]
    fn a_missing_helper_is_named() {
        let failure = ask("surely-not-installed", "r.io", PATIENCE).unwrap_err();
        assert_eq!(failure.code(), "E_AUTH_HELPER");
        assert!(failure.to_string().contains("docker-credential-surely-not-installed"));
    }

    #[test]
    fn answers_are_understood() {
        let outcome = |succeeded, answer: &str| understand("helper".into(), "r.io", succeeded, answer.as_bytes());
        let login = r#"{"ServerURL":"r.io","Username":"user","Secret":"hunter2"}"#;
        assert_eq!(outcome(true, login).unwrap(), Some(Credential::password("user", "hunter2")));
        let token = r#"{"Username":"<token>","Secret":"hunter2"}"#;
        assert!(matches!(outcome(true, token).unwrap(), Some(Credential::IdentityToken(_))));
        assert_eq!(outcome(false, "credentials not found in native keychain\n").unwrap(), None);
        assert!(matches!(outcome(false, "no dbus"), Err(HelperFailure::Failed { .. })));
        let junk = outcome(true, "hunter2").unwrap_err();
        assert!(!junk.to_string().contains("hunter2"), "an answer may be a secret");
    }
}
