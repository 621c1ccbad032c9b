//! Where an image is, as skopeo and podman write it: `transport:details` (containers-transports(5)).

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::image_selector::ImageSelector;
use super::reference::{Reference, ReferenceSyntax};
use crate::failure::Explain;

/// A place that can hold an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageLocation {
    /// `docker://REFERENCE`: in a registry.
    Registry(Reference),
    /// `containers-storage:IMAGE`: in the store.
    Store(ImageSelector),
    /// A file or a directory.
    Archive(ArchiveLocation),
}

/// A file or a directory that can hold images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveLocation {
    /// What is, or shall be, at the path.
    pub format: ArchiveFormat,
    /// The path, as typed.
    pub path: PathBuf,
    /// Which of its images; absent where it has only one.
    pub member: Option<Member>,
}

/// What images look like in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// `oci:`, a directory in the layout of image-spec "Image Layout".
    OciLayout,
    /// `oci-archive:`, a tar of such a directory.
    OciArchive,
    /// `docker-archive:`, a tar as `docker save` makes it.
    DockerArchive,
    /// `dir:`, a directory with a manifest and blobs under the digits of their digests.
    Directory,
}

/// Which image of an archive is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Member {
    /// The one of this name: `org.opencontainers.image.ref.name` in a layout, a reference in docker's archive.
    Name(String),
    /// The one at this position, counted from 0 (`@N`).
    Position(usize),
}

/// Why a location was refused.
#[derive(Debug, thiserror::Error)]
pub enum LocationSyntax {
    /// Not the name of an image.
    #[error(transparent)]
    Reference(#[from] ReferenceSyntax),
    /// The part before the colon is one that we cannot read or write.
    #[error("images in {0:?} cannot be used here")]
    Transport(String),
    /// Nothing after the colon.
    #[error("{0:?} names no path")]
    NoPath(String),
    /// `@` without a number.
    #[error("{0:?} has no number after `@`")]
    Position(String),
    /// Directories have one image.
    #[error("{0:?}: a `dir:` holds one image, which has no name")]
    DirectoryMember(String),
}

impl Explain for LocationSyntax {
    fn code(&self) -> &'static str {
        match self {
            Self::Reference(error) => error.code(),
            _ => "E_NAME_INVALID",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Reference(error) => error.hint(),
            _ => {
                Some("docker://NAME, oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME], dir:DIR".into())
            }
        }
    }
}

impl ArchiveFormat {
    /// Its name before the colon.
    pub fn transport(self) -> &'static str {
        match self {
            Self::OciLayout => "oci",
            Self::OciArchive => "oci-archive",
            Self::DockerArchive => "docker-archive",
            Self::Directory => "dir",
        }
    }

    fn of_transport(text: &str) -> Option<Self> {
        let all = [Self::OciLayout, Self::OciArchive, Self::DockerArchive, Self::Directory];
        all.into_iter().find(|format| format.transport() == text)
    }
}

/// Transports of other tools that lead nowhere here.
const FOREIGN: [&str; 5] = ["docker-daemon", "atomic", "ostree", "sif", "tarball"];

impl FromStr for ImageLocation {
    type Err = LocationSyntax;

    /// Text without a transport is a reference.
    fn from_str(text: &str) -> Result<Self, LocationSyntax> {
        let Some((transport, rest)) = text.split_once(':') else { return Ok(Self::Registry(text.parse()?)) };
        if let Some(format) = ArchiveFormat::of_transport(transport) {
            return ArchiveLocation::parse(format, rest, text).map(Self::Archive);
        }
        match transport {
            "containers-storage" => Ok(Self::Store(rest.parse()?)),
            other if FOREIGN.contains(&other) => Err(LocationSyntax::Transport(format!("{other}:"))),
            // `docker://`, or a name with a tag or a port.
            _ => Ok(Self::Registry(text.parse()?)),
        }
    }
}

impl ArchiveLocation {
    fn parse(format: ArchiveFormat, rest: &str, text: &str) -> Result<Self, LocationSyntax> {
        // The path ends at the first colon: a name may have several.
        let (path, member) = match rest.split_once(':') {
            Some((path, member)) => (path, Some(member).filter(|member| !member.is_empty())),
            None => (rest, None),
        };
        if path.is_empty() {
            return Err(LocationSyntax::NoPath(text.into()));
        }
        if format == ArchiveFormat::Directory && member.is_some() {
            return Err(LocationSyntax::DirectoryMember(text.into()));
        }
        let member = match member.map(|member| (member.strip_prefix('@'), member)) {
            None => None,
            Some((Some(digits), _)) => {
                Some(Member::Position(digits.parse().map_err(|_| LocationSyntax::Position(text.into()))?))
            }
            Some((None, name)) => Some(Member::Name(name.into())),
        };
        Ok(Self { format, path: path.into(), member })
    }
}

impl fmt::Display for ArchiveLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.format.transport(), self.path.display())?;
        match &self.member {
            None => Ok(()),
            Some(Member::Name(name)) => write!(f, ":{name}"),
            Some(Member::Position(position)) => write!(f, ":@{position}"),
        }
    }
}

impl fmt::Display for ImageLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => write!(f, "docker://{reference}"),
            Self::Store(selector) => write!(f, "containers-storage:{selector}"),
            Self::Archive(location) => fmt::Display::fmt(location, f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, String> {
        text.parse::<ImageLocation>().map(|location| location.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn every_transport_is_read() {
        let cases = [
            ("debian", "docker://docker.io/library/debian:latest"),
            ("debian:12", "docker://docker.io/library/debian:12"),
            ("docker://quay.io/a/b:c", "docker://quay.io/a/b:c"),
            ("localhost:5000/a:1", "docker://localhost:5000/a:1"),
            ("oci:/tmp/x", "oci:/tmp/x"),
            ("oci:x:latest", "oci:x:latest"),
            ("oci-archive:a.tar:v1", "oci-archive:a.tar:v1"),
            ("docker-archive:a.tar:quay.io/a/b:c", "docker-archive:a.tar:quay.io/a/b:c"),
            ("docker-archive:a.tar:@2", "docker-archive:a.tar:@2"),
            ("dir:/tmp/d", "dir:/tmp/d"),
            ("containers-storage:debian", "containers-storage:docker.io/library/debian:latest"),
        ];
        for (text, expected) in cases {
            assert_eq!(shown(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_leads_nowhere_is_refused() {
        let cases = [
            ("docker-daemon:debian:12", "docker-daemon:"),
            ("oci:", "names no path"),
            ("oci::tag", "names no path"),
            ("docker-archive:a:@x", "no number"),
            ("dir:a:b", "one image"),
            ("", "empty"),
        ];
        for (text, why) in cases {
            let refused = shown(text).expect_err(text);
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }
}
