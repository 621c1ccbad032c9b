//! The link by which a container's name leads to it.
//!
//! Its target is the container's identifier, with three hexadecimal digits as two letters: ext4 keeps a target of up to 59 bytes
//! in the inode, and needs a block for 64 digits, which takes several times as long to make and to remove (ext4(5),
//! Documentation/filesystems/ext4/ifork.rst, "Symbolic Links").

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::name::container::ContainerId;

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Makes a name lead to a container. Fails if the name is taken.
pub fn make(link: &Path, id: &ContainerId) -> io::Result<()> {
    symlink(encode(id), link)
}

/// The container that a name leads to; it may be gone.
pub fn holder(link: &Path) -> Option<ContainerId> {
    let target = fs::read_link(link).ok()?;
    let target = target.to_str()?;
    // All digits will do, too.
    target.parse().ok().or_else(|| decode(target))
}

fn encode(id: &ContainerId) -> String {
    let mut target = String::with_capacity(44);
    let digits: Vec<usize> = id.as_str().chars().filter_map(|digit| Some(digit.to_digit(16)? as usize)).collect();
    for three in digits.chunks(3) {
        // The last digit stands alone.
        let bits = three.iter().fold(0, |bits, digit| bits << 4 | digit);
        target.push(LETTERS[bits >> 6].into());
        target.push(LETTERS[bits & 63].into());
    }
    target
}

fn decode(target: &str) -> Option<ContainerId> {
    let values: Vec<usize> =
        target.bytes().map(|byte| LETTERS.iter().position(|&letter| letter == byte)).collect::<Option<_>>()?;
    let (pairs, []) = values.as_chunks::<2>() else { return None };
    let (last, threes) = pairs.split_last()?;
    let mut digits: String = threes.iter().map(|[high, low]| format!("{:03x}", high << 6 | low)).collect();
    digits.push_str(&format!("{:x}", last[0] << 6 | last[1]));
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_its_container() {
        let directory = tempfile::tempdir().unwrap();
        let ids = [[0; 32], [0xff; 32], std::array::from_fn(|index| (index as u8).wrapping_mul(37))]
            .map(ContainerId::from_random);
        for (number, id) in ids.iter().enumerate() {
            let link = directory.path().join(number.to_string());
            make(&link, id).unwrap();
            assert!(fs::read_link(&link).unwrap().as_os_str().len() < 60);
            assert_eq!(holder(&link).as_ref(), Some(id));
            assert!(make(&link, id).is_err());
            let plain = directory.path().join(format!("plain{number}"));
            symlink(id.as_str(), &plain).unwrap();
            assert_eq!(holder(&plain).as_ref(), Some(id));
        }
    }

    #[test]
    fn what_is_none_leads_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        assert_eq!(holder(&link), None);
        for target in ["x", "", "../../etc/passwd", &"A".repeat(43), &"A".repeat(45), &"A".repeat(46), &"_".repeat(44)]
        {
            let _ = fs::remove_file(&link);
            if symlink(target, &link).is_ok() {
                assert_eq!(holder(&link), None, "{target}");
            }
        }
    }
}
