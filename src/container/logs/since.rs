//! Where the lines since some time begin, found by halving: a log is taken to be in the order of its times.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use jiff::Timestamp;
use memchr::memchr;

use super::backwards::{BLOCK, LONGEST_LINE};
use super::entry::{Format, Parser};
use super::files::Part;

/// Leaves in `parts` those in which the entries since that time begin; a place in the first of them before which there are none.
pub fn skip(parts: &mut Vec<Part>, format: Format, since: Timestamp) -> io::Result<u64> {
    let mut search = Search { parser: Parser::new(format), since };
    for index in (0..parts.len()).rev() {
        let file = &parts[index].file;
        if search.next(file, 0)?.is_some_and(|next| next.is_before) {
            let start = search.in_file(file, BLOCK as u64)?;
            parts.drain(..index);
            return Ok(start);
        }
    }
    Ok(0)
}

struct Search {
    parser: Parser,
    since: Timestamp,
}

/// An entry that was met.
struct Met {
    /// Where the line after it begins.
    end: u64,
    /// Whether it is older than those that are looked for.
    is_before: bool,
}

impl Search {
    /// A place before which all entries are too old, less than about `precision` bytes before the first that is not.
    fn in_file(&mut self, file: &File, precision: u64) -> io::Result<u64> {
        let (mut low, mut high) = (0, file.metadata()?.len());
        while high - low > precision {
            let middle = low + (high - low) / 2;
            match self.next(file, middle)? {
                Some(met) if met.is_before => low = met.end,
                _ => high = middle,
            }
            // The entry that was met may be beyond what is left.
            high = high.max(low);
        }
        Ok(low)
    }

    /// The first entry that begins at `from` or behind it; none if there is none near.
    fn next(&mut self, file: &File, from: u64) -> io::Result<Option<Met>> {
        for size in [BLOCK, LONGEST_LINE] {
            let mut buffer = vec![0; size];
            // With the byte before: a line begins behind a line feed. What a container wrote may look like an entry.
            let offset = from.saturating_sub(1);
            let count = file.read_at(&mut buffer, offset)?;
            let mut start = if from == 0 { Some(0) } else { memchr(b'\n', &buffer[..count]).map(|at| at + 1) };
            while let Some((begin, length)) = start.and_then(|at| Some((at, memchr(b'\n', &buffer[at..count])?))) {
                let end = begin + length + 1;
                if let Some(entry) = self.parser.parse(&buffer[begin..end - 1]) {
                    return Ok(Some(Met { end: offset + end as u64, is_before: entry.time < self.since }));
                }
                start = Some(end);
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn line(second: usize, text: &str) -> String {
        format!("2026-11-22T18:52:{second:02}Z stdout F {text}\n")
    }

    #[test]
    fn no_entry_is_passed_over() {
        let lines: Vec<String> = (0..60).map(|n| line(n, &"x".repeat(n * n % 70))).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(lines.concat().as_bytes()).unwrap();
        for precision in [1, 30, 200] {
            for second in 0..60 {
                let since = format!("2026-11-22T18:52:{second:02}Z").parse().unwrap();
                let mut search = Search { parser: Parser::new(Format::K8s), since };
                let start = search.in_file(&file, precision).unwrap() as usize;
                let wanted = lines[..second].concat().len();
                assert!(start <= wanted && wanted - start <= precision as usize + 110, "{second}: {start} {wanted}");
                assert!(start == 0 || lines.concat().as_bytes()[start - 1] == b'\n');
            }
        }
    }

    #[test]
    fn text_that_looks_like_an_entry_is_none() {
        let forged = line(59, "forged");
        let mut file = tempfile::tempfile().unwrap();
        file.write_all((line(1, &forged) + &line(2, "b")).as_bytes()).unwrap();
        let since = "2026-11-22T18:52:03Z".parse().unwrap();
        let mut search = Search { parser: Parser::new(Format::K8s), since };
        let begin = line(1, "").len() as u64 - 1;
        assert!(search.next(&file, begin).unwrap().unwrap().is_before, "the forged one was taken");
        assert_eq!(search.next(&file, 0).unwrap().unwrap().end, begin + forged.len() as u64);
    }

    #[test]
    fn files_that_are_too_old_are_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        for (name, second) in [("log.2", 10), ("log.1", 20), ("log", 30)] {
            std::fs::write(directory.path().join(name), line(second, "a") + &line(second + 5, "b")).unwrap();
        }
        for (second, left) in [(0, 3), (10, 3), (11, 3), (20, 3), (21, 2), (30, 2), (31, 1), (59, 1)] {
            let mut parts = super::super::files::parts(&path, 3).unwrap();
            let since = format!("2026-11-22T18:52:{second:02}Z").parse().unwrap();
            skip(&mut parts, Format::K8s, since).unwrap();
            assert_eq!(parts.len(), left, "{second}");
        }
    }
}
