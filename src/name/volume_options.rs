//! `volume create --opt`: what the driver `local` makes of them (docker-volume-create(1), podman-volume-create(1)).

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::byte_size::{SizeRefused, parse_bytes};
use super::mount::{MountRefused, parse_mode};

/// What a volume of the driver `local` is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalVolume {
    /// Where its files are.
    pub files: Files,
    /// Whether containers may only read it.
    pub read_only: bool,
    /// Whether programs in it can be executed.
    pub no_exec: bool,
    /// Whether a new one is filled with what it covers.
    pub no_copy: bool,
    /// `uid=` and `gid=`: whom its directory belongs to.
    pub owner: (Option<u32>, Option<u32>),
}

/// Where a volume's files are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Files {
    /// In a directory of the store.
    #[default]
    Store,
    /// In a directory of the host.
    Host {
        /// The directory, absolute.
        path: PathBuf,
        /// Whether mounts below it come along.
        recursive: bool,
    },
    /// In memory: each container that has the volume gets a tmpfs of its own.
    Memory {
        /// Bytes.
        size: Option<u64>,
        /// Permissions of its root.
        mode: Option<u32>,
    },
}

/// Why an option was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OptionRefused {
    /// Not of the form `KEY=VALUE`.
    #[error("{0:?} is not an option: expected KEY=VALUE")]
    Malformed(String),
    /// An unknown key.
    #[error("{0:?} is not an option of the driver local: expected type, device, o, copy or nocopy")]
    Unknown(String),
    /// A type that needs privilege.
    #[error("a volume of type {0:?}: only a privileged user can mount that")]
    Type(String),
    /// A word of `o=` that means nothing here.
    #[error("{word:?} in o= is not an option of a volume of type {kind}: expected {expected}")]
    Word {
        /// The word.
        word: String,
        /// The type.
        kind: &'static str,
        /// All words.
        expected: &'static str,
    },
    /// `size=` on the disk.
    #[error("{0:?}: only a privileged user can limit the size of a directory")]
    Quota(String),
    /// What the others need.
    #[error("a volume of type {0} needs {1}")]
    Lacks(&'static str, &'static str),
    /// `size=`.
    #[error("reading size= of a volume")]
    Size(#[source] SizeRefused),
    /// `mode=`.
    #[error("reading mode= of a volume")]
    Mode(#[source] Box<MountRefused>),
    /// `uid=`, `gid=`.
    #[error("{0:?} is not the number of a user or group")]
    Id(String),
}

impl crate::failure::Explain for OptionRefused {
    fn code(&self) -> &'static str {
        match self {
            Self::Type(_) | Self::Quota(_) => "E_UNSUPPORTED",
            _ => "E_CONFIG",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Type(_) => "have it mounted, by root or as sshfs does by FUSE, and name that directory: \
                              --opt type=none --opt o=bind --opt device=DIR; or use a driver that mounts it"
                .into(),
            Self::Quota(_) => "--opt type=tmpfs --opt o=size=64m is limited, in memory".into(),
            _ => "for example --opt type=none --opt o=bind,ro --opt device=/srv/data, or --opt type=tmpfs --opt o=size=64m"
                .into(),
        })
    }
}

/// One `--opt`.
pub fn parse_option(text: &str) -> Result<(String, String), OptionRefused> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        None if ["copy", "nocopy"].contains(&text) => Ok((text.to_owned(), String::new())),
        _ => Err(OptionRefused::Malformed(text.chars().take(160).collect())),
    }
}

/// What the words of `o=` say.
#[derive(Default)]
struct Words<'o> {
    volume: LocalVolume,
    bind: Option<bool>,
    size: Option<&'o str>,
    mode: Option<&'o str>,
    unknown: Option<&'o str>,
}

