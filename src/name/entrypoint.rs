//! `--entrypoint`: one word, or a JSON array of words.

/// Why an entrypoint was refused.
#[derive(Debug, thiserror::Error)]
#[error("reading the entrypoint {text:?} as a JSON array of strings")]
pub struct EntrypointRefused {
    text: String,
    #[source]
    cause: serde_json::Error,
}

impl crate::failure::Explain for EntrypointRefused {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }

    fn hint(&self) -> Option<String> {
        Some(r#"write it as --entrypoint '["program","argument"]', or as one program without arguments"#.into())
    }
}

/// The words of `text`: those of the array where it begins with `[`, none where it is empty, else all of it as a single
/// word, spaces included (podman's rule).
pub fn parse_entrypoint(text: &str) -> Result<Vec<String>, EntrypointRefused> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    if !text.starts_with('[') {
        return Ok(vec![text.to_owned()]);
    }
    serde_json::from_str(text).map_err(|cause| EntrypointRefused { text: text.chars().take(200).collect(), cause })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_words_and_nothing() {
        assert_eq!(parse_entrypoint("").unwrap(), Vec::<String>::new());
        assert_eq!(parse_entrypoint("[]").unwrap(), Vec::<String>::new());
        assert_eq!(parse_entrypoint("/bin/sh -c").unwrap(), ["/bin/sh -c"]);
        assert_eq!(parse_entrypoint(r#"["/bin/sh","-c","a b"]"#).unwrap(), ["/bin/sh", "-c", "a b"]);
        assert_eq!(parse_entrypoint("--privileged").unwrap(), ["--privileged"]);
    }

    #[test]
    fn broken_arrays_are_refused() {
        for text in ["[", "[1]", "[\"a\"", "[\"a\"] x", "[null]", "['a']"] {
            assert!(parse_entrypoint(text).is_err(), "{text}");
        }
    }
}
