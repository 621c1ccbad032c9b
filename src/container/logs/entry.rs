//! Entries of log files.

use std::borrow::Cow;

use jiff::Timestamp;
use memchr::memchr;
use serde::Deserialize;

use crate::container::monitor::log::Stream;
use crate::name::log_request::LogDriver;

/// The format of a log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Docker's `json-file`.
    Json,
    /// Kubernetes' (CRI).
    K8s,
}

impl Format {
    /// That of a driver, if it writes files.
    pub fn of(driver: LogDriver) -> Option<Self> {
        match driver {
            LogDriver::JsonFile => Some(Self::Json),
            LogDriver::K8sFile => Some(Self::K8s),
            LogDriver::Journald | LogDriver::None | LogDriver::Passthrough => None,
        }
    }

    /// The entry in a line of a log file, which is without its line feed; `None` if it is damaged.
    pub fn parse(self, line: &[u8]) -> Option<Entry> {
        match self {
            Self::Json => json(line),
            Self::K8s => k8s(line),
        }
    }
}

/// A line that a container wrote, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it was read by the monitor.
    pub time: Timestamp,
    /// Where it was written to.
    pub stream: Stream,
    /// What was written, with the line feed if it is the end of a line.
    pub text: Vec<u8>,
}

impl Entry {
    /// Whether it is the end of its line.
    pub fn ends_line(&self) -> bool {
        self.text.last() == Some(&b'\n')
    }
}

#[derive(Deserialize)]
struct Json<'a> {
    #[serde(borrow, default)]
    log: Cow<'a, str>,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

fn json(line: &[u8]) -> Option<Entry> {
    let json: Json<'_> = serde_json::from_slice(line).ok()?;
    let time = json.time.parse().ok()?;
    Some(Entry { time, stream: stream(json.stream.as_bytes())?, text: json.log.into_owned().into_bytes() })
}

fn k8s(line: &[u8]) -> Option<Entry> {
    let (time, rest) = word(line)?;
    let (name, rest) = word(rest)?;
    let (tags, text) = word(rest)?;
    let time = std::str::from_utf8(time).ok()?.parse().ok()?;
    let mut text = text.to_vec();
    match tags.split(|&b| b == b':').next()? {
        b"F" => text.push(b'\n'),
        b"P" => {}
        _ => return None,
    }
    Some(Entry { time, stream: stream(name)?, text })
}

fn word(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr(b' ', line)?;
    Some((&line[..at], &line[at + 1..]))
}

fn stream(name: &[u8]) -> Option<Stream> {
    match name {
        b"stdout" => Some(Stream::Output),
        b"stderr" => Some(Stream::Error),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_of_docker() {
        let line =
            br#"{"log":"a\u0009\ufffd\n","stream":"stderr","attrs":{"tag":"x"},"time":"2026-11-22T18:52:06.5Z"}"#;
        let entry = Format::Json.parse(line).unwrap();
        assert_eq!((entry.stream, entry.text.as_slice()), (Stream::Error, "a\t\u{fffd}\n".as_bytes()));
        assert_eq!(entry.time, "2026-11-22T18:52:06.500Z".parse().unwrap());
    }

    #[test]
    fn lines_of_the_runtime_interface() {
        let entry = Format::K8s.parse(b"2026-11-22T18:52:06.5+01:00 stdout P:x a b\xff").unwrap();
        assert_eq!((entry.stream, entry.text.as_slice()), (Stream::Output, &b"a b\xff"[..]));
        assert_eq!(entry.time, "2026-11-22T17:52:06.500Z".parse().unwrap());
        assert!(Format::K8s.parse(b"2026-11-22T18:52:06Z stdout F ").unwrap().ends_line());
    }

    #[test]
    fn damaged_lines_are_no_entries() {
        for line in [&b""[..], b"{", b"{}", b"null", br#"{"log":"a","stream":"x","time":"2026-11-22T18:52:06Z"}"#] {
            assert_eq!(Format::Json.parse(line), None);
        }
        for line in [&b""[..], b"2026-11-22T18:52:06Z stdout F", b"x stdout F a", b"2026-11-22T18:52:06Z stdout X a"] {
            assert_eq!(Format::K8s.parse(line), None);
        }
    }
}
