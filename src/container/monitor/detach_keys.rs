//! The keys that leave a container running.

use std::str::FromStr;

/// What must be typed to leave; never longer than a few keys. Empty where nothing leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetachKeys(Vec<u8>);

/// `ctrl-p,ctrl-q`.
impl Default for DetachKeys {
    fn default() -> Self {
        Self(vec![16, 17])
    }
}

/// Why keys were refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a key: expected one character, or ctrl- and one of a-z @ [ \\ ] ^ _")]
pub struct UnknownKey(String);

impl crate::failure::Explain for UnknownKey {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }
}

/// Keys with commas between them; nothing for none.
impl FromStr for DetachKeys {
    type Err = UnknownKey;

    fn from_str(text: &str) -> Result<Self, UnknownKey> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        text.split(',')
            .map(|key| byte(key).ok_or_else(|| UnknownKey(key.chars().take(40).collect())))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// What a terminal sends for the key.
fn byte(key: &str) -> Option<u8> {
    match (key.strip_prefix("ctrl-"), key.as_bytes()) {
        (Some(letter), _) => match letter.as_bytes() {
            [letter @ (b'a'..=b'z' | b'A'..=b'Z' | b'@' | b'[' | b'\\' | b']' | b'^' | b'_')] => {
                Some(letter.to_ascii_uppercase() - b'@')
            }
            _ => None,
        },
        (None, [one]) => Some(*one),
        _ => None,
    }
}

/// Looks for the keys in what is typed.
#[derive(Debug)]
pub struct Watch {
    keys: DetachKeys,
    /// How many of them were typed last.
    matched: usize,
}

/// What is to be passed on, and whether the keys were typed after it.
#[derive(Debug, PartialEq, Eq)]
pub struct Typed {
    /// What is not part of the keys.
    pub bytes: Vec<u8>,
    /// Whether they were typed.
    pub leaves: bool,
}

impl Watch {
    /// For these keys.
    pub fn new(keys: DetachKeys) -> Self {
        Self { keys, matched: 0 }
    }

    /// Takes what was typed. The beginning of the keys is held back.
    pub fn take(&mut self, typed: &[u8]) -> Typed {
        let mut bytes = Vec::with_capacity(typed.len());
        for &byte in typed {
            while self.matched > 0 && self.keys.0[self.matched] != byte {
                self.step_back(&mut bytes);
            }
            match self.keys.0.get(self.matched) {
                Some(&key) if key == byte => self.matched += 1,
                _ => bytes.push(byte),
            }
            if self.matched > 0 && self.matched == self.keys.0.len() {
                self.matched = 0;
                return Typed { bytes, leaves: true };
            }
        }
        Typed { bytes, leaves: false }
    }

    /// The longest end of what is held back that begins the keys stays held back; the rest is passed on.
    fn step_back(&mut self, bytes: &mut Vec<u8>) {
        let held = &self.keys.0[..self.matched];
        let shorter = (0..self.matched).rev().find(|&len| held.ends_with(&self.keys.0[..len])).unwrap_or(0);
        bytes.extend_from_slice(&held[..self.matched - shorter]);
        self.matched = shorter;
    }

    /// Whether something is held back.
    pub fn holds(&self) -> bool {
        self.matched > 0
    }

    /// What was held back: nothing followed in time, so it was meant for the container.
    pub fn release(&mut self) -> Vec<u8> {
        self.keys.0[..std::mem::take(&mut self.matched)].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_named() {
        assert_eq!("ctrl-p,ctrl-q".parse(), Ok(DetachKeys::default()));
        assert_eq!("a,ctrl-@,ctrl-_,ctrl-A".parse(), Ok(DetachKeys(vec![b'a', 0, 31, 1])));
        assert_eq!("".parse(), Ok(DetachKeys(Vec::new())));
        for text in ["ctrl-", "ctrl-1", "ab", "ctrl-p,", "é", "ctrl-pp"] {
            assert!(text.parse::<DetachKeys>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_typed_arrives_but_for_the_keys() {
        let mut watch = Watch::new(DetachKeys::default());
        let typed = |bytes: &[u8], leaves| Typed { bytes: bytes.to_vec(), leaves };
        assert_eq!(watch.take(b"ls\x10"), typed(b"ls", false));
        assert!(watch.holds());
        assert_eq!(watch.take(b"x"), typed(b"\x10x", false));
        assert_eq!(watch.take(b"\x10\x10"), typed(b"\x10", false));
        assert_eq!(watch.release(), b"\x10");
        assert_eq!(watch.take(b"a\x10\x11never seen"), typed(b"a", true));
        let mut none = Watch::new(DetachKeys(Vec::new()));
        assert_eq!(none.take(b"\x10\x11"), typed(b"\x10\x11", false));
    }

    #[test]
    fn keys_that_repeat_themselves() {
        let mut watch = Watch::new("a,a,b".parse().unwrap());
        assert_eq!(watch.take(b"aaab"), Typed { bytes: b"a".to_vec(), leaves: true });
        assert_eq!(watch.take(b"aacaab"), Typed { bytes: b"aac".to_vec(), leaves: true });
    }
}
