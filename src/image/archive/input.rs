//! Where an archive comes from: a file, a directory or a stream. What is compressed, or cannot be read twice, is first
//! written to a file without a name in the store.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, Write};
use std::path::Path;

use super::error::ArchiveError;
use super::files::Files;
use crate::image::decompress::{DecompressError, decompress_any};
use crate::image::fetch::FetchCause;
use crate::image::import::Taking;
use crate::oci::media_type::Compression;
use crate::store::Store;
use crate::store::unpack::limits::Limits;

/// The files of the archive or directory at `path`.
pub(super) fn at_path(store: &Store, path: &Path) -> Result<Files, FetchCause> {
    let failed = |error| ArchiveError::io("opening", path, error);
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Ok(Files::of_directory(path)?);
    }
    of_file(store, file)
}

/// The files of the archive that `file` has open: an archive, or a stream.
pub(super) fn of_file(store: &Store, mut file: File) -> Result<Files, FetchCause> {
    let failed = |error: io::Error| ArchiveError::io("reading", "the archive", error);
    let metadata = file.metadata().map_err(failed)?;
    let is_whole = metadata.is_file() && file.stream_position().map_err(failed)? == 0;
    let mut reader = BufReader::with_capacity(256 << 10, &file);
    let compression = Compression::sniff(reader.fill_buf().map_err(failed)?);
    if is_whole && compression == Compression::None && !is_foreign(reader.buffer()) {
        drop(reader);
        file.rewind().map_err(failed)?;
        return Ok(Files::of_tar(file)?);
    }
    let limit = match (compression, metadata.is_file()) {
        (Compression::None, _) => u64::MAX,
        (_, true) => Limits::for_compressed(metadata.len()).bytes,
        (_, false) => Limits::default().bytes,
    };
    Ok(Files::of_tar(spool(store, reader, limit)?)?)
}

/// Whether `decompress_any` knows the name of a compression that we do not read.
fn is_foreign(first: &[u8]) -> bool {
    first.starts_with(b"\xfd7zXZ\0") || first.starts_with(b"BZh")
}

/// What `reader` decompresses to, at its beginning.
fn spool(store: &Store, reader: impl BufRead, limit: u64) -> Result<File, FetchCause> {
    let mut file = store.unnamed_file()?;
    let mut written = 0_u64;
    let spooled = decompress_any(reader, |piece| {
        written += piece.len() as u64;
        if written > limit {
            return Err(Taking(io::Error::from_raw_os_error(libc::E2BIG)));
        }
        file.write_all(piece).map_err(Taking)
    });
    match spooled {
        Err(DecompressError::Receiver(_)) if written > limit => Err(ArchiveError::Bomb { limit }.into()),
        Err(DecompressError::Receiver(Taking(error))) => {
            Err(ArchiveError::io("keeping the archive in", store.layout().tmp(), error).into())
        }
        Err(cause) => Err(ArchiveError::Compression(cause).into()),
        Ok(()) => {
            file.rewind().map_err(|error| ArchiveError::io("reading", "the archive", error))?;
            Ok(file)
        }
    }
}
