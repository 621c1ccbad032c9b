//! What an entry's name means: a path below the root, made of plain components, or a whiteout.

use super::error::{Shown, UnpackError};
use super::limits;

const WHITEOUT: &[u8] = b".wh.";
const WHITEOUT_META: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// A relative path of plain components: no `.`, no `..`, no empty one, no NUL, no whiteout. Empty for the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryPath {
    /// Components joined by `/`.
    bytes: Vec<u8>,
    /// Where the last component begins.
    last: usize,
}

/// What a name asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Something at this path.
    Path(EntryPath),
    /// Nothing at this path, whatever lower layers have there.
    Whiteout(EntryPath),
    /// Nothing of what lower layers have in this directory.
    Opaque(EntryPath),
}

impl EntryPath {
    /// The path of an entry or of a hard link's target.
    fn parse(name: &[u8]) -> Result<Self, UnpackError> {
        let refused = |reason| Err(UnpackError::Path { name: Shown::new(name), reason });
        if name.len() > limits::PATH {
            let what = format!("the length of the path {}", Shown::new(name));
            return Err(UnpackError::Limit { what, limit: format!("{} bytes", limits::PATH) });
        }
        if name.contains(&0) {
            return refused("it has a NUL in it");
        }
        let mut path = Self { bytes: Vec::with_capacity(name.len()), last: 0 };
        for component in name.split(|&byte| byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => return refused("it leads upwards"),
                _ if component.len() > limits::COMPONENT => {
                    let what = format!("the length of a component of {}", Shown::new(name));
                    return Err(UnpackError::Limit { what, limit: format!("{} bytes", limits::COMPONENT) });
                }
                _ => path.push(component),
            }
        }
        Ok(path)
    }

    fn push(&mut self, component: &[u8]) {
        if !self.bytes.is_empty() {
            self.bytes.push(b'/');
        }
        self.last = self.bytes.len();
        self.bytes.extend_from_slice(component);
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The whole path; empty for the root.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The last component; empty for the root.
    pub fn name(&self) -> &[u8] {
        &self.bytes[self.last..]
    }

    /// The path without its last component; empty if that is the root.
    pub fn parent(&self) -> &[u8] {
        &self.bytes[..self.last.saturating_sub(1)]
    }

    fn into_parent(mut self) -> Self {
        self.bytes.truncate(self.last.saturating_sub(1));
        self.last = self.bytes.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
        self
    }
}

impl Target {
    /// What an entry of this name is about.
    pub fn parse(name: &[u8]) -> Result<Self, UnpackError> {
        let refused = |reason| Err(UnpackError::Path { name: Shown::new(name), reason });
        let mut path = EntryPath::parse(name)?;
        if path.parent().split(|&byte| byte == b'/').any(|component| component.starts_with(WHITEOUT)) {
            return refused("it is below a whiteout");
        }
        let Some(hidden) = path.name().strip_prefix(WHITEOUT) else { return Ok(Self::Path(path)) };
        if path.name() == OPAQUE {
            return Ok(Self::Opaque(path.into_parent()));
        }
        if path.name().starts_with(WHITEOUT_META) || matches!(hidden, b"" | b"." | b"..") {
            return refused("it is not the name of a whiteout");
        }
        let hidden = hidden.to_vec();
        path.bytes.truncate(path.last);
        path.bytes.extend_from_slice(&hidden);
        Ok(Self::Whiteout(path))
    }

    /// What a hard link of this target refers to: nothing but a path.
    pub fn parse_link(link: &[u8]) -> Result<EntryPath, UnpackError> {
        match Self::parse(link)? {
            Self::Path(path) if !path.is_root() => Ok(path),
            _ => Err(UnpackError::Path { name: Shown::new(link), reason: "no hard link can refer to it" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(name: &[u8]) -> String {
        let text = |path: EntryPath| format!("{}|{}", path.parent().escape_ascii(), path.name().escape_ascii());
        match Target::parse(name) {
            Ok(Target::Path(path)) => text(path),
            Ok(Target::Whiteout(path)) => format!("whiteout {}", text(path)),
            Ok(Target::Opaque(path)) => format!("opaque {}", text(path)),
            Err(error) => crate::failure::Explain::code(&error).to_owned(),
        }
    }

    #[test]
    fn spellings_of_a_path_meet() {
        for name in [&b"a/b"[..], b"./a/b", b"/a/b", b"//a//b//", b"a/./b/.", b"././a/b/"] {
            assert_eq!(parsed(name), "a|b");
        }
        for root in [&b""[..], b".", b"./", b"/", b"//", b"/./."] {
            assert_eq!(parsed(root), "|");
        }
        assert_eq!(parsed(b"..."), "|...");
        assert_eq!(parsed(b"a..b/..c"), "a..b|..c");
    }

    #[test]
    fn nothing_leads_out() {
        for name in [&b".."[..], b"../v", b"/../v", b"a/../b", b"a/..", b"a/../", b"a/.././b"] {
            assert_eq!(parsed(name), "E_LAYER_PATH");
        }
        assert_eq!(parsed(b"a\0b"), "E_LAYER_PATH");
        assert_eq!(parsed(&b"a".repeat(256)), "E_LAYER_LIMIT");
        assert_eq!(parsed(&b"a/".repeat(2048)), "E_LAYER_LIMIT");
        assert_eq!(parsed(&b"a".repeat(255)), format!("|{}", "a".repeat(255)));
    }

    #[test]
    fn whiteouts() {
        assert_eq!(parsed(b"a/.wh.b"), "whiteout a|b");
        assert_eq!(parsed(b".wh.b"), "whiteout |b");
        assert_eq!(parsed(b"a/b/.wh..wh..opq"), "opaque a|b");
        assert_eq!(parsed(b"./.wh..wh..opq"), "opaque |");
        assert_eq!(parsed(b".wh...."), "whiteout |...");
        for name in [&b".wh."[..], b".wh..", b".wh...", b"a/.wh..", b".wh./x", b".wh.a/x", b".wh..wh.x", b".wh..wh."] {
            assert_eq!(parsed(name), "E_LAYER_PATH", "{}", name.escape_ascii());
        }
    }
}
