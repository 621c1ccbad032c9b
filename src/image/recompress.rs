//! A layer's blob, compressed in another way.

use std::fs::File;
use std::io::{self, BufReader, Write};

use flate2::Compression as Level;
use flate2::write::GzEncoder;

use super::decompress::decompress;
use super::import::Taking;
use crate::failure::Failure;
use crate::oci::digest::{Algorithm, Digest, Hasher};
use crate::oci::media_type::Compression;
use crate::state::record::failure;
use crate::store::Store;

/// A blob of the store, compressed by `to` instead of `from`: its digest, its size, and a file without a name that has it.
/// The same blob makes the same bytes.
pub fn blob(
    store: &Store,
    digest: &Digest,
    from: Compression,
    to: Compression,
) -> Result<(Digest, u64, File), Failure> {
    let source = BufReader::with_capacity(128 << 10, store.blobs().open(digest)?);
    let counted = Counted { file: store.unnamed_file()?, hasher: Algorithm::Sha256.hasher(), written: 0 };
    let failed = |cause: &io::Error| failure("compressing a layer in another way", cause);
    let counted = match to {
        Compression::None => {
            let mut counted = counted;
            decompress(source, from, |piece| counted.write_all(piece).map_err(Taking))?;
            counted
        }
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(counted, Level::default());
            decompress(source, from, |piece| encoder.write_all(piece).map_err(Taking))?;
            encoder.finish().map_err(|cause| failed(&cause))?
        }
        Compression::Zstd => {
            let mut encoder = zstd::Encoder::new(counted, 0).map_err(|cause| failed(&cause))?;
            decompress(source, from, |piece| encoder.write_all(piece).map_err(Taking))?;
            encoder.finish().map_err(|cause| failed(&cause))?
        }
    };
    Ok((counted.hasher.finish(), counted.written, counted.file))
}

struct Counted {
    file: File,
    hasher: Hasher,
    written: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
