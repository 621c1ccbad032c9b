//! How much a layer may be (SECURITY: budgets).

use serde::{Deserialize, Serialize};

const MIB: u64 = 1 << 20;

/// Longest path, in bytes: what fits into the kernel's PATH_MAX with its NUL.
pub const PATH: usize = 4095;
/// Longest path component, in bytes (NAME_MAX).
pub const COMPONENT: usize = 255;
/// Bytes of all files of a layer, those in holes included, where there are files that are stored without their holes.
pub const LOGICAL: u64 = 65536 * MIB;
/// Largest PAX header, in bytes.
pub const PAX: u64 = MIB;
/// Most memory for what has to be kept until the end of a layer, in bytes: modes of directories, owners of links.
pub const KEPT: usize = 128 << 20;

/// Limits that depend on the layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of the uncompressed tar.
    pub bytes: u64,
    /// Entries of the tar.
    pub entries: u64,
}

impl Default for Limits {
    /// 64 GiB and four million entries.
    fn default() -> Self {
        Self { bytes: 65536 * MIB, entries: 4_000_000 }
    }
}

impl Limits {
    /// The limits for a blob of `compressed` bytes: uncompressed it may be 200 times as large, and 64 MiB.
    pub fn for_compressed(compressed: u64) -> Self {
        let default = Self::default();
        let bytes = compressed.saturating_mul(200).saturating_add(64 * MIB).min(default.bytes);
        Self { bytes, ..default }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_is_believed_up_to_a_ratio() {
        assert_eq!(Limits::for_compressed(0).bytes, 64 * MIB);
        assert_eq!(Limits::for_compressed(MIB).bytes, 264 * MIB);
        assert_eq!(Limits::for_compressed(u64::MAX), Limits::default());
    }
}
