//! Drivers: other people's programs that keep the files of volumes.
//!
//! A driver is either a service that speaks Docker's VolumeDriver protocol on a socket
//! (<https://docs.docker.com/engine/extend/plugins_volume/>), or a program that is executed for each request, with the word of
//! the request as its argument, the same JSON on standard input, and the same JSON expected on standard output.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::failure::Explain;
use crate::host::config::containers::ContainersConf;
use crate::host::program;
use crate::name::volume::VolumeName;
use crate::state::layout::Layout;

/// Where services have their sockets, or files that say where these are (Docker's plugin discovery).
const SOCKETS: &str = "/run/docker/plugins";
const SPECIFICATIONS: &[&str] = &["/etc/docker/plugins", "/usr/lib/docker/plugins"];

/// How the programs are named.
const PREFIX: &str = "coracle-volume-";

/// An answer is a few words, or a list of volumes.
const MAX_ANSWER: u64 = 4 << 20;

/// A service may have to reach another machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Driver {
    /// Its name.
    pub name: String,
    way: Way,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Way {
    Socket(PathBuf),
    Program(PathBuf),
}

/// Why a driver did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// There is none.
    #[error("there is no volume driver {name:?}")]
    Unknown {
        /// The name.
        name: String,
        /// Where the user's own are looked for.
        own: PathBuf,
    },
    /// It cannot be reached.
    #[error("asking the volume driver {driver} for {request}, by {}", path.display())]
    Unreachable {
        /// The driver.
        driver: String,
        /// What was asked for.
        request: &'static str,
        /// Its socket or program.
        path: PathBuf,
        /// The cause.
        #[source]
        cause: io::Error,
    },
    /// It has refused.
    #[error("the volume driver {driver} has refused {request}: {message}")]
    Refused {
        /// The driver.
        driver: String,
        /// What was asked for.
        request: &'static str,
        /// Its words.
        message: String,
    },
    /// It says something that means nothing.
    #[error("the volume driver {driver} has answered {request} with {answer}")]
    Answer {
        /// The driver.
        driver: String,
        /// What was asked for.
        request: &'static str,
        /// The beginning of what it said.
        answer: String,
    },
}

impl Explain for DriverError {
    fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "E_UNSUPPORTED",
            _ => "E_DRIVER",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { name, own } => Some(format!(
                "local keeps volumes in the store; others are a socket {SOCKETS}/{name}.sock or {own}/{name}.sock, or a \
                 program {PREFIX}{name} in {own} or /usr/bin, \
                 or a socket that volume_plugins of containers.conf names",
                own = own.display()
            )),
            Self::Unreachable { cause, .. } if cause.kind() == io::ErrorKind::ConnectionRefused => {
                Some("the driver's service does not run: start it".into())
            }
            _ => None,
        }
    }
}

impl Driver {
    /// The driver of this name.
    pub fn find(layout: &Layout, name: &str) -> Result<Self, DriverError> {
        let unknown = || DriverError::Unknown { name: name.chars().take(80).collect(), own: layout.plugins() };
        // It becomes the name of a file.
        name.parse::<VolumeName>().map_err(|_| unknown())?;
        let way = way(layout, name).ok_or_else(unknown)?;
        Ok(Self { name: name.to_owned(), way })
    }

    /// All drivers whose names can be found out: those with sockets, specifications, or programs of the user's.
    pub fn all(layout: &Layout) -> Vec<Self> {
        let directories = [PathBuf::from(SOCKETS), layout.plugins()];
        let directories = directories.into_iter().chain(SPECIFICATIONS.iter().map(PathBuf::from));
        let files = directories.flat_map(|directory| std::fs::read_dir(directory).into_iter().flatten().flatten());
        let configured = ContainersConf::here().table("volume_plugins").into_keys();
        let mut names: Vec<String> = files.filter_map(|file| driver_name(&file.path())).chain(configured).collect();
        names.sort();
        names.dedup();
        names.iter().filter_map(|name| Self::find(layout, name).ok()).collect()
    }

    /// Makes a volume.
    pub fn create(&self, volume: &str, options: &BTreeMap<String, String>) -> Result<(), DriverError> {
        self.ask("Create", &json!({ "Name": volume, "Opts": options })).map(drop)
    }

    /// Removes a volume.
    pub fn remove(&self, volume: &str) -> Result<(), DriverError> {
        self.ask("Remove", &json!({ "Name": volume })).map(drop)
    }

    /// Mounts a volume for whoever `user` is; where. It may be mounted several times, each for another.
    pub fn mount(&self, volume: &str, user: &str) -> Result<PathBuf, DriverError> {
        let answer = self.ask("Mount", &json!({ "Name": volume, "ID": user }))?;
        self.mountpoint("Mount", &answer)
    }

    /// The end of a mount for `user`.
    pub fn unmount(&self, volume: &str, user: &str) -> Result<(), DriverError> {
        self.ask("Unmount", &json!({ "Name": volume, "ID": user })).map(drop)
    }

    /// Where a volume is mounted, if it is.
    pub fn path(&self, volume: &str) -> Result<Option<PathBuf>, DriverError> {
        let answer = self.ask("Path", &json!({ "Name": volume }))?;
        let path = answer.get("Mountpoint").and_then(Value::as_str).filter(|path| !path.is_empty());
        Ok(path.map(PathBuf::from))
    }

