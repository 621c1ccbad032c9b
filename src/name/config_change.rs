//! `--change`: an instruction of a Dockerfile that is about an image's configuration.

use std::str::FromStr;

/// One setting of an image's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    /// `CMD`.
    Cmd(Vec<String>),
    /// `ENTRYPOINT`.
    Entrypoint(Vec<String>),
    /// `ENV`: names and values.
    Env(Vec<(String, String)>),
    /// `EXPOSE`: `PORT/PROTOCOL`.
    Expose(Vec<String>),
    /// `LABEL`: names and values.
    Label(Vec<(String, String)>),
    /// `ONBUILD`.
    OnBuild(String),
    /// `STOPSIGNAL`.
    StopSignal(String),
    /// `USER`.
    User(String),
    /// `VOLUME`.
    Volume(Vec<String>),
    /// `WORKDIR`.
    Workdir(String),
}

/// Why an instruction was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ChangeRefused {
    /// Not an instruction that changes a configuration.
    #[error("--change {0:?}: there is no such instruction")]
    Unknown(String),
    /// It says nothing, or nothing that can be understood.
    #[error("--change {text:?}: {reason}")]
    Value {
        /// The instruction.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl crate::failure::Explain for ChangeRefused {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unknown(_) => {
                "CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and WORKDIR can be changed"
                    .into()
            }
            Self::Value { .. } => "as in a Dockerfile: 'ENV NAME=value', 'CMD [\"program\", \"argument\"]'".into(),
        })
    }
}

impl FromStr for ConfigChange {
    type Err = ChangeRefused;

    /// `INSTRUCTION VALUE` as in a Dockerfile, or `INSTRUCTION=VALUE` as podman takes it.
    fn from_str(text: &str) -> Result<Self, ChangeRefused> {
        let text = text.trim();
        let shown = || text.chars().take(160).collect::<String>();
        let refused = |reason| ChangeRefused::Value { text: shown(), reason };
        let end = text.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(text.len());
        let (word, value) = (&text[..end], text[end..].strip_prefix('=').unwrap_or(&text[end..]).trim());
        let word = word.to_ascii_uppercase();
        if !WORDS.contains(&word.as_str()) {
            return Err(ChangeRefused::Unknown(shown()));
        }
        let words = || -> Result<Vec<String>, ChangeRefused> {
            match value.starts_with('[') {
                true => list(value).ok_or_else(|| refused("it is no list of strings in JSON")),
                false => Ok(value.split_whitespace().map(str::to_owned).collect()),
            }
        };
        // The command may be taken away; everything else says something.
        if value.is_empty() && !matches!(word.as_str(), "CMD" | "ENTRYPOINT") {
            return Err(refused("it has no value"));
        }
        Ok(match word.as_str() {
            "CMD" => Self::Cmd(command(value)),
            "ENTRYPOINT" => Self::Entrypoint(command(value)),
            "ENV" => Self::Env(pairs(value).map_err(refused)?),
            "LABEL" => Self::Label(pairs(value).map_err(refused)?),
            "EXPOSE" => {
                let ports: Option<Vec<String>> = words()?.iter().map(|port| self::port(port)).collect();
                Self::Expose(ports.ok_or_else(|| refused("a port is PORT or PORT/PROTOCOL"))?)
            }
            "ONBUILD" => Self::OnBuild(value.into()),
            "STOPSIGNAL" => Self::StopSignal(value.into()),
            "USER" => Self::User(value.into()),
            "VOLUME" => {
                let volumes = words()?;
                if volumes.iter().any(|volume| !volume.starts_with('/')) {
                    return Err(refused("a volume is an absolute path"));
                }
                Self::Volume(volumes)
            }
            _ => Self::Workdir(value.into()),
        })
    }
}

const WORDS: &[&str] =
    &["CMD", "ENTRYPOINT", "ENV", "EXPOSE", "LABEL", "ONBUILD", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"];

fn list(value: &str) -> Option<Vec<String>> {
    serde_json::from_str(value).ok()
}

/// A list in JSON, else a line for the shell, as in a Dockerfile.
fn command(value: &str) -> Vec<String> {
    match list(value) {
        Some(words) => words,
        None if value.is_empty() => Vec::new(),
        None => vec!["/bin/sh".into(), "-c".into(), value.into()],
    }
}

/// `PORT` or `PORT-PORT`, and `/PROTOCOL`, which is tcp unless it is said.
fn port(text: &str) -> Option<String> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let is_port = |text: &str| text.parse::<u16>().is_ok_and(|port| port > 0);
    let known = matches!(protocol, "tcp" | "udp" | "sctp");
    (known && ports.split('-').all(is_port) && ports.split('-').count() <= 2).then(|| format!("{ports}/{protocol}"))
}

/// `NAME=VALUE` several times, with quotes and backslashes as in a Dockerfile, or `NAME VALUE` once.
fn pairs(value: &str) -> Result<Vec<(String, String)>, &'static str> {
    let first = value.split_whitespace().next().unwrap_or_default();
    if !first.contains('=') {
        let (name, rest) = value.split_once(char::is_whitespace).ok_or("a name has no value")?;
        return Ok(vec![(name.into(), rest.trim().into())]);
    }
    let mut pairs = Vec::new();
    for word in words(value)? {
        let (name, value) = word.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("it is not NAME=VALUE")?;
        pairs.push((name.to_owned(), value.to_owned()));
    }
    Ok(pairs)
}

/// Words between blanks; quotes keep blanks together, a backslash keeps what follows as it is.
fn words(text: &str) -> Result<Vec<String>, &'static str> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => {
                let next = rest.next().ok_or("it ends in a backslash")?;
                word.get_or_insert_default().push(next);
            }
            (c, Some(open)) if c == open => quote = None,
            (c @ ('"' | '\''), None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed");
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> ConfigChange {
        text.parse().unwrap()
    }

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn instructions_are_dockers() {
        assert_eq!(parse(r#"CMD ["a", "b c"]"#), ConfigChange::Cmd(strings(&["a", "b c"])));
        assert_eq!(parse("cmd=run it"), ConfigChange::Cmd(strings(&["/bin/sh", "-c", "run it"])));
        assert_eq!(parse("ENTRYPOINT []"), ConfigChange::Entrypoint(Vec::new()));
        let env = |pairs: &[(&str, &str)]| {
            ConfigChange::Env(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
        };
        assert_eq!(
            parse(r#"ENV A=1 B="x y" C=a\ b D='"'"#),
            env(&[("A", "1"), ("B", "x y"), ("C", "a b"), ("D", "\"")])
        );
        assert_eq!(parse("ENV A b c"), env(&[("A", "b c")]));
        assert_eq!(parse("ENV=A=1"), env(&[("A", "1")]));
        assert_eq!(parse("EXPOSE 80 53/udp"), ConfigChange::Expose(strings(&["80/tcp", "53/udp"])));
        assert_eq!(parse("VOLUME /a /b"), ConfigChange::Volume(strings(&["/a", "/b"])));
        assert_eq!(parse("WORKDIR /w"), ConfigChange::Workdir("/w".into()));
        assert_eq!(parse("USER app:app"), ConfigChange::User("app:app".into()));
    }

    #[test]
    fn what_says_nothing_is_refused() {
        for text in [
            "",
            "RUN x",
            "ENV",
            "ENV A",
            "ENV =x",
            "ENV A='x",
            "EXPOSE x",
            "EXPOSE 0",
            "EXPOSE 1/icmp",
            "VOLUME v",
            "LABEL",
            "USER",
        ] {
            assert!(text.parse::<ConfigChange>().is_err(), "{text}");
        }
    }
}
