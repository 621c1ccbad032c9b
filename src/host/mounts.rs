//! The mounts of our own namespace.

use std::io;
use std::path::Path;

/// Whether mounts that are made below `path` later appear in mounts made of it: whether it lies on a mount that is in a peer
/// group or a slave of one (proc_pid_mountinfo(5), optional fields `shared` and `master`).
pub fn takes_part_in_propagation(path: &Path) -> io::Result<bool> {
    let real = std::fs::canonicalize(path)?;
    Ok(is_propagated(&std::fs::read_to_string("/proc/self/mountinfo")?, &real))
}

fn is_propagated(mountinfo: &str, path: &Path) -> bool {
    let mut best = (0, false);
    for line in mountinfo.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let Some(point) = fields.get(4) else { continue };
        // Spaces and the like are written in octal: such mounts cannot be those of another path.
        let depth = Path::new(point).components().count();
        if path.starts_with(point) && depth >= best.0 {
            let mut optional = fields.iter().skip(6).take_while(|field| **field != "-");
            best = (depth, optional.any(|field| field.starts_with("shared:") || field.starts_with("master:")));
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mount_counts() {
        let table = "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 / /srv rw shared:5 - ext4 /dev/b rw\n\
                     3 2 8:3 / /srv/own rw - tmpfs none rw\n4 2 8:3 / /srv/in rw master:3 - tmpfs none rw\n";
        for (path, propagated) in [
            ("/", false),
            ("/srv", true),
            ("/srv/x/y", true),
            ("/srv/own/x", false),
            ("/srv/in", true),
            ("/srvx", false),
        ] {
            assert_eq!(is_propagated(table, Path::new(path)), propagated, "{path}");
        }
    }
}
