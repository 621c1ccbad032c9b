//! Programs of the host that can be of use, found in fixed directories that only root can write to, or in those that the user
//! has named in containers.conf: never in `PATH`.

use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::config::containers::ContainersConf;

const DIRECTORIES: &[&str] = &["/usr/bin", "/usr/local/bin", "/bin", "/usr/sbin", "/usr/local/sbin", "/sbin"];

/// The path of the program `name`, if it is installed and can be executed.
pub fn find(name: &str) -> Option<PathBuf> {
    let conf = ContainersConf::here();
    let named = conf.text("network_cmd_path").filter(|_| name == "slirp4netns").map(PathBuf::from);
    let configured = conf.list("helper_binaries_dir").iter().map(Path::new);
    let directories = configured.chain(DIRECTORIES.iter().map(Path::new)).map(|directory| directory.join(name));
    named.into_iter().chain(directories).find(|path| path.is_file() && access(path, AccessFlags::X_OK).is_ok())
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
