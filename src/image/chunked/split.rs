//! Contents into chunks whose borders depend on the bytes around them alone, so that two versions of a file have most chunks in
//! common; long runs of zeroes are chunks of their own. The borders are those of containers/storage (but for a few right before
//! such runs), whose clients look for chunks that they have already: bup's rolling checksum, which gives 64 KiB on average.

use crate::oci::digest::{Algorithm, Digest};

/// Shortest run of zeroes that is a chunk.
const HOLE: usize = 1 << 10;
/// Largest chunk of other bytes: not the checksum's doing, but it has to be in memory.
const MOST: usize = 4 << 20;
/// Bytes that a border depends on.
const WINDOW: usize = 64;
/// Added to each byte, so that zeroes count.
const CHARACTER: u32 = 31;
/// A border is where the checksum ends in so many ones.
const BORDER: u32 = (1 << 16) - 1;
/// Zeroes that are hashed and written at once.
pub(super) static ZEROES: [u8; 64 << 10] = [0; 64 << 10];

/// A part of a file.
pub(super) enum Chunk<'a> {
    /// These bytes.
    Data(&'a [u8]),
    /// So many zeroes.
    Hole(u64),
}

impl Chunk<'_> {
    /// Bytes.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Data(bytes) => bytes.len() as u64,
            Self::Hole(length) => *length,
        }
    }

    /// Whether it is zeroes.
    pub(super) fn is_hole(&self) -> bool {
        matches!(self, Self::Hole(_))
    }

    /// Its bytes, piece by piece.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let (data, mut zeroes) = match self {
            Self::Data(bytes) => (Some(*bytes), 0),
            Self::Hole(length) => (None, *length),
        };
        let zeroes = std::iter::from_fn(move || {
            let length = usize::try_from(zeroes).map_or(ZEROES.len(), |left| left.min(ZEROES.len()));
            zeroes -= length as u64;
            (length > 0).then(|| &ZEROES[..length])
        });
        data.into_iter().chain(zeroes)
    }

    /// The digest of its bytes.
    pub(super) fn digest(&self) -> Digest {
        let mut hasher = Algorithm::Sha256.hasher();
        self.pieces().for_each(|piece| hasher.update(piece));
        hasher.finish()
    }
}

/// Splits the contents of one file.
#[derive(Default)]
pub(super) struct Splitter {
    sum: RollingSum,
    /// The chunk that has begun.
    data: Vec<u8>,
    /// How many zeroes it ends in.
    zeroes: usize,
    /// A run of zeroes that has begun instead.
    hole: u64,
}

impl Splitter {
    /// Takes the next bytes and emits the chunks that they complete.
    pub(super) fn take<E>(&mut self, bytes: &[u8], mut emit: impl FnMut(Chunk<'_>) -> Result<(), E>) -> Result<(), E> {
        // What is before is in `data`, if it is in no hole.
        let mut from = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            if self.hole > 0 {
                if byte == 0 {
                    self.hole += 1;
                    continue;
                }
                emit(Chunk::Hole(std::mem::take(&mut self.hole)))?;
                from = at;
            }
            self.zeroes = if byte == 0 { self.zeroes + 1 } else { 0 };
            let is_border = self.sum.roll(byte);
            let is_hole = self.zeroes == HOLE;
            if is_border || is_hole || self.data.len() + (at + 1 - from) == MOST {
                self.data.extend_from_slice(&bytes[from..=at]);
                from = at + 1;
                let end = self.data.len() - if is_hole { HOLE } else { 0 };
                if end > 0 {
                    emit(Chunk::Data(&self.data[..end]))?;
                }
                self.data.clear();
                self.zeroes = 0;
                self.hole = if is_hole { HOLE as u64 } else { 0 };
            }
        }
        if self.hole == 0 {
            self.data.extend_from_slice(&bytes[from..]);
        }
        Ok(())
    }

    /// Emits what is left after the last byte.
    pub(super) fn end<E>(&mut self, mut emit: impl FnMut(Chunk<'_>) -> Result<(), E>) -> Result<(), E> {
        if self.hole > 0 {
            emit(Chunk::Hole(std::mem::take(&mut self.hole)))
        } else if !self.data.is_empty() {
            emit(Chunk::Data(&std::mem::take(&mut self.data)))
        } else {
            Ok(())
        }
    }
}

/// The checksum over the last [`WINDOW`] bytes.
struct RollingSum {
    sum: u32,
    weighted: u32,
    window: [u8; WINDOW],
    at: usize,
}

impl Default for RollingSum {
    fn default() -> Self {
        let window = WINDOW as u32;
        let (sum, weighted) = (window * CHARACTER, window * (window - 1) * CHARACTER);
        Self { sum, weighted, window: [0; WINDOW], at: 0 }
    }
}

impl RollingSum {
    /// Adds a byte; whether a chunk ends with it.
    fn roll(&mut self, byte: u8) -> bool {
        let oldest = std::mem::replace(&mut self.window[self.at], byte);
        self.at = (self.at + 1) % WINDOW;
        self.sum = self.sum.wrapping_add(u32::from(byte)).wrapping_sub(u32::from(oldest));
        let leaves = WINDOW as u32 * (u32::from(oldest) + CHARACTER);
        self.weighted = self.weighted.wrapping_add(self.sum).wrapping_sub(leaves);
        self.weighted & BORDER == BORDER
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// Lengths of chunks, those of holes negative.
    fn lengths(pieces: &[&[u8]]) -> Vec<i64> {
        let mut lengths = Vec::new();
        let mut note = |chunk: Chunk<'_>| {
            lengths.push(if chunk.is_hole() { -1 } else { 1 } * chunk.len() as i64);
            Ok::<_, Infallible>(())
        };
        let mut splitter = Splitter::default();
        for piece in pieces {
            splitter.take(piece, &mut note).unwrap();
        }
        splitter.end(&mut note).unwrap();
        lengths
    }

    fn noise(mut seed: u64, length: usize) -> Vec<u8> {
        let next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 56) as u8
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    #[test]
    fn runs_of_zeroes_are_chunks() {
        let text = [b'x'; 100];
        for (zeroes, expected) in [(1023, vec![1223]), (1024, vec![100, -1024, 100]), (5000, vec![100, -5000, 100])] {
            let whole = [&text[..], &vec![0; zeroes], &text].concat();
            assert_eq!(lengths(&[&whole]), expected, "{zeroes}");
            let bytes: Vec<&[u8]> = whole.chunks(1).collect();
            assert_eq!(lengths(&bytes), expected, "{zeroes}, byte by byte");
        }
        assert_eq!(lengths(&[&[0; 3000]]), [-3000]);
        assert_eq!(lengths(&[&[0; 1000]]), [1000]);
        assert_eq!(lengths(&[]), [0_i64; 0]);
    }

    #[test]
    fn borders_depend_on_bytes_and_not_on_their_place() {
        let bytes = noise(7, 2 << 20);
        let whole = lengths(&[&bytes]);
        assert!((15..80).contains(&whole.len()), "{whole:?}");
        assert_eq!(whole.iter().sum::<i64>(), bytes.len() as i64);
        assert_eq!(lengths(&bytes.chunks(4097).collect::<Vec<_>>()), whole);
        let moved = lengths(&[b"something before it", &bytes]);
        assert_eq!(moved[1..], whole[1..]);
    }

    #[test]
    fn what_has_no_border_has_a_largest_chunk() {
        let same = vec![7; MOST + 5];
        assert_eq!(lengths(&[&same]), [MOST as i64, 5]);
    }
}
