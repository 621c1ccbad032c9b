//! `--device` and `--gpus`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::container_path::parse_container_path;
use super::serialize::as_text;

/// What `--device` or `--gpus` asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceRequest {
    /// A device of the host, or all in a directory.
    Path(DevicePath),
    /// What a specification of the Container Device Interface calls by this name.
    Cdi(CdiName),
    /// Graphics processors, of whoever makes them: their names, or `all`.
    Gpus(Vec<String>),
}

/// `HOST[:CONTAINER][:PERMISSIONS]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevicePath {
    /// Path on the host, absolute.
    #[serde(with = "super::serialize::os_string")]
    pub source: PathBuf,
    /// Path in the container, absolute.
    pub destination: String,
    /// What the container must be able to do with it; whatever the user can where absent.
    pub permissions: Option<Permissions>,
}

/// `r`, `w` and `m`. No container can make devices (`m`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permissions {
    /// To be read from.
    pub read: bool,
    /// To be written to.
    pub write: bool,
}

/// `VENDOR/CLASS=NAME`: see the specification of the Container Device Interface, "kind" and "devices".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CdiName {
    /// `VENDOR/CLASS`.
    pub kind: String,
    /// The device.
    pub device: String,
}

/// Why a device was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DeviceRefused {
    /// Neither a path nor a name.
    #[error("{0:?} is not a device: expected PATH[:PATH IN THE CONTAINER][:PERMISSIONS] or VENDOR/CLASS=NAME")]
    Malformed(String),
    /// Permissions.
    #[error("{permissions:?} in {device:?} are not permissions: expected some of r, w and m")]
    Permissions {
        /// The word.
        permissions: String,
        /// All of it.
        device: String,
    },
    /// The path in the container.
    #[error("{destination:?} in {device:?} is not an absolute path in the container")]
    Destination {
        /// The path.
        destination: String,
        /// All of it.
        device: String,
    },
    /// Not of the form of `--gpus`.
    #[error("{0:?} names no graphics processors: expected all, a number of them, or device=0,1")]
    Gpus(String),
}

impl crate::failure::Explain for DeviceRefused {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Gpus(_) => "for example --gpus all or --gpus device=0".into(),
            _ => "for example --device /dev/fuse, --device /dev/ttyUSB0:/dev/modem:rw or --device nvidia.com/gpu=all"
                .into(),
        })
    }
}

fn shown(text: &str) -> String {
    text.chars().take(160).collect()
}

impl FromStr for DeviceRequest {
    type Err = DeviceRefused;

    fn from_str(text: &str) -> Result<Self, DeviceRefused> {
        if !text.starts_with('/') {
            return text.parse().map(Self::Cdi);
        }
        let parts: Vec<&str> = text.split(':').collect();
        let is_path = |word: &str| word.starts_with('/');
        let (source, destination, permissions) = match parts[..] {
            [source] => (source, source, None),
            [source, destination] if is_path(destination) => (source, destination, None),
            [source, permissions] => (source, source, Some(permissions)),
            [source, destination, permissions] => (source, destination, Some(permissions)),
            _ => return Err(DeviceRefused::Malformed(shown(text))),
        };
        let destination = parse_container_path(destination)
            .ok()
            .filter(|path| is_path(path) && path != "/")
            .ok_or_else(|| DeviceRefused::Destination { destination: shown(destination), device: shown(text) })?;
        let refused =
            |permissions: &str| DeviceRefused::Permissions { permissions: shown(permissions), device: shown(text) };
        let permissions = permissions.map(|word| Permissions::of(word).ok_or_else(|| refused(word))).transpose()?;
        Ok(Self::Path(DevicePath { source: source.into(), destination, permissions }))
    }
}

impl Permissions {
    /// What these letters say.
    pub fn of(letters: &str) -> Option<Self> {
        let known = !letters.is_empty() && letters.chars().all(|letter| "rwm".contains(letter));
        known.then(|| Self { read: letters.contains('r'), write: letters.contains('w') })
    }
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.read { "r" } else { "" })?;
        f.write_str(if self.write { "w" } else { "" })
    }
}

impl FromStr for CdiName {
    type Err = DeviceRefused;

    fn from_str(text: &str) -> Result<Self, DeviceRefused> {
        let parse = || {
            let (kind, device) = text.split_once('=')?;
            (is_kind(kind) && is_word(device, ":")).then(|| Self { kind: kind.to_owned(), device: device.to_owned() })
        };
        parse().ok_or_else(|| DeviceRefused::Malformed(shown(text)))
    }
}

