//! What an unpacked layer's files cannot say themselves.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::state::record::Record;

/// A path in a layer, relative to its root, any bytes but NUL.
///
/// In JSON it is text: `%` and bytes that are not part of UTF-8 text are written as `%` and two hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct LayerPath(Box<[u8]>);

impl LayerPath {
    /// The path with these bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::borrow::Borrow<[u8]> for LayerPath {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl LayerPath {
    /// The path that [`fmt::Display`] has written as `text`; nothing if that is none.
    pub fn unescape(text: &str) -> Option<Self> {
        unescape(text.as_bytes())
    }
}

impl fmt::Display for LayerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(&chunk.valid().replace('%', "%25"))?;
            for byte in chunk.invalid() {
                write!(f, "%{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for LayerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for LayerPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LayerPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        unescape(text.as_bytes()).ok_or_else(|| serde::de::Error::custom("a % is not followed by two digits"))
    }
}

fn unescape(text: &[u8]) -> Option<LayerPath> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(*rest.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        bytes.push(u8::try_from(value).ok()?);
    }
    Some(LayerPath(bytes.into()))
}

/// What kind of file an owner is recorded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// Regular file.
    File,
    /// Directory.
    Dir,
    /// Symbolic link.
    Symlink,
    /// Named pipe.
    Fifo,
    /// Socket: only in what a container has made, never in a layer.
    Socket,
    /// Character device, kept as an empty regular file.
    Char {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// Block device, kept as an empty regular file.
    Block {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
}

/// Owner and mode of a file as the image has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ownership {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits, 07777.
    pub mode: u32,
    /// Kind of file.
    pub kind: FileKind,
}

/// The ownership of one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathOwnership {
    /// The path.
    pub path: LayerPath,
    /// Its ownership.
    #[serde(flatten)]
    pub ownership: Ownership,
}

/// File capabilities of one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathCapability {
    /// The path.
    pub path: LayerPath,
    /// The value of `security.capability` (capabilities(7), `vfs_cap_data`), in hexadecimal.
    pub value: String,
}

/// Things of the layer that the tree does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Sockets.
    pub sockets: u64,
    /// Extended attributes and access control lists that are not for an image to set.
    pub xattrs: u64,
}

/// One unpacked layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerManifest {
    /// Entries of the tar, whiteouts included.
    pub entries: u64,
    /// Bytes of the regular files.
    pub bytes: u64,
    /// Whether anything is owned by somebody else than 0:0.
    pub foreign_owners: bool,
    /// Whether the root hides everything below it: overlayfs looks for that on no layer's root, so whoever stacks the
    /// layers must begin with this one.
    pub opaque_root: bool,
    /// Whether its files belong to one user on disk, whomever they belong to here: they were unpacked by somebody who has no
    /// other ids.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub single: bool,
    /// Devices, kept as empty regular files.
    pub devices: u64,
    /// Whether owners are kept in extended attributes; if not, all of them are in `owners`, and opaque directories in
    /// `opaque`.
    pub xattrs: bool,
    /// Owners other than 0:0 that extended attributes do not hold: those of symbolic links and named pipes, or all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<PathOwnership>,
    /// Opaque directories, where extended attributes cannot say so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opaque: Vec<LayerPath>,
    /// File capabilities.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<PathCapability>,
    /// What was left out.
    pub skipped: Skipped,
}

impl Record for LayerManifest {
    const VERSION: u32 = 1;
    const KIND: &'static str = "layer manifest";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_path_survives_json() {
        for bytes in [&b"plain/path"[..], b"100%", b"%41", b"\xff\xfe/x", "Főtanúsítvány".as_bytes(), b"a\nb\"\\"] {
            let path = LayerPath::new(bytes);
            let json = serde_json::to_string(&path).unwrap();
            assert_eq!(serde_json::from_str::<LayerPath>(&json).unwrap(), path, "{json}");
        }
        assert!(serde_json::from_str::<LayerPath>("\"%4\"").is_err());
        assert!(serde_json::from_str::<LayerPath>("\"%zz\"").is_err());
    }

    #[test]
    fn the_first_version_still_loads() {
        let text = r#"{"v":1,"entries":3,"bytes":10,"foreign_owners":true,"opaque_root":false,"devices":1,"xattrs":true,
            "owners":[{"path":"a%ff","uid":1,"gid":2,"mode":511,"kind":"symlink"},
                      {"path":"d","uid":0,"gid":6,"mode":432,"kind":{"block":{"major":8,"minor":1}}}],
            "capabilities":[{"path":"bin/ping","value":"0100"}],"skipped":{"sockets":0,"xattrs":2}}"#;
        let manifest: LayerManifest = serde_json::from_str(text).unwrap();
        assert_eq!(manifest.owners[0].path.as_bytes(), b"a\xff");
        assert_eq!(manifest.owners[1].ownership.kind, FileKind::Block { major: 8, minor: 1 });
        assert_eq!(manifest.skipped.xattrs, 2);
        assert!(!manifest.single);
    }
}
