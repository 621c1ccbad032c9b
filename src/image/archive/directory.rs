//! Directories as `dir:` writes them: `version`, `manifest.json`, and blobs under the digits of their digests
//! (containers-transports(5)).

use crate::oci::digest::{Algorithm, Digest};

/// The file that says that a directory is one.
pub(super) const MARK: &str = "version";
/// What it says.
pub(super) const VERSION: &str = "Directory Transport Version: 1.1\n";
/// The file with the manifest, or the index.
pub(super) const TOP: &str = "manifest.json";

/// The name of a blob.
pub(super) fn blob(digest: &Digest) -> String {
    match digest.algorithm() {
        Algorithm::Sha256 => digest.hex().to_owned(),
        other => format!("{}-{}", other.as_str(), digest.hex()),
    }
}

/// The name of a manifest that an index describes.
pub(super) fn document(digest: &Digest) -> String {
    format!("{}.manifest.json", blob(digest))
}