/// Whether this is a `VENDOR/CLASS`.
pub fn is_kind(text: &str) -> bool {
    text.split_once('/').is_some_and(|(vendor, class)| {
        let begins = |word: &str| word.starts_with(|first: char| first.is_ascii_alphabetic());
        begins(vendor) && is_word(vendor, "") && begins(class) && is_word(class, "")
    })
}

fn is_word(text: &str, more: &str) -> bool {
    let is_end = |end: Option<char>| end.is_some_and(|character| character.is_ascii_alphanumeric());
    let is_known = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c) || more.contains(c);
    is_end(text.chars().next()) && is_end(text.chars().last()) && text.chars().all(is_known)
}

impl fmt::Display for CdiName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.kind, self.device)
    }
}

as_text!(CdiName);

/// So many can be asked for.
const MOST_GPUS: usize = 256;

/// `--gpus`'s value: docker-run(1).
pub fn parse_gpus(text: &str) -> Result<DeviceRequest, DeviceRefused> {
    let refused = || DeviceRefused::Gpus(shown(text));
    let unquoted = text.trim_matches('"');
    let names: Vec<String> = match unquoted.split_once('=') {
        Some(("device", names)) => names.split(',').map(str::to_owned).collect(),
        None if unquoted == "all" || unquoted == "-1" => vec!["all".into()],
        None => {
            // Looked at before anything is made of it: no machine has more.
            let count = unquoted.parse::<usize>().ok().filter(|&count| count <= MOST_GPUS).ok_or_else(refused)?;
            (0..count).map(|number| number.to_string()).collect()
        }
        _ => return Err(refused()),
    };
    match !names.is_empty() && names.iter().all(|name| is_word(name, ":")) && names.len() <= MOST_GPUS {
        true => Ok(DeviceRequest::Gpus(names)),
        false => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(
        source: &str,
        destination: &str,
        permissions: Option<(bool, bool)>,
    ) -> Result<DeviceRequest, DeviceRefused> {
        let permissions = permissions.map(|(read, write)| Permissions { read, write });
        Ok(DeviceRequest::Path(DevicePath { source: source.into(), destination: destination.into(), permissions }))
    }

    #[test]
    fn paths() {
        assert_eq!("/dev/fuse".parse(), path("/dev/fuse", "/dev/fuse", None));
        assert_eq!("/dev/a:/dev/b".parse(), path("/dev/a", "/dev/b", None));
        assert_eq!("/dev/a:rw".parse(), path("/dev/a", "/dev/a", Some((true, true))));
        assert_eq!("/dev/a:/b:rm".parse(), path("/dev/a", "/b", Some((true, false))));
        for (text, part) in [
            ("/dev/a:x", "\"x\""),
            ("/dev/a:/b:ro", "\"ro\""),
            ("/dev/a:/b:r:w", "/dev/a"),
            ("/dev/a:/:r", "\"/\""),
            ("", "\"\""),
        ] {
            let refused = text.parse::<DeviceRequest>().expect_err(text);
            assert!(refused.to_string().contains(part), "{text}: {refused}");
        }
    }

    #[test]
    fn names() {
        let name =
            |kind: &str, device: &str| Ok(DeviceRequest::Cdi(CdiName { kind: kind.into(), device: device.into() }));
        assert_eq!("nvidia.com/gpu=all".parse(), name("nvidia.com/gpu", "all"));
        assert_eq!("intel.com/gpu=card0-x:1".parse(), name("intel.com/gpu", "card0-x:1"));
        for bad in ["dev/a", "a=b", "a/b=", "a/b=c/d", "1a/b=c", "a/b/c=d", "a /b=c", "../x=y"] {
            assert!(bad.parse::<DeviceRequest>().is_err(), "{bad}");
        }
    }

    #[test]
    fn graphics_processors() {
        let gpus = |names: &[&str]| Ok(DeviceRequest::Gpus(names.iter().map(|name| (*name).into()).collect()));
        assert_eq!(parse_gpus("all"), gpus(&["all"]));
        assert_eq!(parse_gpus("2"), gpus(&["0", "1"]));
        assert_eq!(parse_gpus("\"device=0,GPU-1f\""), gpus(&["0", "GPU-1f"]));
        for bad in ["", "0", "x", "device=", "capabilities=compute", "device=a/b", "999999999"] {
            assert!(parse_gpus(bad).is_err(), "{bad}");
        }
    }
}
