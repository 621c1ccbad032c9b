//! An image made again from what is in the store: from its manifest down, as if it came from elsewhere.

use std::io::Read;

use crate::image::fetch::{self, FetchCause};
use crate::image::progress::Silent;
use crate::image::source::{Receive, Source};
use crate::name::reference::Reference;
use crate::oci::digest::{Digest, ImageId};
use crate::oci::manifest::{Descriptor, Document, Fetched, MAX_CONFIG, MAX_DOCUMENT};
use crate::oci::platform::Platform;
use crate::store::{Store, StoreError};

/// How much of a blob is passed on at once, in bytes.
const PIECE: usize = 128 << 10;

/// The store's own blobs.
struct OwnBlobs<'a> {
    store: &'a Store,
    top: &'a Digest,
}

impl OwnBlobs<'_> {
    fn read(&self, digest: &Digest, declared: Option<&str>) -> Result<Fetched, FetchCause> {
        let bytes = self.store.blobs().read(digest, MAX_DOCUMENT)?;
        let document = Document::parse(&bytes, declared).map_err(|_| StoreError::DamagedBlob(digest.clone()))?;
        Ok(Fetched { digest: digest.clone(), bytes, document })
    }
}

impl Source for OwnBlobs<'_> {
    fn top(&self) -> Result<Fetched, FetchCause> {
        self.read(self.top, None)
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Fetched, FetchCause> {
        self.read(&descriptor.digest, Some(&descriptor.media_type))
    }

    fn config(&self, descriptor: &Descriptor) -> Result<Vec<u8>, FetchCause> {
        Ok(self.store.blobs().read(&descriptor.digest, MAX_CONFIG)?)
    }

    fn blob(&self, descriptor: &Descriptor, from: u64, receive: Receive<'_>) -> Result<(), FetchCause> {
        use std::io::{Seek, SeekFrom};
        let digest = &descriptor.digest;
        let mut file = self.store.blobs().open(digest)?;
        let failed = |error| StoreError::io("reading the blob", &self.store.layout().blob(digest), error);
        file.seek(SeekFrom::Start(from)).map_err(failed)?;
        let mut piece = vec![0; PIECE];
        loop {
            match file.read(&mut piece).map_err(failed)? {
                0 => return Ok(()),
                length => receive(&piece[..length])?,
            }
        }
    }
}

/// Makes the image's record again, with what it lacks of layers, and the references to it, from the manifest or index that
/// `top` names. Whether it is the image `wanted` that this leads to.
pub fn image(store: &Store, top: &Digest, wanted: &ImageId, references: &[Reference]) -> Result<bool, FetchCause> {
    let own = OwnBlobs { store, top };
    let platform = platform_of(&own, wanted);
    let report = fetch::execute(store, &own, platform.as_ref(), references, &Silent)?;
    Ok(report.image == *wanted)
}

/// What the image was built for, which its configuration tells.
fn platform_of(own: &OwnBlobs<'_>, wanted: &ImageId) -> Option<Platform> {
    let bytes = own.store.blobs().read(wanted, MAX_CONFIG).ok()?;
    crate::oci::image_config::ImageConfig::parse(&bytes).ok()?.platform.normalized()
}