impl LocalVolume {
    /// What these options mean.
    pub fn of(options: &BTreeMap<String, String>) -> Result<Self, OptionRefused> {
        if let Some(unknown) =
            options.keys().find(|key| !["type", "device", "o", "copy", "nocopy"].contains(&key.as_str()))
        {
            return Err(OptionRefused::Unknown(unknown.chars().take(80).collect()));
        }
        let get = |key: &str| options.get(key).map(String::as_str).filter(|value| !value.is_empty());
        let words = Words::of(get("o").unwrap_or_default())?;
        let mut volume = words.volume.clone();
        volume.no_copy |= options.contains_key("nocopy");
        let unknown = |kind, expected| match words.unknown {
            Some(word) => Err(OptionRefused::Word { word: word.chars().take(80).collect(), kind, expected }),
            None => Ok(()),
        };
        let is_bind = words.bind.is_some() || get("type") == Some("bind");
        match get("type") {
            Some("tmpfs") => {
                unknown("tmpfs", "size=, mode=, uid=, gid=, ro, rw, exec, noexec, nosuid or nodev")?;
                volume.files = Files::Memory {
                    size: words.size.map(parse_bytes).transpose().map_err(OptionRefused::Size)?,
                    mode: words
                        .mode
                        .map(parse_mode)
                        .transpose()
                        .map_err(|refused| OptionRefused::Mode(Box::new(refused)))?,
                };
                return Ok(volume);
            }
            None | Some("none" | "bind") => {}
            Some(other) => return Err(OptionRefused::Type(other.chars().take(80).collect())),
        }
        if let Some(size) = words.size {
            return Err(OptionRefused::Quota(format!("size={size}")));
        }
        if let Some(mode) = words.mode {
            let expected = "bind, rbind, uid=, gid=, ro, rw, exec, noexec, nosuid or nodev";
            return Err(OptionRefused::Word { word: format!("mode={mode}"), kind: "none", expected });
        }
        unknown("none", "bind, rbind, uid=, gid=, ro, rw, exec, noexec, nosuid, nodev, copy or nocopy")?;
        match (get("device"), is_bind) {
            (None, false) if get("type").is_none() => {}
            (None, _) => return Err(OptionRefused::Lacks("none", "o=bind and device=DIR")),
            (Some(_), false) => return Err(OptionRefused::Lacks("none", "o=bind, to show a directory of the host")),
            (Some(path), true) if path.starts_with('/') => {
                volume.files = Files::Host { path: path.into(), recursive: words.bind != Some(false) };
            }
            (Some(_), true) => {
                return Err(OptionRefused::Lacks("none", "the absolute path of a directory as its device"));
            }
        }
        Ok(volume)
    }
}

impl<'o> Words<'o> {
    fn of(text: &'o str) -> Result<Self, OptionRefused> {
        let mut words = Self::default();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            let id =
                |value: &str| value.parse().map(Some).map_err(|_| OptionRefused::Id(value.chars().take(40).collect()));
            match word.split_once('=').unwrap_or((word, "")) {
                ("bind", "") => words.bind = Some(false),
                ("rbind", "") => words.bind = Some(true),
                ("ro", "") => words.volume.read_only = true,
                ("rw", "") => words.volume.read_only = false,
                ("noexec", "") => words.volume.no_exec = true,
                ("copy", "") => words.volume.no_copy = false,
                ("nocopy", "") => words.volume.no_copy = true,
                // What every mount of a container has anyway.
                ("exec" | "nosuid" | "nodev" | "noquota", "") => {}
                ("size", size) => words.size = Some(size),
                ("mode", mode) => words.mode = Some(mode),
                ("uid", uid) => words.volume.owner.0 = id(uid)?,
                ("gid", gid) => words.volume.owner.1 = id(gid)?,
                _ => words.unknown = Some(word),
            }
        }
        Ok(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(options: &[&str]) -> Result<LocalVolume, OptionRefused> {
        LocalVolume::of(&options.iter().map(|text| parse_option(text).unwrap()).collect())
    }

    #[test]
    fn what_can_be_made() {
        assert_eq!(of(&[]), Ok(LocalVolume::default()));
        assert_eq!(of(&["type=none"]), Err(OptionRefused::Lacks("none", "o=bind and device=DIR")));
        let bind = of(&["type=none", "o=bind,ro", "device=/srv"]).unwrap();
        assert_eq!((bind.files, bind.read_only), (Files::Host { path: "/srv".into(), recursive: false }, true));
        assert_eq!(
            of(&["type=bind", "device=/srv"]).unwrap().files,
            Files::Host { path: "/srv".into(), recursive: true }
        );
        let tmpfs = of(&["type=tmpfs", "device=tmpfs", "o=size=1m,mode=700,noexec"]).unwrap();
        assert_eq!((tmpfs.files, tmpfs.no_exec), (Files::Memory { size: Some(1 << 20), mode: Some(0o700) }, true));
        assert_eq!(of(&["o=uid=5,gid=6"]).unwrap().owner, (Some(5), Some(6)));
        assert!(
            of(&["nocopy"]).unwrap().no_copy && of(&["o=nocopy"]).unwrap().no_copy && !of(&["copy"]).unwrap().no_copy
        );
    }

    #[test]
    fn what_is_refused_names_the_part() {
        for (options, part) in [
            (&["type=nfs", "o=addr=1.2.3.4", "device=:/x"][..], "nfs"),
            (&["o=size=1g"], "size=1g"),
            (&["o=bind"], "device"),
            (&["device=/srv"], "o=bind"),
            (&["o=bind", "device=srv"], "absolute"),
            (&["type=tmpfs", "o=size=x"], "size"),
            (&["type=tmpfs", "o=mode=9"], "mode"),
            (&["type=tmpfs", "o=loop"], "loop"),
            (&["o=uid=root"], "root"),
            (&["colour=red"], "colour"),
        ] {
            let refused = of(options).expect_err(part);
            assert!(refused.to_string().contains(part), "{options:?}: {refused}");
        }
        assert!(parse_option("x").is_err() && parse_option("=x").is_err());
    }
}
