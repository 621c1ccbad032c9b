//! Entries as bytes of a log file.

use jiff::Timestamp;

use super::{Ending, Stream};

/// The format of a log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Docker's `json-file`.
    Json,
    /// Kubernetes' (CRI).
    K8s,
}

/// What is the same in all entries of a batch.
pub struct Frame {
    format: Format,
    /// JSON: what follows the text. CRI: what precedes the tag.
    fixed: String,
}

impl Frame {
    /// That of entries which were read at `time`.
    pub fn new(format: Format, stream: Stream, time: Timestamp) -> Self {
        let stream = stream.as_str();
        let fixed = match format {
            Format::Json => format!("\",\"stream\":\"{stream}\",\"time\":\"{time:.9}\"}}\n"),
            Format::K8s => format!("{time:.9} {stream} "),
        };
        Self { format, fixed }
    }

    /// Adds an entry.
    pub fn encode(&self, out: &mut Vec<u8>, text: &[u8], ending: Ending) {
        match self.format {
            Format::Json => {
                out.extend_from_slice(b"{\"log\":\"");
                escape(out, text);
                if ending == Ending::Line {
                    out.extend_from_slice(b"\\n");
                }
                out.extend_from_slice(self.fixed.as_bytes());
            }
            Format::K8s => {
                out.extend_from_slice(self.fixed.as_bytes());
                out.extend_from_slice(if ending == Ending::Line { b"F " } else { b"P " });
                out.extend_from_slice(text);
                out.push(b'\n');
            }
        }
    }
}

/// Whether docker writes the byte otherwise than as it is: control characters, quotes, HTML, and all beyond ASCII.
fn is_special(byte: u8) -> bool {
    !(0x20..0x80).contains(&byte) || matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&')
}

/// Bytes of a word that are [`is_special`], by their highest bits. Of several only the lowest one is told for sure: eight at once
/// cost little more than one, whatever a compiler makes of it.
fn specials(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    // A byte below `limit` borrows from its highest bit, which one of ASCII does not have.
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
    let equal = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    // `<` and `>`, and `"` and `&`, differ in one bit only.
    let found = word
        | below(word, 0x20)
        | equal(word | (ONES * 0x02), b'>')
        | equal(word | (ONES * 0x04), b'&')
        | equal(word, b'\\');
    found & HIGH
}

/// How many bytes at the beginning docker writes into JSON as they are; printable ASCII, all of them.
pub fn plain(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let found = specials(u64::from_le_bytes(*word));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += word.len();
    }
    at + bytes[at..].iter().position(|&byte| is_special(byte)).unwrap_or(bytes.len() - at)
}

/// Adds `text` as the inside of a JSON string, with docker's escapes: what is not UTF-8 becomes U+FFFD.
fn escape(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    loop {
        let count = plain(rest);
        out.extend_from_slice(&rest[..count]);
        rest = &rest[count..];
        match rest.first() {
            None => return,
            Some(&byte) if byte < 0x80 => {
                escape_ascii(out, byte);
                rest = &rest[1..];
            }
            Some(_) => {
                let end = rest.iter().position(u8::is_ascii).unwrap_or(rest.len());
                escape_beyond_ascii(out, &rest[..end]);
                rest = &rest[end..];
            }
        }
    }
}

fn escape_ascii(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' | b'\\' => out.extend([b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}

fn escape_beyond_ascii(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        for (index, piece) in chunk.valid().split(['\u{2028}', '\u{2029}']).enumerate() {
            if index > 0 {
                // Both separators have three bytes; the one that precedes the piece tells which it was.
                let before = piece.as_ptr() as usize - chunk.valid().as_ptr() as usize;
                let last = chunk.valid().as_bytes()[before - 1];
                out.extend_from_slice(if last == 0xa8 { b"\\u2028" } else { b"\\u2029" });
            }
            out.extend_from_slice(piece.as_bytes());
        }
        // Go takes each byte that is not part of a character for one.
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &[u8]) -> String {
        let mut out = Vec::new();
        let time = Timestamp::new(1, 5).unwrap();
        Frame::new(Format::Json, Stream::Error, time).encode(&mut out, text, Ending::Line);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_is_docker_s() {
        assert_eq!(
            json(b"a\t\"\\<\x7f\xff\xe2\x80\xa8e\r"),
            "{\"log\":\"a\\u0009\\\"\\\\\\u003c\x7f\\ufffd\\u2028e\\r\\n\",\"stream\":\"stderr\",\"time\":\"1970-01-01T00:00:01.000000005Z\"}\n"
        );
    }

    #[test]
    fn every_text_comes_back() {
        for length in 0..100 {
            for at in 0..length {
                for special in ["\"", "\u{1}", "é", "\u{2029}", "\u{1f600}", "\\"] {
                    let mut text = "x".repeat(length);
                    text.insert_str(at, special);
                    let value: serde_json::Value = serde_json::from_str(&json(text.as_bytes())).unwrap();
                    assert_eq!(value["log"], format!("{text}\n"));
                }
            }
        }
    }

    #[test]
    fn eight_bytes_are_looked_at_as_one_by_one() {
        for byte in 0..=255 {
            assert_eq!(specials(u64::from_le_bytes([byte; 8])) != 0, is_special(byte), "{byte:#x}");
            for other in 0..=255 {
                for at in 0..8 {
                    let mut bytes = [other; 8];
                    bytes[at] = byte;
                    let first = bytes.iter().position(|&byte| is_special(byte)).unwrap_or(8);
                    assert_eq!(plain(&bytes), first, "{bytes:x?}");
                }
            }
        }
    }

    #[test]
    fn k8s_has_tags() {
        let mut out = Vec::new();
        let frame = Frame::new(Format::K8s, Stream::Output, Timestamp::new(1, 0).unwrap());
        frame.encode(&mut out, b"a\xff", Ending::Partial);
        frame.encode(&mut out, b"b", Ending::Line);
        assert_eq!(out, b"1970-01-01T00:00:01.000000000Z stdout P a\xff\n1970-01-01T00:00:01.000000000Z stdout F b\n");
    }
}
