//! Entries of log files.

use std::borrow::Cow;

use jiff::Timestamp;
use memchr::{memchr, memrchr};
use serde::Deserialize;

use crate::container::monitor::log::{self, Stream};
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
}

/// Understands the lines of a log file.
pub struct Parser {
    format: Format,
    /// The latest time and how it was written: many lines have the same.
    latest: Option<(Vec<u8>, Timestamp)>,
}

impl Parser {
    /// One for files of this format.
    pub fn new(format: Format) -> Self {
        Self { format, latest: None }
    }

    /// The entry in a line, which is without its line feed; `None` if it is damaged.
    pub fn parse(&mut self, line: &[u8]) -> Option<Entry> {
        match self.format {
            Format::Json => match plain_json(line) {
                Some((text, stream, time)) => {
                    Some(Entry { time: self.time(time)?, stream, text: with_line_feed(text) })
                }
                None => self.json(line),
            },
            Format::K8s => self.k8s(line),
        }
    }

    fn json(&mut self, line: &[u8]) -> Option<Entry> {
        let json: Json<'_> = serde_json::from_slice(line).ok()?;
        let time = self.time(json.time.as_bytes())?;
        Some(Entry { time, stream: stream(json.stream.as_bytes())?, text: json.log.into_owned().into_bytes() })
    }

    fn k8s(&mut self, line: &[u8]) -> Option<Entry> {
        let (time, rest) = word(line)?;
        let (name, rest) = word(rest)?;
        let (tags, text) = word(rest)?;
        let time = self.time(time)?;
        let text = match tags.split(|&b| b == b':').next()? {
            b"F" => with_line_feed(text),
            b"P" => text.to_vec(),
            _ => return None,
        };
        Some(Entry { time, stream: stream(name)?, text })
    }

    fn time(&mut self, text: &[u8]) -> Option<Timestamp> {
        if let Some((_, time)) = self.latest.as_ref().filter(|(written, _)| written == text) {
            return Some(*time);
        }
        let time = std::str::from_utf8(text).ok()?.parse().ok()?;
        self.latest = Some((text.to_vec(), time));
        Some(time)
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

/// Text, stream and time of a whole line of printable ASCII that docker, or we, have written: most are, and JSON is slow.
fn plain_json(line: &[u8]) -> Option<(&[u8], Stream, &[u8])> {
    let rest = line.strip_prefix(b"{\"log\":\"")?.strip_suffix(b"\"}")?;
    let (rest, time) = rest.split_at(memrchr(b'"', rest)? + 1);
    let rest = rest.strip_suffix(b"\",\"time\":\"")?;
    let (rest, stream) = match rest.strip_suffix(b"\",\"stream\":\"stdout") {
        Some(rest) => (rest, Stream::Output),
        None => (rest.strip_suffix(b"\",\"stream\":\"stderr")?, Stream::Error),
    };
    let text = rest.strip_suffix(b"\\n")?;
    (log::plain(text) == text.len()).then_some((text, stream, time))
}

fn with_line_feed(text: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(text.len() + 1);
    line.extend_from_slice(text);
    line.push(b'\n');
    line
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
        let entry = Parser::new(Format::Json).parse(line).unwrap();
        assert_eq!((entry.stream, entry.text.as_slice()), (Stream::Error, "a\t\u{fffd}\n".as_bytes()));
        assert_eq!(entry.time, "2026-11-22T18:52:06.500Z".parse().unwrap());
    }

    #[test]
    fn plain_lines_are_what_json_says() {
        let texts = [
            "",
            "a",
            "a b~",
            "\\n",
            r"\\",
            r#"\""#,
            r"a\u0009",
            "é",
            "\u{7f}",
            "\"",
            "<",
            "\t",
            r"\n\n",
            "\",\"x\":\"y",
        ];
        for text in texts {
            for (end, stream) in [("\\n", "stdout"), ("\\n", "stderr"), ("", "stdout"), ("\\", "stdout"), ("\\n", "x")]
            {
                let line =
                    format!(r#"{{"log":"{text}{end}","stream":"{stream}","time":"2026-11-22T18:52:06.123456789Z"}}"#);
                let slow = Parser::new(Format::Json).json(line.as_bytes());
                assert_eq!(Parser::new(Format::Json).parse(line.as_bytes()), slow, "{line}");
            }
        }
        let line = br#"{"log":"a b\n","stream":"stdout","time":"2026-11-22T18:52:06.5Z"}"#;
        assert_eq!(plain_json(line), Some((&b"a b"[..], Stream::Output, &b"2026-11-22T18:52:06.5Z"[..])));
    }

    #[test]
    fn times_are_those_of_their_lines() {
        let mut parser = Parser::new(Format::K8s);
        for second in ["01", "02", "02", "x", "02", "01"] {
            let time = format!("2026-11-22T18:52:{second}Z");
            let entry = parser.parse(format!("{time} stdout F a").as_bytes());
            assert_eq!(entry.map(|entry| entry.time), time.parse().ok());
        }
    }

    #[test]
    fn lines_of_the_runtime_interface() {
        let entry = Parser::new(Format::K8s).parse(b"2026-11-22T18:52:06.5+01:00 stdout P:x a b\xff").unwrap();
        assert_eq!((entry.stream, entry.text.as_slice()), (Stream::Output, &b"a b\xff"[..]));
        assert_eq!(entry.time, "2026-11-22T17:52:06.500Z".parse().unwrap());
        assert!(Parser::new(Format::K8s).parse(b"2026-11-22T18:52:06Z stdout F ").unwrap().ends_line());
    }

    #[test]
    fn damaged_lines_are_no_entries() {
        for line in [
            &b""[..],
            b"{",
            b"{}",
            b"null",
            br#"{"log":"a","stream":"x","time":"2026-11-22T18:52:06Z"}"#,
            br#"{"log":"a\n","stream":"stdout","time":""}"#,
        ] {
            assert_eq!(Parser::new(Format::Json).parse(line), None);
        }
        for line in [&b""[..], b"2026-11-22T18:52:06Z stdout F", b"x stdout F a", b"2026-11-22T18:52:06Z stdout X a"] {
            assert_eq!(Parser::new(Format::K8s).parse(line), None);
        }
    }
}
