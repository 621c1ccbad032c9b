//! The API socket of slirp4netns(1), "API SOCKET": one request a connection, JSON there and back.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::error::NetworkError;
use super::ports::{Published, Shown};

/// An answer comes at once, or never.
const PATIENCE: Duration = Duration::from_secs(5);

/// An answer is one line.
const ANSWER: u64 = 64 << 10;

/// The socket of one slirp4netns.
pub struct Api {
    directory: PathBuf,
    name: String,
}

impl Api {
    /// In this directory, under this name.
    pub fn new(directory: &Path, name: &str) -> Self {
        Self { directory: directory.to_owned(), name: name.to_owned() }
    }

    /// Publishes a port of the container, which has this address.
    pub fn publish(&self, port: &Published, container: Ipv4Addr) -> Result<(), NetworkError> {
        let host = match port.host_ip {
            Some(IpAddr::V4(ip)) => ip,
            _ => Ipv4Addr::UNSPECIFIED,
        };
        let request = json!({"execute": "add_hostfwd", "arguments": {
            "proto": port.protocol.as_str(),
            "host_addr": host,
            "host_port": port.host_port,
            "guest_addr": container,
            "guest_port": port.container_port,
        }});
        let answer = self.ask(&request);
        let reason = match answer {
            Ok(answer) => match answer.get("error") {
                None => return Ok(()),
                Some(error) => {
                    error.get("desc").and_then(Value::as_str).map_or_else(|| error.to_string(), str::to_owned)
                }
            },
            Err(cause) => cause.to_string(),
        };
        Err(NetworkError::Publish { port: Shown::of(port), reason })
    }

    fn ask(&self, request: &Value) -> io::Result<Value> {
        // The path of a socket has a limit that a path through a descriptor keeps to (unix(7)).
        let directory = File::open(&self.directory)?;
        let mut stream = UnixStream::connect(format!("/proc/self/fd/{}/{}", directory.as_raw_fd(), self.name))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(request.to_string().as_bytes())?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = Vec::new();
        stream.take(ANSWER).read_to_end(&mut answer)?;
        Ok(serde_json::from_slice(&answer)?)
    }
}
