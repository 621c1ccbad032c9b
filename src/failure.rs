//! How a command fails: a stable code, what was tried, the cause, the cure, and the exit code.
//!
//! Modules own their `thiserror` enums and implement [`Explain`] for them; a [`Failure`] is made from any of these at
//! the door and printed once, by `cli`. Nothing below `cli` prints.

use std::error::Error;
use std::fmt;

/// Exit code of our own failures, as podman's and docker's.
pub const EXIT_OWN_FAILURE: u8 = 125;
/// The command was found but could not be executed.
pub const EXIT_NOT_EXECUTABLE: u8 = 126;
/// The command was not found.
pub const EXIT_NOT_FOUND: u8 = 127;

/// An error that can say its stable code and its cure.
///
/// `Display` says what was tried and on what, in one line, without the cause: the cause is `source()`.
pub trait Explain: Error + Send + Sync + 'static {
    /// Stable, machine-readable code, for example `E_NOTFOUND`.
    fn code(&self) -> &'static str;

    /// One actionable sentence, if there is a cure.
    fn hint(&self) -> Option<String> {
        None
    }

    /// The exit code this error leads to.
    fn exit_code(&self) -> u8 {
        EXIT_OWN_FAILURE
    }
}

/// A failed command: what the user is told.
pub struct Failure {
    code: &'static str,
    error: Box<dyn Error + Send + Sync>,
    hint: Option<String>,
    exit_code: u8,
}

impl Failure {
    /// A failure that has no error type of its own: `message` says what was tried, on what, and why it failed.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        let error: Box<dyn Error + Send + Sync> = message.into().into();
        Self { code, error, hint: None, exit_code: EXIT_OWN_FAILURE }
    }

    /// Adds or replaces the cure.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Replaces the exit code.
    #[must_use]
    pub fn with_exit_code(mut self, exit_code: u8) -> Self {
        self.exit_code = exit_code;
        self
    }

    /// The failure as bytes, for another process of ours to show (see [`Self::from_report`]).
    pub fn to_report(&self) -> Vec<u8> {
        let hint = self.hint.as_deref().unwrap_or_default();
        format!("{}\0{}\0{}\0{}", self.code, self.exit_code, self.chain(), hint).into_bytes()
    }

    /// The failure that another process of ours reported, if the bytes are one.
    pub fn from_report(report: &[u8]) -> Option<Self> {
        let mut fields = std::str::from_utf8(report).ok()?.split('\0');
        let (code, exit_code) = (fields.next()?, fields.next()?.parse().ok()?);
        let (message, hint) = (fields.next()?, fields.next()?);
        // The codes of a report are those of this same program: leaking one, once, makes it static.
        let code = Box::leak(code.to_owned().into_boxed_str());
        let failure = Self::new(code, message).with_exit_code(exit_code);
        Some(if hint.is_empty() { failure } else { failure.with_hint(hint) })
    }

    fn chain(&self) -> String {
        let mut line = self.error.to_string();
        let mut cause = self.error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !line.ends_with(&text) {
                line.push_str(": ");
                line.push_str(&text);
            }
            cause = error.source();
        }
        line
    }

    /// The same failure, with the place where it lies before its message.
    #[must_use]
    pub fn in_place(self, place: &str) -> Self {
        let message = format!("{place}: {}", self.chain());
        Self { error: message.into(), ..self }
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The cure, if there is one.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        self.exit_code
    }
}

impl<E: Explain> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { code: error.code(), hint: error.hint(), exit_code: error.exit_code(), error: Box::new(error) }
    }
}

/// The whole chain in one line, control characters escaped: names and paths in it may come from an image or a registry.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", escape_control(&self.chain()), self.code)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Failure({self})")
    }
}

/// `text` with control and bidirectional-override characters shown as escapes, so that no image, registry or file name
/// can drive the user's terminal.
pub fn escape_control(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => {
                out.extend(c.escape_unicode())
            }
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("opening {name}")]
    struct Opening {
        name: String,
        #[source]
        cause: std::io::Error,
    }

    impl Explain for Opening {
        fn code(&self) -> &'static str {
            "E_IO"
        }
    }

    #[test]
    fn the_chain_is_one_escaped_line() {
        let error = Opening { name: "a\x1b[2J\nb".into(), cause: std::io::Error::from_raw_os_error(libc::ENOENT) };
        let failure = Failure::from(error);
        assert_eq!(failure.to_string(), "opening a\\u{1b}[2J\\nb: No such file or directory (os error 2) [E_IO]");
        assert_eq!(failure.exit_code(), 125);
    }
}