    /// The names of its volumes.
    pub fn list(&self) -> Result<Vec<String>, DriverError> {
        let answer = self.ask("List", &json!({}))?;
        let volumes = answer.get("Volumes").and_then(Value::as_array).into_iter().flatten();
        Ok(volumes.filter_map(|volume| Some(volume.get("Name")?.as_str()?.to_owned())).collect())
    }

    fn mountpoint(&self, request: &'static str, answer: &Value) -> Result<PathBuf, DriverError> {
        let path = answer.get("Mountpoint").and_then(Value::as_str).map(PathBuf::from);
        path.filter(|path| path.is_absolute()).ok_or_else(|| self.strange(request, &answer.to_string()))
    }

    fn strange(&self, request: &'static str, answer: &str) -> DriverError {
        let answer = format!("{:?}", answer.chars().take(200).collect::<String>());
        DriverError::Answer { driver: self.name.clone(), request, answer }
    }

    fn ask(&self, request: &'static str, question: &Value) -> Result<Value, DriverError> {
        let text = question.to_string();
        let (path, said) = match &self.way {
            Way::Socket(path) => (path, ask_service(path, request, &text)),
            Way::Program(path) => (path, ask_program(path, request, &text)),
        };
        let said = said.map_err(|cause| DriverError::Unreachable {
            driver: self.name.clone(),
            request,
            path: path.clone(),
            cause,
        })?;
        let body = said.body.trim();
        let answer: Value = match body.is_empty() && said.is_success {
            true => json!({}),
            false => serde_json::from_str(body).unwrap_or(Value::Null),
        };
        let error = answer.get("Err").or_else(|| answer.get("err")).and_then(Value::as_str).unwrap_or_default();
        match (error, said.is_success) {
            ("", true) if answer.is_object() => Ok(answer),
            ("", true) => Err(self.strange(request, body)),
            ("", false) => {
                let message = [body, said.aside.trim()].join(" ").trim().chars().take(400).collect();
                Err(DriverError::Refused { driver: self.name.clone(), request, message })
            }
            (error, _) => Err(DriverError::Refused { driver: self.name.clone(), request, message: error.to_owned() }),
        }
    }
}

/// What a driver has said.
struct Said {
    is_success: bool,
    body: String,
    /// What a program has written to standard error.
    aside: String,
}

fn way(layout: &Layout, name: &str) -> Option<Way> {
    if let Some(place) = ContainersConf::here().table("volume_plugins").get(name) {
        return Some(Way::Socket(place.strip_prefix("unix://").unwrap_or(place).into()));
    }
    let own = layout.plugins();
    let sockets = [Path::new(SOCKETS), &own]
        .map(|directory| [directory.join(format!("{name}.sock")), directory.join(name).join(format!("{name}.sock"))]);
    if let Some(socket) = sockets.into_iter().flatten().find(|socket| socket.exists()) {
        return Some(Way::Socket(socket));
    }
    let directories = SPECIFICATIONS.iter().map(Path::new).chain([own.as_path()]);
    for directory in directories {
        let file = std::fs::read_to_string(directory.join(format!("{name}.spec")));
        if let Some(path) = file.ok().as_deref().and_then(|text| text.trim().strip_prefix("unix://")) {
            return Some(Way::Socket(path.into()));
        }
    }
    let program = format!("{PREFIX}{name}");
    let of_user = own.join(&program);
    let is_executable = nix::unistd::access(&of_user, nix::unistd::AccessFlags::X_OK).is_ok();
    is_executable.then_some(of_user).or_else(|| program::find(&program)).map(Way::Program)
}

/// The name of the driver that this file is about.
fn driver_name(file: &Path) -> Option<String> {
    let name = file.file_name()?.to_str()?;
    let name = name
        .strip_prefix(PREFIX)
        .or_else(|| name.strip_suffix(".sock"))
        .or_else(|| name.strip_suffix(".spec"))
        .or_else(|| file.is_dir().then_some(name))?;
    Some(name.to_owned())
}

/// Asks in HTTP/1.0, so that the answer is all that comes until the service closes the connection.
fn ask_service(socket: &Path, request: &str, question: &str) -> io::Result<Said> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "POST /VolumeDriver.{request} HTTP/1.0\r\nHost: plugin\r\nContent-Type: application/json\r\n\
         Accept: application/vnd.docker.plugins.v1.1+json\r\nContent-Length: {}\r\n\r\n{question}",
        question.len()
    )?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "the answer is not one of HTTP");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(malformed)?;
    let status = head.split(' ').nth(1).ok_or_else(malformed)?;
    Ok(Said { is_success: status == "200", body: body.to_owned(), aside: String::new() })
}

fn ask_program(program: &Path, request: &str, question: &str) -> io::Result<Said> {
    let mut command = Command::new(program);
    command.arg(request.to_ascii_lowercase());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(question.as_bytes()) {
            // One that needs no more than the word does not read.
            Err(cause) if cause.kind() != io::ErrorKind::BrokenPipe => return Err(cause),
            _ => {}
        }
    }
    let output = child.wait_with_output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_ANSWER as usize)]).into_owned();
    Ok(Said { is_success: output.status.success(), body: text(&output.stdout), aside: text(&output.stderr) })
}
