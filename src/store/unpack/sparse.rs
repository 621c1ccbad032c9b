//! Files stored without their holes: GNU tar's old format (type `S`) and its format 1.0 (PAX records `GNU.sparse.*`, the map
//! before the contents). The formats 0.0 and 0.1, which nothing has written since 2006, are refused.
//!
//! See "Storing Sparse Files" in GNU tar's manual.

use std::io::Read;

use super::error::UnpackError;
use super::limits;
use super::pax::{Malformed, Sparse};
use super::source::{BLOCK, Source};

/// Most pieces of one file.
const MOST_PIECES: usize = 1 << 16;
/// Where the headers of type `S` have their numbers: offset and length of a piece, twelve bytes each.
const NUMBER: usize = 12;
const IN_HEADER: std::ops::Range<usize> = 386..482;
const CONTINUES: usize = 482;
const REAL_SIZE: usize = 483;
/// The same in a block that continues the map.
const IN_BLOCK: std::ops::Range<usize> = 0..504;
const BLOCK_CONTINUES: usize = 504;

/// Where the bytes that are stored belong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// The file's size.
    pub size: u64,
    /// Offset and length of each piece, in the order of offsets.
    pub pieces: Vec<(u64, u64)>,
}

impl Map {
    /// A map whose pieces are those of `stored` bytes, in order, and within the file.
    fn new(size: u64, pieces: Vec<(u64, u64)>, stored: u64) -> Result<Self, Malformed> {
        const MALFORMED: Malformed = "the map of a sparse file is malformed";
        let (mut end, mut sum) = (0, 0_u64);
        for &(offset, length) in &pieces {
            if offset < end {
                return Err(MALFORMED);
            }
            end = offset.checked_add(length).ok_or(MALFORMED)?;
            sum = sum.checked_add(length).ok_or(MALFORMED)?;
        }
        if end > size || sum != stored {
            return Err(MALFORMED);
        }
        Ok(Self { size, pieces })
    }

    /// The map of a header of type `S`, with the blocks that follow it. `stored` bytes are after these.
    pub fn of_old_gnu<R: Read>(header: &[u8; BLOCK], stored: u64, source: &mut Source<R>) -> Result<Self, UnpackError> {
        let mut pieces = Vec::new();
        let read = |field: &[u8], pieces: &mut Vec<(u64, u64)>| -> Result<(), Malformed> {
            for pair in field.chunks_exact(2 * NUMBER) {
                let (offset, length) = pair.split_at(NUMBER);
                if offset.iter().any(|&byte| byte != 0) {
                    pieces.push((super::header::number(offset)?, super::header::number(length)?));
                }
            }
            if pieces.len() > MOST_PIECES { Err("the map of a sparse file is too large") } else { Ok(()) }
        };
        read(&header[IN_HEADER], &mut pieces).map_err(|reason| source.malformed(reason))?;
        let mut continues = header[CONTINUES] != 0;
        while continues {
            let block = source.block()?.ok_or_else(|| source.malformed("it ends within the map of a sparse file"))?;
            read(&block[IN_BLOCK], &mut pieces).map_err(|reason| source.malformed(reason))?;
            continues = block[BLOCK_CONTINUES] != 0;
        }
        let size = super::header::number(&header[REAL_SIZE..REAL_SIZE + NUMBER]);
        let map = size.and_then(|size| Self::new(size, pieces, stored));
        map.map_err(|reason| source.malformed(reason))
    }

    /// The map of format 1.0, which begins the `stored` bytes of the file; how many bytes are left after it.
    pub fn of_contents<R: Read>(
        sparse: &Sparse<'_>,
        stored: u64,
        source: &mut Source<R>,
    ) -> Result<(Self, u64), UnpackError> {
        let mut numbers = Numbers { source, left: stored, text: Vec::new() };
        let count = usize::try_from(numbers.next()?).unwrap_or(usize::MAX);
        if count > MOST_PIECES {
            return Err(numbers.source.malformed("the map of a sparse file is too large"));
        }
        let mut pieces = Vec::new();
        for _ in 0..count {
            pieces.push((numbers.next()?, numbers.next()?));
        }
        let (left, source) = (numbers.left, numbers.source);
        let size = sparse.real_size.ok_or("a sparse file has no size");
        let map = size.and_then(|size| Self::new(size, pieces, left));
        Ok((map.map_err(|reason| source.malformed(reason))?, left))
    }

    /// Refuses what makes a layer of `before` bytes larger than any may be.
    pub fn expect(&self, before: u64) -> Result<(), UnpackError> {
        match before.checked_add(self.size) {
            Some(sum) if sum <= limits::LOGICAL => Ok(()),
            _ => {
                let limit = format!("{} bytes", limits::LOGICAL);
                Err(UnpackError::Limit { what: "the size of the files, holes included".into(), limit })
            }
        }
    }
}

/// Decimal numbers, each on a line, in whole blocks.
struct Numbers<'a, R> {
    source: &'a mut Source<R>,
    left: u64,
    /// What is not used yet of the last block, backwards.
    text: Vec<u8>,
}

impl<R: Read> Numbers<'_, R> {
    fn next(&mut self) -> Result<u64, UnpackError> {
        const MALFORMED: Malformed = "the map of a sparse file is malformed";
        let mut number: Option<u64> = None;
        loop {
            let byte = self.byte()?;
            let digit = match byte {
                b'0'..=b'9' => u64::from(byte - b'0'),
                b'\n' => return number.ok_or_else(|| self.source.malformed(MALFORMED)),
                _ => return Err(self.source.malformed(MALFORMED)),
            };
            let sum = number.unwrap_or(0).checked_mul(10).and_then(|sum| sum.checked_add(digit));
            number = Some(sum.ok_or_else(|| self.source.malformed(MALFORMED))?);
        }
    }

    fn byte(&mut self) -> Result<u8, UnpackError> {
        if self.text.is_empty() {
            let short = "it ends within the map of a sparse file";
            self.left = self.left.checked_sub(BLOCK as u64).ok_or_else(|| self.source.malformed(short))?;
            let block = self.source.block()?.ok_or_else(|| self.source.malformed(short))?;
            self.text = block.into_iter().rev().collect();
        }
        Ok(self.text.pop().unwrap_or_default())
    }
}
