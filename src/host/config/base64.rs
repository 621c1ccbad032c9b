//! Base64 (RFC 4648 section 4), for authentication files and headers.

/// `bytes` in base64, padded.
pub fn encode(bytes: &[u8]) -> String {
    const SYMBOLS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut padded = [0; 4];
        padded[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(padded);
        for position in 0..4 {
            let symbol = SYMBOLS[(bits >> (18 - 6 * position) & 63) as usize];
            text.push(if position <= group.len() { char::from(symbol) } else { '=' });
        }
    }
    text
}

/// The bytes that `text` encodes; padding may be missing. `None` if it is not base64.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    for group in text.chunks(4) {
        let mut bits = 0_u32;
        for &symbol in group {
            bits = bits << 6 | u32::from(value(symbol)?);
        }
        // A last group of two or three symbols holds one or two bytes; one symbol alone holds none.
        let whole = match group.len() {
            4 => 3,
            3 => 2,
            2 => 1,
            _ => return None,
        };
        bits <<= 6 * (4 - group.len());
        bytes.extend_from_slice(&bits.to_be_bytes()[1..=whole]);
    }
    Some(bytes)
}

fn value(symbol: u8) -> Option<u8> {
    match symbol {
        b'A'..=b'Z' => Some(symbol - b'A'),
        b'a'..=b'z' => Some(symbol - b'a' + 26),
        b'0'..=b'9' => Some(symbol - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};

    #[test]
    fn the_vectors_of_rfc_4648() {
        let vectors =
            [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg==", "foob"), ("Zm9vYmFy", "foobar")];
        for (text, expected) in vectors {
            assert_eq!(encode(expected.as_bytes()), text);
            assert_eq!(decode(text).unwrap(), expected.as_bytes());
            assert_eq!(decode(text.trim_end_matches('=')).unwrap(), expected.as_bytes());
        }
        assert_eq!(decode("+/+/").unwrap(), [0xfb, 0xff, 0xbf]);
        for refused in ["A", "Zm9vY", "Zm 9", "Zm9v\n", "Z===g", "é"] {
            assert_eq!(decode(refused), None, "{refused:?}");
        }
    }
}
