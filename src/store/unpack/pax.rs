//! PAX extended headers (pax(1), "pax Extended Header"): `LENGTH KEY=VALUE\n`, values are any bytes.
//!
//! Strict where parsers are known to disagree: what one reads as the name or size of a file, another must not read
//! otherwise.

/// Far more than any file's attributes need.
const MOST_RECORDS: usize = 1024;

/// A malformed header: what is wrong with it.
pub type Malformed = &'static str;

/// The records of one extended header.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Records<'a> {
    /// `path`.
    pub path: Option<&'a [u8]>,
    /// `linkpath`.
    pub link_path: Option<&'a [u8]>,
    /// `size`.
    pub size: Option<u64>,
    /// `uid`.
    pub uid: Option<u64>,
    /// `gid`.
    pub gid: Option<u64>,
    /// `mtime`: seconds and nanoseconds.
    pub mtime: Option<(i64, i64)>,
    /// `atime`, as it is written: files get none.
    pub atime: Option<&'a [u8]>,
    /// `ctime`, as it is written.
    pub ctime: Option<&'a [u8]>,
    /// `SCHILY.xattr.NAME`: name and value.
    pub xattrs: Vec<(&'a [u8], &'a [u8])>,
    /// Access control lists, which are not for an image to set.
    pub acls: u64,
    /// Whether this is an archived socket (`SCHILY.filetype`).
    pub socket: bool,
    /// How the file is stored without its holes (`GNU.sparse.*`).
    pub sparse: Option<Sparse<'a>>,
}

/// The records of a file that is stored without its holes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sparse<'a> {
    /// `GNU.sparse.major` and `GNU.sparse.minor`.
    pub version: (Option<u64>, Option<u64>),
    /// `GNU.sparse.name`: the header has another.
    pub name: Option<&'a [u8]>,
    /// `GNU.sparse.realsize`.
    pub real_size: Option<u64>,
    /// Whether there are records of other formats than 1.0.
    pub others: bool,
}

impl<'a> Sparse<'a> {
    fn add(&mut self, key: &[u8], value: &'a [u8]) -> Result<(), Malformed> {
        match key {
            b"major" => self.version.0 = Some(number(value)?),
            b"minor" => self.version.1 = Some(number(value)?),
            b"name" => self.name = Some(text(value)?),
            b"realsize" => self.real_size = Some(number(value)?),
            _ => self.others = true,
        }
        Ok(())
    }

    /// Whether it is stored in format 1.0.
    pub fn is_known(&self) -> bool {
        self.version == (Some(1), Some(0)) && !self.others
    }
}

impl<'a> Records<'a> {
    /// The records in `data`.
    pub fn parse(data: &'a [u8]) -> Result<Self, Malformed> {
        let mut records = Self::default();
        let mut seen: Vec<&[u8]> = Vec::new();
        let mut rest = data;
        while !rest.is_empty() {
            let (key, value);
            (key, value, rest) = split(rest)?;
            if seen.contains(&key) {
                return Err("an extended header has a key twice");
            }
            if seen.len() == MOST_RECORDS {
                return Err("an extended header has too many records");
            }
            seen.push(key);
            records.add(key, value)?;
        }
        Ok(records)
    }

    fn add(&mut self, key: &'a [u8], value: &'a [u8]) -> Result<(), Malformed> {
        // An empty value takes back what the header says.
        let present = (!value.is_empty()).then_some(value);
        match key {
            b"path" => self.path = present.map(text).transpose()?,
            b"linkpath" => self.link_path = present.map(text).transpose()?,
            b"size" => self.size = present.map(number).transpose()?,
            b"uid" => self.uid = present.map(number).transpose()?,
            b"gid" => self.gid = present.map(number).transpose()?,
            b"mtime" => self.mtime = present.map(time).transpose()?,
            b"atime" => self.atime = present,
            b"ctime" => self.ctime = present,
            b"SCHILY.filetype" => self.socket = value == b"socket",
            _ if key.starts_with(b"SCHILY.acl.") => self.acls += 1,
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.push((name, value));
                } else if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.get_or_insert_default().add(key, value)?;
                }
            }
        }
        Ok(())
    }

    /// Whether these records, as a global header, would change what any file is. No image builder makes such headers, and
    /// parsers do not agree on them.
    pub fn changes_files(&self) -> bool {
        let Self { path, link_path, size, uid, gid, mtime: _, atime: _, ctime: _, xattrs, acls, socket, sparse } = self;
        path.is_some()
            || link_path.is_some()
            || size.is_some()
            || uid.is_some()
            || gid.is_some()
            || !xattrs.is_empty()
            || *acls > 0
            || *socket
            || sparse.is_some()
    }
}

