//! The kernel, asked as cheaply as possible: on the start path of every container.

/// Version of the running kernel, as (major, minor); (0, 0) if it cannot be read.
pub fn release() -> (u32, u32) {
    let Ok(names) = nix::sys::utsname::uname() else { return (0, 0) };
    parse_release(&names.release().to_string_lossy())
}

fn parse_release(release: &str) -> (u32, u32) {
    let number = |part: Option<&str>| {
        let digits: String = part.unwrap_or_default().chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(0)
    };
    let mut parts = release.split('.');
    (number(parts.next()), number(parts.next()))
}

/// Whether `/sys/fs/cgroup` is a cgroup v2 hierarchy (cgroups(7)).
pub fn has_cgroup2() -> bool {
    nix::sys::statfs::statfs("/sys/fs/cgroup")
        .is_ok_and(|stat| stat.filesystem_type() == nix::sys::statfs::CGROUP2_SUPER_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_number() {
        assert_eq!(parse_release("6.18.44-rc1"), (6, 18));
        assert_eq!(parse_release("5.9-custom"), (5, 9));
        assert_eq!(parse_release("x"), (0, 0));
        assert!(parse_release("5.9") < parse_release("5.14"));
    }
}
