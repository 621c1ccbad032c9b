//! Bytes that are shown to nobody but whom they are for.

use std::fmt;

/// A secret: no message, plan or record shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Concealed(Vec<u8>);

impl Concealed {
    /// Hides `bytes`.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Concealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(concealed)")
    }
}

/// The memory is overwritten before others get it.
impl Drop for Concealed {
    fn drop(&mut self) {
        for byte in &mut self.0 {
            *byte = 0;
        }
        std::hint::black_box(&self.0);
    }
}
