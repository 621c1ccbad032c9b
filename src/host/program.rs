//! Programs of the host that can be of use, found in fixed directories that only root can write to: never in `PATH`.

use std::path::PathBuf;

use nix::unistd::{AccessFlags, access};

const DIRECTORIES: &[&str] = &["/usr/bin", "/usr/local/bin", "/bin", "/usr/sbin", "/usr/local/sbin", "/sbin"];

/// The path of the program `name`, if it is installed and can be executed.
pub fn find(name: &str) -> Option<PathBuf> {
    let mut paths = DIRECTORIES.iter().map(|directory| PathBuf::from(directory).join(name));
    paths.find(|path| path.is_file() && access(path, AccessFlags::X_OK).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found() {
        assert!(find("env").is_some());
        assert_eq!(find("no-such-program"), None);
    }
}
