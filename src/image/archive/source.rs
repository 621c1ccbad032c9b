//! One image of an archive, as a source. Every byte of documents and configurations is verified here, of layers by who
//! receives them.

use std::collections::HashMap;

use super::error::ArchiveError;
use super::files::{Content, Files};
use super::{directory, layout};
use crate::image::fetch::FetchCause;
use crate::image::source::{Receive, Source};
use crate::oci::digest::Digest;
use crate::oci::manifest::{Descriptor, Document, Fetched, MAX_CONFIG, MAX_DOCUMENT};

/// Under which names the archive has what a digest means.
#[derive(Debug)]
pub(super) enum Place {
    /// A layout.
    Layout,
    /// A `dir:`.
    Directory,
    /// These names.
    Listed(HashMap<Digest, String>),
}

/// One image of an archive.
#[derive(Debug)]
pub struct ArchiveSource<'a> {
    pub(super) files: &'a Files,
    pub(super) top: Fetched,
    pub(super) place: Place,
}

impl ArchiveSource<'_> {
    /// The platform that the image is for, where it is for one only: that of its configuration.
    pub fn only_platform(&self) -> Result<Option<crate::oci::platform::Platform>, FetchCause> {
        let Document::Manifest(manifest) = &self.top.document else { return Ok(None) };
        let (bytes, digest) = (self.config(&manifest.config)?, manifest.config.digest.clone());
        let config = crate::oci::image_config::ImageConfig::parse(&bytes);
        Ok(config.map_err(|cause| FetchCause::Config { digest, cause })?.platform.normalized())
    }

    /// The image's manifest, or its index.
    pub fn document_at_top(&self) -> &Document {
        &self.top.document
    }

    /// Whether the archive has the document that an index describes.
    pub fn has(&self, descriptor: &Descriptor) -> Result<bool, ArchiveError> {
        let name = self.document_name(&descriptor.digest)?;
        Ok(self.files.find(&name)?.is_some())
    }

    fn name(&self, digest: &Digest) -> Result<String, ArchiveError> {
        match &self.place {
            Place::Layout => Ok(layout::blob(digest)),
            Place::Directory => Ok(directory::blob(digest)),
            Place::Listed(names) => names.get(digest).cloned().ok_or_else(|| ArchiveError::Missing(digest.to_string())),
        }
    }

    fn document_name(&self, digest: &Digest) -> Result<String, ArchiveError> {
        match &self.place {
            Place::Directory => Ok(directory::document(digest)),
            _ => self.name(digest),
        }
    }

    fn content(&self, descriptor: &Descriptor) -> Result<Content, ArchiveError> {
        described(self.files, self.name(&descriptor.digest)?, descriptor.size)
    }
}

/// The content of this name, if it has the size that it should have.
fn described(files: &Files, name: String, expected: u64) -> Result<Content, ArchiveError> {
    let content = files.get(&name)?;
    match content.size() {
        found if found == expected => Ok(content),
        found => Err(ArchiveError::Size { name, expected, found }),
    }
}

fn verified(bytes: Vec<u8>, name: &str, expected: &Digest) -> Result<Vec<u8>, ArchiveError> {
    let mut hasher = expected.algorithm().hasher();
    hasher.update(&bytes);
    match hasher.finish() {
        found if found == *expected => Ok(bytes),
        found => Err(ArchiveError::Digest { name: name.into(), found }),
    }
}

/// The document that a descriptor describes, in the file `name`.
pub(super) fn document(files: &Files, name: String, descriptor: &Descriptor) -> Result<Fetched, ArchiveError> {
    let bytes = described(files, name.clone(), descriptor.size)?.read(MAX_DOCUMENT)?;
    let bytes = verified(bytes, &name, &descriptor.digest)?;
    let parsed = Document::parse(&bytes, Some(&descriptor.media_type));
    let document = parsed.map_err(|cause| ArchiveError::Document { name, cause })?;
    Ok(Fetched { digest: descriptor.digest.clone(), bytes, document })
}

impl Source for ArchiveSource<'_> {
    fn top(&self) -> Result<Fetched, FetchCause> {
        Ok(self.top.clone())
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Fetched, FetchCause> {
        Ok(document(self.files, self.document_name(&descriptor.digest)?, descriptor)?)
    }

    fn config(&self, descriptor: &Descriptor) -> Result<Vec<u8>, FetchCause> {
        let bytes = self.content(descriptor)?.read(MAX_CONFIG)?;
        Ok(verified(bytes, &self.name(&descriptor.digest)?, &descriptor.digest)?)
    }

    fn blob(&self, descriptor: &Descriptor, from: u64, receive: Receive<'_>) -> Result<(), FetchCause> {
        self.content(descriptor)?.pass_on(from, receive)
    }
}