/// A record's key and value, and what follows it.
type Split<'a> = (&'a [u8], &'a [u8], &'a [u8]);

fn split(data: &[u8]) -> Result<Split<'_>, Malformed> {
    const MALFORMED: Malformed = "an extended header's record is malformed";
    let space = data.iter().take(20).position(|&byte| byte == b' ').ok_or(MALFORMED)?;
    if data.first() == Some(&b'0') {
        return Err(MALFORMED);
    }
    let length = usize::try_from(number(&data[..space])?).map_err(|_| MALFORMED)?;
    let record = data.get(space + 1..length).ok_or(MALFORMED)?;
    let (end, record) = record.split_last().ok_or(MALFORMED)?;
    let equals = record.iter().position(|&byte| byte == b'=').ok_or(MALFORMED)?;
    if *end != b'\n' || equals == 0 {
        return Err(MALFORMED);
    }
    Ok((&record[..equals], &record[equals + 1..], &data[length..]))
}

fn text(value: &[u8]) -> Result<&[u8], Malformed> {
    if value.contains(&0) { Err("a name has a NUL in it") } else { Ok(value) }
}

/// Decimal digits, and nothing else.
fn number(value: &[u8]) -> Result<u64, Malformed> {
    const MALFORMED: Malformed = "an extended header's number is malformed";
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(MALFORMED);
    }
    let add = |sum: u64, digit: &u8| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    value.iter().try_fold(0, add).ok_or(MALFORMED)
}

/// Seconds and nanoseconds of `[-]SECONDS[.FRACTION]`; digits beyond nanoseconds are cut off.
pub fn time(value: &[u8]) -> Result<(i64, i64), Malformed> {
    let (negative, value) = value.strip_prefix(b"-").map_or((false, value), |rest| (true, rest));
    let dot = value.iter().position(|&byte| byte == b'.');
    let (seconds, fraction) = dot.map_or((value, &b""[..]), |dot| (&value[..dot], &value[dot + 1..]));
    let seconds = i64::try_from(number(seconds)?).map_err(|_| "a time is out of range")?;
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err("an extended header's number is malformed");
    }
    let digits = fraction.iter().chain(std::iter::repeat(&b'0')).take(9);
    let nanoseconds = digits.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    Ok(match (negative, nanoseconds) {
        (false, _) => (seconds, nanoseconds),
        (true, 0) => (-seconds, 0),
        (true, _) => (-seconds - 1, 1_000_000_000 - nanoseconds),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_any_bytes() {
        let data = b"12 path=abc\n32 SCHILY.xattr.user.x=a\nb=c\x00\xffd\n24 mtime=1.000000002999\n";
        let records = Records::parse(data).unwrap();
        assert_eq!(records.path, Some(&b"abc"[..]));
        assert_eq!(records.xattrs, [(&b"user.x"[..], &b"a\nb=c\x00\xffd"[..])]);
        assert_eq!(records.mtime, Some((1, 2)));
        assert_eq!(time(b"-1.5"), Ok((-2, 500_000_000)));
        assert_eq!(time(b"-1"), Ok((-1, 0)));
    }

    #[test]
    fn what_parsers_disagree_about_is_refused() {
        let refused: &[&[u8]] = &[
            b"path=abc\n",
            b"11 path=abc\n",
            b"13 path=abc\n",
            b"012 path=ab\n",
            b"+12 path=ab\n",
            b" 12 path=ab\n",
            b"12 path=abc",
            b"12 path=abcd",
            b"8 =abcd\n",
            b"9 abcdef\n",
            b"3 \n",
            b"0 \n",
            b"99999999999999999999999999 path=abc\n",
            b"12 path=abc\n12 path=abd\n",
            b"12 path=a\0c\n",
            b"11 size=-1\n",
            b"11 size=+1\n",
            b"11 size=0x\n",
            b"12 size= 12\n",
            b"29 size=99999999999999999999\n",
            b"14 mtime=1.x2\n",
            b"\0\0\0\0",
            b"12 path=abc\n\0\0\0\0\0\0\0",
        ];
        for data in refused {
            assert!(Records::parse(data).is_err(), "{}", data.escape_ascii());
        }
        assert_eq!(Records::parse(b"").unwrap(), Records::default());
        assert_eq!(Records::parse(b"8 path=\n").unwrap(), Records::default(), "an empty value is none");
    }
}
