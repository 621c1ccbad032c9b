//! Absolute paths inside a container, as text. Whether anything is there, and through which links, is found out when
//! they are used, by descriptor.

/// Why a path inside a container was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PathRefused {
    /// Empty.
    #[error("a path in the container cannot be empty")]
    Empty,
    /// Does not begin with a slash.
    #[error("{0:?} is not a path in the container: it must be absolute")]
    Relative(String),
    /// A NUL byte.
    #[error("{0:?} is not a path: it contains a NUL byte")]
    Nul(String),
    /// `PATH_MAX`.
    #[error("a path in the container cannot be longer than 4095 bytes")]
    TooLong,
}

impl crate::failure::Explain for PathRefused {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Relative(path) => Some(format!("try {:?}", format!("/{path}"))),
            _ => None,
        }
    }
}

/// `text` as an absolute path in its shortest form: repeated slashes, `.` and `..` are resolved in the text, as docker
/// and podman do with destinations of mounts.
pub fn parse_container_path(text: &str) -> Result<String, PathRefused> {
    let shown = || text.chars().take(200).collect::<String>();
    if text.is_empty() {
        return Err(PathRefused::Empty);
    }
    if text.contains('\0') {
        return Err(PathRefused::Nul(shown()));
    }
    if !text.starts_with('/') {
        return Err(PathRefused::Relative(shown()));
    }
    if text.len() > 4095 {
        return Err(PathRefused::TooLong);
    }
    let mut components = Vec::new();
    for component in text.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(components.pop()),
            name => components.push(name),
        }
    }
    Ok(format!("/{}", components.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_shortened() {
        let cases = [("/", "/"), ("//a//b/", "/a/b"), ("/a/./b/../c", "/a/c"), ("/../..", "/"), ("/a b", "/a b")];
        for (given, expected) in cases {
            assert_eq!(parse_container_path(given).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn only_absolute_paths_are_accepted() {
        for text in ["", "a", "./a", "../a", "-v", "~", "a/b", "C:\\x", "/a\0b", &format!("/{}", "x".repeat(4095))] {
            assert!(parse_container_path(text).is_err(), "{text:?}");
        }
        assert!(parse_container_path(&format!("/{}", "x".repeat(4094))).is_ok());
    }
}
