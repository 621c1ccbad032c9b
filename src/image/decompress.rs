//! A layer's blob to its tar: gzip (several members), zstd (several frames), or nothing to do.

use std::io::{self, BufRead, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

use crate::failure::Explain;
use crate::oci::media_type::Compression;

/// Base-2 logarithm of the largest zstd window that is accepted: 128 MiB, what `zstd` itself accepts without `--long`.
const ZSTD_WINDOW_LOG: u32 = 27;
/// How much is passed on at once, in bytes.
const PIECE: usize = 128 << 10;

/// Why a blob could not be decompressed, or its content not be passed on.
#[derive(Debug, thiserror::Error)]
pub enum DecompressError<E: std::error::Error + 'static> {
    /// The media type says something else than the first bytes.
    #[error("the layer is declared as {} but begins like {}", declared.as_str(), found.as_str())]
    Mislabelled {
        /// By its media type.
        declared: Compression,
        /// By its first bytes.
        found: Compression,
    },
    /// It is compressed by a program that we have no counterpart of.
    #[error("decompressing the archive: it is compressed with {0}, which coracle does not read")]
    Unknown(&'static str),
    /// It needs more memory than it may have.
    #[error("the layer needs a zstd window of more than {} MiB to be decompressed", 1_u32 << (ZSTD_WINDOW_LOG - 20))]
    Window,
    /// It is not what its first bytes promise.
    #[error("decompressing")]
    Malformed(#[source] io::Error),
    /// Whoever takes the tar does not want it.
    #[error(transparent)]
    Receiver(E),
}

impl<E: Explain> Explain for DecompressError<E> {
    fn code(&self) -> &'static str {
        match self {
            Self::Mislabelled { .. } | Self::Malformed(_) | Self::Unknown(_) => "E_COMPRESSION",
            Self::Window => "E_LAYER_LIMIT",
            Self::Receiver(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Receiver(error) => error.hint(),
            Self::Unknown(name) => Some(format!("decompress it before: {name} -dc FILE | coracle ... -")),
            Self::Window => Some("have the layer compressed again without zstd's `--long`".into()),
            Self::Mislabelled { .. } | Self::Malformed(_) => {
                Some("the image is broken as it was pushed: have it built and pushed again".into())
            }
        }
    }
}

/// Passes what `source` decompresses to on to `receive`, piece by piece. `compression` must be what it really is.
pub fn decompress<E: std::error::Error>(
    mut source: impl BufRead,
    compression: Compression,
    receive: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), DecompressError<E>> {
    let mut first = Vec::new();
    source.by_ref().take(4).read_to_end(&mut first).map_err(DecompressError::Malformed)?;
    let found = Compression::sniff(&first);
    if found != compression {
        return Err(DecompressError::Mislabelled { declared: compression, found });
    }
    let source = Cursor::new(first).chain(source);
    match compression {
        Compression::None => pass_on(source, receive),
        Compression::Gzip => pass_on(MultiGzDecoder::new(source), receive),
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(source).map_err(DecompressError::Malformed)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(DecompressError::Malformed)?;
            pass_on(decoder, receive)
        }
    }
}

/// As [`decompress`], for an archive of the user's that says itself how it is compressed.
pub fn decompress_any<E: std::error::Error>(
    mut source: impl BufRead,
    receive: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), DecompressError<E>> {
    let mut first = Vec::new();
    source.by_ref().take(6).read_to_end(&mut first).map_err(DecompressError::Malformed)?;
    let unknown = match &first[..] {
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Some("xz"),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Some("bzip2"),
        _ => None,
    };
    if let Some(name) = unknown {
        return Err(DecompressError::Unknown(name));
    }
    let compression = Compression::sniff(&first);
    decompress(Cursor::new(first).chain(source), compression, receive)
}

fn pass_on<E: std::error::Error>(
    mut decoder: impl Read,
    mut receive: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), DecompressError<E>> {
    let mut piece = vec![0; PIECE];
    loop {
        match decoder.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(length) => receive(&piece[..length]).map_err(DecompressError::Receiver)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // libzstd's text for ZSTD_error_frameParameter_windowTooLarge; its number does not get through.
            Err(error) if error.to_string().contains("too much memory") => return Err(DecompressError::Window),
            Err(error) => return Err(DecompressError::Malformed(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::io::{BufReader, Write};

    fn outcome(blob: &[u8], compression: Compression) -> Result<Vec<u8>, DecompressError<Infallible>> {
        let mut tar = Vec::new();
        // One byte at a time: nothing may depend on how the blob is cut.
        let source = BufReader::with_capacity(1, blob);
        decompress(source, compression, |piece| {
            tar.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(tar)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8], window_log: u32) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(window_log).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn all_parts_of_a_blob_are_decompressed() {
        let tar = vec![7; 300_000];
        assert_eq!(outcome(&tar, Compression::None).unwrap(), tar);
        assert_eq!(outcome(&[gzip(b"ab"), gzip(b""), gzip(b"c")].concat(), Compression::Gzip).unwrap(), b"abc");
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9];
        let frames = [&skippable[..], &zstd(b"ab", 10), &skippable, &zstd(b"c", 27)].concat();
        assert_eq!(outcome(&frames, Compression::Zstd).unwrap(), b"abc");
        assert_eq!(outcome(b"", Compression::None).unwrap(), b"");
    }

    #[test]
    fn content_must_be_what_the_media_type_says() {
        for (blob, declared) in [
            (gzip(b"x"), Compression::None),
            (gzip(b"x"), Compression::Zstd),
            (zstd(b"x", 10), Compression::Gzip),
            (b"plain".to_vec(), Compression::Gzip),
            (Vec::new(), Compression::Gzip),
            (vec![0x1f], Compression::Gzip),
        ] {
            let error = outcome(&blob, declared).unwrap_err();
            assert!(matches!(error, DecompressError::Mislabelled { .. }), "{error}");
        }
    }

    #[test]
    fn broken_content_is_refused() {
        let whole = [gzip(&[1; 1000]), zstd(&[1; 1000], 10)];
        for (blob, compression) in whole.iter().zip([Compression::Gzip, Compression::Zstd]) {
            let cut = outcome(&blob[..blob.len() - 1], compression).unwrap_err();
            assert!(matches!(cut, DecompressError::Malformed(_)), "{cut}");
            let garbage = outcome(&[blob, &b"garbage"[..]].concat(), compression).unwrap_err();
            assert!(matches!(garbage, DecompressError::Malformed(_)), "{garbage}");
        }
    }

    #[test]
    fn a_window_that_needs_too_much_memory_is_refused() {
        // A frame header that asks for 2 GiB: descriptor without content size, window descriptor of exponent 21.
        let header = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0x01, 0x00, 0x00];
        let error = outcome(&header, Compression::Zstd).unwrap_err();
        assert!(matches!(error, DecompressError::Window), "{error}");
        assert!(error.to_string().contains("128 MiB"));
    }
}
