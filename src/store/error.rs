//! How the store fails.

use std::io;
use std::path::{Path, PathBuf};

use crate::failure::Explain;
use crate::oci::digest::{DiffId, Digest};
use crate::state::lock::LockError;
use crate::state::record::{RecordError, io_code, io_hint};
use crate::store::unpack::error::JailReport;

/// What the store could not do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
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
    /// The data root is not ours.
    #[error("opening the store {}: it is not a directory of user {wanted} (its owner is {found})", root.display())]
    ForeignRoot {
        /// The data root.
        root: PathBuf,
        /// Its owner.
        found: u32,
        /// We.
        wanted: u32,
    },
    /// The data root lets others in.
    #[error("opening the store {}: its mode {mode:04o} lets other users in", root.display())]
    OpenRoot {
        /// The data root.
        root: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A record could not be read or written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A lock could not be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// There is no such blob.
    #[error("blob {0} is not in the store")]
    NoBlob(Digest),
    /// There is no such layer.
    #[error("layer {0} is not in the store")]
    NoLayer(DiffId),
    /// There is no such image.
    #[error("image {0} is not in the store")]
    NoImage(String),
    /// Several images begin with these digits.
    #[error("{prefix:?} is the beginning of {count} image ids")]
    AmbiguousId {
        /// What was asked for.
        prefix: String,
        /// How many there are.
        count: usize,
    },
    /// A blob is larger than what is allowed for its kind.
    #[error("reading blob {digest}: it has more than the {limit} bytes that are allowed")]
    BlobTooLarge {
        /// The blob.
        digest: Digest,
        /// Bytes allowed.
        limit: u64,
    },
    /// Bytes in the store are not those that were put there.
    #[error("blob {0} is damaged: its bytes have another digest")]
    DamagedBlob(Digest),
    /// The bytes that came are not those that were announced.
    #[error("storing {expected}: the bytes have the digest {found}")]
    DigestMismatch {
        /// What was announced.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// Too few or too many bytes came.
    #[error("storing {digest}: {found} bytes came where {expected} were announced")]
    SizeMismatch {
        /// What was being stored.
        digest: Digest,
        /// Bytes announced.
        expected: u64,
        /// Bytes that came, or at least so many.
        found: u64,
    },
    /// The process that unpacks could not be started.
    #[error("starting the process that unpacks layers")]
    StartJail(#[source] io::Error),
    /// The layer was refused, or could not be unpacked.
    #[error("unpacking layer {}", diff_id.short())]
    Unpack {
        /// The layer.
        diff_id: DiffId,
        /// What the unpacking process says.
        source: JailReport,
    },
    /// The process that unpacks has ended without a word.
    #[error("unpacking layer {}: the process that does it has died ({how})", diff_id.short())]
    JailDied {
        /// The layer.
        diff_id: DiffId,
        /// How it ended.
        how: String,
    },
    /// The process that unpacks was killed by its seccomp filter.
    #[error("unpacking layer {}: the process that does it was killed for a system call that no layer needs", diff_id.short())]
    JailViolated {
        /// The layer.
        diff_id: DiffId,
    },
}

impl StoreError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.into(), source }
    }

    /// This error as one of `Write`; [`StoreError::from_write`] gets it back.
    pub(crate) fn into_write(self) -> io::Error {
        io::Error::other(self)
    }

    /// What a write to a [`BlobWriter`](crate::store::blobs::BlobWriter) or a
    /// [`LayerIngest`](crate::store::layers::LayerIngest) failed of; the error itself if it comes from elsewhere.
    pub fn from_write(error: io::Error) -> Result<Self, io::Error> {
        error.downcast::<Self>()
    }
}

impl Explain for StoreError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io { source, .. } => io_code(source),
            Self::ForeignRoot { .. } | Self::OpenRoot { .. } => "E_DIR",
            Self::Record(error) => error.code(),
            Self::Lock(error) => error.code(),
            Self::NoBlob(_) | Self::NoLayer(_) | Self::NoImage(_) => "E_NOTFOUND",
            Self::AmbiguousId { .. } => "E_NAME_INVALID",
            Self::BlobTooLarge { .. } => "E_TOO_LARGE",
            Self::DamagedBlob(_) => "E_STORE_CORRUPT",
            Self::DigestMismatch { .. } => "E_DIGEST_MISMATCH",
            Self::SizeMismatch { .. } => "E_SIZE_MISMATCH",
            Self::StartJail(source) => io_code(source),
            Self::Unpack { source, .. } => source.code,
            Self::JailDied { .. } | Self::JailViolated { .. } => "E_HELPER_DIED",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source, .. } | Self::StartJail(source) => io_hint(source),
            Self::ForeignRoot { .. } => Some("choose a directory of your own with `--root` or XDG_DATA_HOME".into()),
            Self::OpenRoot { root, .. } => Some(format!("run `chmod 700 {}`", root.display())),
            Self::Record(error) => error.hint(),
            Self::Lock(error) => error.hint(),
            Self::AmbiguousId { .. } => Some("give more digits".into()),
            Self::NoImage(_) => Some("coracle images lists those that there are".into()),
            Self::NoBlob(_) | Self::DamagedBlob(_) => Some("pull the image again".into()),
            Self::Unpack { source, .. } => source.hint(),
            Self::JailViolated { .. } => {
                Some("do not trust this image: its layer has made the program do what it never does by itself".into())
            }
            _ => None,
        }
    }
}
