//! Why an archive is refused, or cannot be read.

use std::io;
use std::path::PathBuf;

use crate::failure::Explain;
use crate::image::decompress::DecompressError;
use crate::image::fetch::FetchCause;
use crate::image::import::Taking;
use crate::oci::digest::Digest;
use crate::oci::manifest::DocumentRefused;
use crate::oci::strict_json::JsonRefused;
use crate::state::record::{io_code, io_hint};
use crate::store::unpack::error::UnpackError;

/// Images could not be read from an archive.
#[derive(Debug, thiserror::Error)]
#[error("reading images from {origin}")]
pub struct ReadError {
    pub(super) origin: String,
    #[source]
    pub(super) cause: Box<FetchCause>,
}

impl Explain for ReadError {
    fn code(&self) -> &'static str {
        self.cause.code()
    }

    fn hint(&self) -> Option<String> {
        self.cause.hint()
    }
}

/// What is wrong with an archive of images. Names in it are the archive's.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A file operation failed.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The tar itself.
    #[error("reading the archive's table of contents")]
    Tar(#[source] UnpackError),
    /// It is compressed, and cannot be decompressed.
    #[error(transparent)]
    Compression(DecompressError<Taking>),
    /// It would become too large.
    #[error("the archive is larger than {limit} bytes when it is decompressed")]
    Bomb {
        /// How large it may become.
        limit: u64,
    },
    /// None of the files that say what an archive is.
    #[error("it is neither an OCI layout, nor an archive of docker's, nor a directory that `dir:` wrote")]
    Unknown,
    /// It names something that it does not have.
    #[error("the archive has no {0:?}")]
    Missing(String),
    /// What has to be a file is something else.
    #[error("{0:?} is not a regular file")]
    NotAFile(String),
    /// A link that leads out of the archive, or in circles.
    #[error("the link {0:?} leads to nothing in the archive")]
    Link(String),
    /// Two files of one name.
    #[error("the archive has two files of the name {0:?}")]
    Twice(String),
    /// Names that together take too much memory, or too many of them.
    #[error("the archive has more than {0} files")]
    TooManyFiles(usize),
    /// Larger than what is read of its kind.
    #[error("{name:?} has more than the {limit} bytes that are allowed")]
    TooLarge {
        /// Which.
        name: String,
        /// Bytes allowed.
        limit: u64,
    },
    /// Its size is not that of its descriptor.
    #[error("{name:?} has {found} bytes and not {expected}, as it should have")]
    Size {
        /// Which.
        name: String,
        /// By the descriptor.
        expected: u64,
        /// In the archive.
        found: u64,
    },
    /// Its digest is not that of its descriptor.
    #[error("{name:?} has the digest {found}")]
    Digest {
        /// Which.
        name: String,
        /// What it really is.
        found: Digest,
    },
    /// Not JSON, or of another shape.
    #[error("refusing {name:?}")]
    Json {
        /// Which.
        name: String,
        /// Why.
        #[source]
        cause: JsonRefused,
    },
    /// Not a manifest and not an index.
    #[error("refusing {name:?}")]
    Document {
        /// Which.
        name: String,
        /// Why.
        #[source]
        cause: DocumentRefused,
    },
    /// A layout of another version.
    #[error("the layout is of version {0:?}; only 1.0.0 is known")]
    LayoutVersion(String),
    /// There is no such image in it.
    #[error("there is no image {wanted} in the archive, only {}", available.join(", "))]
    NoSuchImage {
        /// What was asked for.
        wanted: String,
        /// What there is.
        available: Vec<String>,
    },
    /// One image is wanted, and it has several.
    #[error("there are {} images in the archive: {}", .0.len(), .0.join(", "))]
    Several(Vec<String>),
    /// It has nothing.
    #[error("there is no image in the archive")]
    Empty,
}

impl ArchiveError {
    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Self {
        Self::Io { action, path: path.into(), source: source.into() }
    }
}

impl Explain for ArchiveError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io { source, .. } => io_code(source),
            Self::Tar(UnpackError::Channel { source, .. }) => io_code(source),
            Self::Compression(cause) => cause.code(),
            Self::Bomb { .. } | Self::TooLarge { .. } | Self::TooManyFiles(_) => "E_TOO_LARGE",
            Self::Size { .. } => "E_SIZE_MISMATCH",
            Self::Digest { .. } => "E_DIGEST_MISMATCH",
            Self::Document { cause, .. } => cause.code(),
            Self::NoSuchImage { .. } | Self::Empty => "E_NOTFOUND",
            Self::Several(_) => "E_NAME_INVALID",
            _ => "E_ARCHIVE",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source, .. } => io_hint(source),
            Self::Compression(cause) => match cause {
                DecompressError::Receiver(_) | DecompressError::Unknown(_) => cause.hint(),
                _ => Some("the archive is damaged or cut off: copy it again".into()),
            },
            // The first header: it never was a tar.
            Self::Tar(UnpackError::Format { offset: 0, .. }) => {
                Some("an archive of images is expected, as `coracle save` writes it".into())
            }
            Self::Tar(_) => Some("the archive is damaged or cut off: copy it again".into()),
            Self::Unknown => Some("a tar of a container's files becomes an image by `coracle import`".into()),
            Self::Several(_) => Some("name one, as in oci-archive:FILE:NAME or docker-archive:FILE:@0".into()),
            _ => None,
        }
    }
}
