//! `WWW-Authenticate` (RFC 9110 section 11.6.1): what a registry wants to see before it answers.

use reqwest::header::HeaderValue;

/// One challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A token of a token server (distribution's token specification).
    Bearer {
        /// Address of the token server, as written.
        realm: String,
        /// The registry's name there.
        service: Option<String>,
    },
    /// Name and password (RFC 7617).
    Basic,
}

/// All challenges that are understood, in order. What is malformed, or says one thing twice, is left out.
pub(super) fn parse_all<'h>(headers: impl IntoIterator<Item = &'h HeaderValue>) -> Vec<Challenge> {
    headers.into_iter().filter_map(|value| value.to_str().ok()).flat_map(parse).collect()
}

fn parse(text: &str) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    let mut scheme: Option<(String, Vec<(String, String)>)> = None;
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let Some((word, after)) = token(rest) else { break };
        rest = after.trim_start_matches([' ', '\t']);
        match (rest.strip_prefix('='), &mut scheme) {
            (Some(value), Some((_, parameters))) => {
                let Some((value, after)) = parameter_value(value.trim_start_matches([' ', '\t'])) else {
                    // What follows cannot be told apart any more, and what came before is incomplete.
                    return challenges;
                };
                parameters.push((word.to_ascii_lowercase(), value));
                rest = after;
            }
            (Some(_), None) => return challenges,
            (None, _) => {
                challenges.extend(scheme.take().and_then(understand));
                scheme = Some((word.to_ascii_lowercase(), Vec::new()));
            }
        }
    }
    if rest.is_empty() {
        challenges.extend(scheme.and_then(understand));
    }
    challenges
}

fn understand((scheme, parameters): (String, Vec<(String, String)>)) -> Option<Challenge> {
    let named = |name: &str| {
        let mut values = parameters.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone());
        (values.next(), values.next().is_some())
    };
    match scheme.as_str() {
        "basic" => Some(Challenge::Basic),
        "bearer" => match (named("realm"), named("service")) {
            ((Some(realm), false), (service, false)) => Some(Challenge::Bearer { realm, service }),
            _ => None,
        },
        _ => None,
    }
}

/// A token (RFC 9110 section 5.6.2) at the beginning of `text`, and what follows it.
fn token(text: &str) -> Option<(&str, &str)> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let end = text.bytes().position(|b| !is_token(b)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// A token or a quoted string, and what follows it.
fn parameter_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        // Some registries write addresses without quotes, which a token could not hold.
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (end > 0 && !text[..end].contains('"')).then(|| (text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>) -> Challenge {
        Challenge::Bearer { realm: realm.into(), service: service.map(str::to_owned) }
    }

    #[test]
    fn challenges_of_real_registries_are_understood() {
        let docker = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/debian:pull""#;
        assert_eq!(parse(docker), [bearer("https://auth.docker.io/token", Some("registry.docker.io"))]);
        assert_eq!(parse(r#"Basic realm="Registry Realm""#), [Challenge::Basic]);
        assert_eq!(parse("BASIC"), [Challenge::Basic]);
        assert_eq!(parse("bearer Realm=https://a/t , service = s"), [bearer("https://a/t", Some("s"))]);
        let both = r#"Basic realm="a, Bearer b", , Bearer realm="https://a/t",error="invalid_token""#;
        assert_eq!(parse(both), [Challenge::Basic, bearer("https://a/t", None)]);
        assert_eq!(parse(r#"Negotiate, Bearer realm="r\"q\\""#), [bearer(r#"r"q\"#, None)]);
    }

    #[test]
    fn malformed_challenges_are_left_out() {
        let cases = [
            "",
            "=",
            "Bearer",
            r#"Bearer realm"#,
            r#"Bearer realm="unfinished"#,
            r#"Bearer realm="a\"#,
            r#"Bearer realm="https://good/","#,
            r#"Bearer realm="https://a/",realm="https://b/""#,
            r#"Bearer realm="https://a/",service="s",service="t""#,
            r#"realm="https://a/""#,
            "Bearer realm=\"https://a/\" \u{7f}",
        ];
        for text in cases {
            let expected: &[Challenge] = if text.contains("good") { &[bearer("https://good/", None)] } else { &[] };
            assert_eq!(parse(text), expected, "{text}");
        }
        let cut = r#"Basic realm="x", Bearer realm="y"#;
        assert_eq!(parse(cut), [Challenge::Basic]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            parse(&text);
        }
    }
}
