//! What a tar consists of beside the contents of its files, so that it can be put together again, bit for bit: lines of JSON, as
//! <https://github.com/vbatts/tar-split> has them (`tar/storage/entry.go`).

use std::io;

use serde::Serialize;

use super::frames::Packed;
use crate::host::config::base64;

/// Contents of a file belong here.
const FILE: u8 = 1;
/// Bytes of the tar.
const SEGMENT: u8 = 2;

/// The lines of one tar.
pub(super) struct TarSplit {
    packed: Packed,
    position: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    /// In base64.
    payload: Option<String>,
    position: u64,
}

impl TarSplit {
    pub(super) fn new(level: i32) -> io::Result<Self> {
        Ok(Self { packed: Packed::new(level)?, position: 0 })
    }

    /// Adds bytes of the tar: padding, then the headers of one file; or padding and zeroes at the end.
    pub(super) fn segment(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.line(SEGMENT, None, None, Some(base64::encode(bytes)))
    }

    /// Adds the contents of the file whose headers came before.
    pub(super) fn file(&mut self, name: &str, size: u64, checksum: Option<Checksum>) -> io::Result<()> {
        let payload = checksum.map(|checksum| base64::encode(&checksum.finish().to_be_bytes()));
        self.line(FILE, Some(name), (size > 0).then_some(size), payload)
    }

    fn line(&mut self, kind: u8, name: Option<&str>, size: Option<u64>, payload: Option<String>) -> io::Result<()> {
        let line = Line { kind, name, size, payload, position: self.position };
        let mut line = serde_json::to_vec(&line)?;
        line.push(b'\n');
        self.position += 1;
        self.packed.add(&line)
    }

    /// All of them, compressed, and their length before that.
    pub(super) fn finish(self) -> io::Result<(Vec<u8>, u64)> {
        self.packed.finish()
    }
}

/// The checksum of a file's contents: CRC-64 of ISO 3309, as Go's `hash/crc64` has it.
pub(super) struct Checksum(u64);

impl Default for Checksum {
    fn default() -> Self {
        Self(!0)
    }
}

const TABLE: [u64; 256] = {
    const POLYNOMIAL: u64 = 0xd800_0000_0000_0000;
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ POLYNOMIAL } else { sum >> 1 };
            bit += 1;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
};

impl Checksum {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = TABLE[usize::from(self.0 as u8 ^ byte)] ^ self.0 >> 8;
        }
    }

    fn finish(self) -> u64 {
        !self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_go() {
        // The values of its own tests.
        for (text, expected) in [
            ("", 0),
            ("a", 0x3420_0000_0000_0000),
            ("abc", 0x3776_c420_0000_0000),
            ("abcdef", 0x3002_d367_76c4_2000),
            ("abcdefgh", 0x0e21_b002_d367_76c4),
        ] {
            let mut checksum = Checksum::default();
            checksum.update(text.as_bytes());
            assert_eq!(checksum.finish(), expected, "{text}");
        }
    }
}
