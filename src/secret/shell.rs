//! The driver `shell`: commands of the user's keep a secret. They get its identifier in `SECRET_ID`, as podman's do.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use super::{LARGEST, SecretError};
use crate::name::concealed::Concealed;
use crate::state::schema::secret::SecretRecord;

const STORE: &str = "store";
const LOOKUP: &str = "lookup";
const DELETE: &str = "delete";

/// Whether a driver and its options mean something.
pub fn check(driver: &str, options: &BTreeMap<String, String>) -> Result<(), SecretError> {
    match driver {
        "file" => match options.keys().next() {
            Some(option) => Err(SecretError::Options { driver: "file", why: format!("has no option {option:?}") }),
            None => Ok(()),
        },
        "shell" => {
            // podman wants a list of what there is, too, which we know ourselves.
            let unknown = options.keys().find(|key| ![STORE, LOOKUP, DELETE, "list"].contains(&key.as_str()));
            if let Some(option) = unknown {
                return Err(SecretError::Options { driver: "shell", why: format!("has no option {option:?}") });
            }
            match [STORE, LOOKUP, DELETE].iter().find(|option| !options.contains_key(**option)) {
                Some(option) => {
                    Err(SecretError::Options { driver: "shell", why: format!("needs the option {option}") })
                }
                None => Ok(()),
            }
        }
        other => Err(SecretError::Driver(other.chars().take(80).collect())),
    }
}

/// Has the secret kept.
pub fn store(record: &SecretRecord, data: &Concealed) -> Result<(), SecretError> {
    run(record, STORE, data.reveal()).map(drop)
}

/// What is kept.
pub fn lookup(record: &SecretRecord) -> Result<Concealed, SecretError> {
    run(record, LOOKUP, b"").map(Concealed::new)
}

/// Has it forgotten; nothing for other drivers.
pub fn forget(record: &SecretRecord) -> Result<(), SecretError> {
    if record.driver == "shell" { run(record, DELETE, b"").map(drop) } else { Ok(()) }
}

fn run(record: &SecretRecord, which: &'static str, input: &[u8]) -> Result<Vec<u8>, SecretError> {
    let failed = |why: String| SecretError::Command { name: record.name.clone(), command: which, why };
    let text = record.options.get(which).ok_or_else(|| failed("is not known".into()))?;
    let mut command = Command::new("/bin/sh");
    command.args(["-c", text]).env("SECRET_ID", &record.id);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|cause| failed(format!("cannot be executed: {cause}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(input) {
            Err(cause) if cause.kind() != std::io::ErrorKind::BrokenPipe => {
                return Err(failed(format!("could not be given the secret: {cause}")));
            }
            _ => {}
        }
    }
    let output = child.wait_with_output().map_err(|cause| failed(format!("could not be waited for: {cause}")))?;
    if !output.status.success() {
        let said: String = String::from_utf8_lossy(&output.stderr).trim().chars().take(400).collect();
        return Err(failed(format!("has failed ({}): {said}", output.status)));
    }
    match output.stdout.len() > LARGEST {
        true => Err(failed(format!("has written more than {LARGEST} bytes"))),
        false => Ok(output.stdout),
    }
}
