//! The `docker-credential-*` protocol: one of the words get, store, erase and list as the argument, the server's name or
//! JSON on standard input, JSON on standard output.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::credential::{Credential, Secret};
use crate::failure::Explain;

/// How long a helper may take: some ask the user for a pass phrase.
const PATIENCE: Duration = Duration::from_secs(60);
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

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Login {
    #[serde(default, rename = "ServerURL")]
    server: String,
    username: String,
    secret: String,
}

/// A program `docker-credential-NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Helper {
    program: String,
    patience: Duration,
}

impl Helper {
    /// The helper of this name, which must not be a path.
    pub fn named(name: &str) -> Result<Self, HelperFailure> {
        let is_word = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if name.is_empty() || !name.bytes().all(is_word) {
            return Err(HelperFailure::Name(name.chars().take(100).collect()));
        }
        Ok(Self { program: format!("docker-credential-{name}"), patience: PATIENCE })
    }

    /// File name of the program.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// What it knows for `server`; `None` if it knows nothing.
    pub fn get(&self, server: &str) -> Result<Option<Credential>, HelperFailure> {
        let Some(answer) = self.ask("get", server, server.as_bytes())? else { return Ok(None) };
        match serde_json::from_str::<Login>(&answer) {
            Ok(login) if login.secret.is_empty() => Ok(None),
            Ok(login) => Ok(Some(Credential::from_login(login.username, login.secret))),
            Err(_) => Err(self.not_understood(server)),
        }
    }

    /// Has it keep a name and password for `server`, in place of what it has.
    pub fn store(&self, server: &str, user: &str, password: &Secret) -> Result<(), HelperFailure> {
        let login = Login { server: server.into(), username: user.into(), secret: password.reveal().into() };
        let login = serde_json::to_vec(&login).map_err(|_| self.not_understood(server))?;
        self.ask("store", server, &login).map(drop)
    }

    /// Has it forget what it knows for `server`.
    pub fn erase(&self, server: &str) -> Result<(), HelperFailure> {
        self.ask("erase", server, server.as_bytes()).map(drop)
    }

    /// The servers for which it knows something.
    pub fn list(&self) -> Result<Vec<String>, HelperFailure> {
        let what = "its list";
        let answer = self.ask("list", what, b"")?.unwrap_or_else(|| "{}".into());
        let logins: serde_json::Map<String, Value> =
            serde_json::from_str(&answer).map_err(|_| self.not_understood(what))?;
        Ok(logins.into_iter().map(|(server, _)| server).collect())
    }

    fn not_understood(&self, server: &str) -> HelperFailure {
        HelperFailure::Answer { program: self.program.clone(), server: server.into() }
    }

    /// Its answer to `input`; `None` if it knows nothing of it.
    fn ask(&self, action: &str, server: &str, input: &[u8]) -> Result<Option<String>, HelperFailure> {
        let program = self.program.clone();
        let mut child = Command::new(&program)
            .arg(action)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|cause| HelperFailure::Start { program: program.clone(), cause })?;
        let talked = converse(&mut child, input, self.patience);
        if !matches!(talked, Ok(Some(_))) {
            // Already gone, or about to be; either way nothing more is expected of it.
            let _ = child.kill();
            let _ = child.wait();
        }
        match talked {
            Err(cause) => Err(HelperFailure::Talk { program, cause }),
            Ok(None) => Err(HelperFailure::Silent { program, patience: self.patience }),
            Ok(Some((succeeded, answer))) => self.understand(server, succeeded, &answer),
        }
    }

    fn understand(&self, server: &str, succeeded: bool, answer: &[u8]) -> Result<Option<String>, HelperFailure> {
        let text = String::from_utf8_lossy(answer);
        let text = text.trim();
        // The protocol has no code for "not there", only these words (docker-credential-helpers, credentials/error.go).
        let knows_nothing = text.contains("credentials not found") || text.contains("no credentials server URL");
        match succeeded {
            true => Ok(Some(text.into())),
            false if knows_nothing => Ok(None),
            false => {
                let answer = text.chars().take(300).collect();
                Err(HelperFailure::Failed { program: self.program.clone(), server: server.into(), answer })
            }
        }
    }
}

/// Whether the helper succeeded and what it said, or `None` if it took too long.
fn converse(child: &mut Child, input: &[u8], patience: Duration) -> io::Result<Option<(bool, Vec<u8>)>> {
    let deadline = Instant::now() + patience;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read its input may still answer.
        let _ = stdin.write_all(input);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_be_a_path_is_refused() {
        for name in ["", "../x", "a/b", "a b", "x\0"] {
            assert!(matches!(Helper::named(name), Err(HelperFailure::Name(_))), "{name:?}");
        }
    }

    #[test]
    fn a_missing_helper_is_named() {
        let failure = Helper::named("surely-not-installed").unwrap().get("r.io").unwrap_err();
        assert_eq!(failure.code(), "E_AUTH_HELPER");
        assert!(failure.to_string().contains("docker-credential-surely-not-installed"));
    }

    /// A helper that runs this shell script, with the action as `$1`.
    fn helper(directory: &tempfile::TempDir, script: &str) -> Helper {
        let path = directory.path().join("docker-credential-test");
        // By another process: a test that forks at this moment would have our descriptor too, and what is open for writing
        // cannot be executed.
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" >"$0" && chmod 755 "$0""#;
        let written = std::process::Command::new("sh").args(["-c", write]).arg(&path).arg(script).status().unwrap();
        assert!(written.success());
        Helper { program: path.to_str().unwrap().into(), patience: Duration::from_secs(20) }
    }

    #[test]
    fn answers_are_understood() {
        let directory = tempfile::tempdir().unwrap();
        let get = |script: &str| helper(&directory, script).get("r.io");
        let login =
            r#"read server; echo "{\"ServerURL\":\"$server\",\"Username\":\"$1 $server\",\"Secret\":\"hunter2\"}""#;
        assert_eq!(get(login).unwrap(), Some(Credential::password("get r.io", "hunter2")));
        let token = r#"echo '{"Username":"<token>","Secret":"hunter2"}'"#;
        assert!(matches!(get(token).unwrap(), Some(Credential::IdentityToken(_))));
        assert_eq!(get("echo 'credentials not found in native keychain'; exit 1").unwrap(), None);
        assert_eq!(get(r#"echo '{"Username":"u","Secret":""}'"#).unwrap(), None);
        assert!(matches!(get("echo no dbus; exit 1"), Err(HelperFailure::Failed { .. })));
        let junk = get("echo hunter2").unwrap_err();
        assert!(!junk.to_string().contains("hunter2"), "an answer may be a secret");
        assert!(matches!(get("yes"), Err(HelperFailure::Talk { .. })), "an answer without end");
    }

    #[test]
    fn what_is_stored_listed_and_erased() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let script = format!(
            r#"echo "$1 $(cat)" >> {}; case $1 in list) echo '{{"r.io":"user","q.io":"other"}}' ;; esac"#,
            log.display()
        );
        let helper = helper(&directory, &script);
        helper.store("r.io", "user", &Secret::new("hunter2")).unwrap();
        helper.erase("r.io").unwrap();
        assert_eq!(helper.list().unwrap(), ["r.io", "q.io"]);
        let told = std::fs::read_to_string(log).unwrap();
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(
            lines,
            [r#"store {"ServerURL":"r.io","Username":"user","Secret":"hunter2"}"#, "erase r.io", "list "]
        );
    }
}
