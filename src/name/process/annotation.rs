//! `--annotation`.

use super::Refused;

/// `KEY=VALUE`. The value may be empty.
pub fn parse_annotation(text: &str) -> Result<(String, String), Refused> {
    let refused = || Refused::new(text, "an annotation: expected KEY=VALUE, like org.example.team=web");
    let (key, value) = text.split_once('=').ok_or_else(refused)?;
    match key.is_empty() || key.contains(['\0', '\n']) || value.contains('\0') {
        true => Err(refused()),
        false => Ok((key.into(), value.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_not_empty() {
        assert_eq!(parse_annotation("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(parse_annotation("a="), Ok(("a".into(), String::new())));
        assert!(parse_annotation("a").is_err());
        assert!(parse_annotation("").is_err() && parse_annotation("=b").is_err());
    }
}
