//! What a registry says when it refuses (distribution-spec "Error Codes").

use serde::Deserialize;

/// Longest text of a registry that is repeated to the user, in characters.
const LONGEST_MESSAGE: usize = 300;

/// The body of a refusal. Codes outside the specification are in use (`DENIED` with spaces, `TOOMANYREQUESTS`), so they
/// stay text; a body that is not of this shape says nothing.
#[derive(Debug, Default, Deserialize)]
struct ErrorResponse {
    #[serde(default)]
    errors: Vec<ErrorEntry>,
    /// Token servers answer so.
    #[serde(default)]
    details: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ErrorEntry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// The messages in `body`, in one line; `None` if it holds none.
pub fn refusal(body: &[u8]) -> Option<String> {
    let response: ErrorResponse = serde_json::from_slice(body).ok()?;
    let entries = response.errors.iter().map(|entry| match (entry.code.as_str(), entry.message.as_str()) {
        (code, "") => code.to_owned(),
        ("", message) => message.to_owned(),
        (code, message) => format!("{code}: {message}"),
    });
    let texts: Vec<String> = entries.chain(response.details).filter(|text| !text.is_empty()).collect();
    let line: String = texts.join("; ").chars().take(LONGEST_MESSAGE).collect();
    (!line.is_empty()).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::refusal;

    #[test]
    fn messages_are_found_where_there_are_any() {
        let text = br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"},{"code":"DENIED"}]}"#;
        assert_eq!(refusal(text).as_deref(), Some("TOOMANYREQUESTS: slow down; DENIED"));
        assert_eq!(
            refusal(br#"{"details":"incorrect username or password"}"#).as_deref(),
            Some("incorrect username or password")
        );
        for nothing in [&b"<html>"[..], b"", b"{}", b"[]", br#"{"errors":7}"#] {
            assert_eq!(refusal(nothing), None);
        }
        let long = format!(r#"{{"errors":[{{"message":"{}"}}]}}"#, "x".repeat(5000));
        assert_eq!(refusal(long.as_bytes()).map(|line| line.len()), Some(300));
    }
}
