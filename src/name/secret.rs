//! Names of secrets, and `--secret`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::container_path::parse_container_path;
use super::mount::parse_mode;
use super::serialize::as_text;

/// A secret's name: letters, digits, `_`, `.` and `-`, the first and last of them letters or digits (podman's rule).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretName(String);

/// As podman's.
const LONGEST: usize = 253;

/// A secret that a container gets (`--secret`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRequest {
    /// Its name, or identifier.
    pub name: SecretName,
    /// How it gets it.
    pub form: SecretForm,
}

/// How a container gets a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretForm {
    /// As a file in memory.
    File {
        /// Its path, absolute.
        target: String,
        /// Its permissions.
        mode: u32,
        /// Whom it belongs to: user and group; root where absent.
        owner: (Option<u32>, Option<u32>),
    },
    /// As a variable of the environment of its process.
    Variable(String),
}

impl SecretRequest {
    /// Where it is in the container, if it is a file.
    pub fn path(&self) -> Option<&str> {
        match &self.form {
            SecretForm::File { target, .. } => Some(target),
            SecretForm::Variable(_) => None,
        }
    }
}

/// Why a secret was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SecretRefused {
    /// Its name.
    #[error("{0:?} is not a name of a secret: expected letters, digits, '_', '.' and '-', at most 253 in all")]
    Name(String),
    /// An option.
    #[error("{0:?} is not an option of --secret: expected type, target, uid, gid or mode")]
    Option(String),
    /// An option's value.
    #[error("{value:?} is not a value of {option}: expected {expected}")]
    Value {
        /// The option.
        option: String,
        /// The value.
        value: String,
        /// What it takes.
        expected: &'static str,
    },
    /// An option that means nothing with `type=env`.
    #[error("{0} is for secrets that are files, and not for type=env")]
    NotForVariables(String),
}

impl crate::failure::Explain for SecretRefused {
    fn code(&self) -> &'static str {
        match self {
            Self::Name(_) => "E_NAME_INVALID",
            _ => "E_CONFIG",
        }
    }

    fn hint(&self) -> Option<String> {
        Some("for example --secret password, --secret key,target=/etc/key,mode=0400 or --secret token,type=env,target=TOKEN".into())
    }
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

impl SecretName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SecretName {
    type Err = SecretRefused;

    fn from_str(text: &str) -> Result<Self, SecretRefused> {
        let is_end = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
        let mut bytes = text.bytes();
        let ends = is_end(text.bytes().next()) && is_end(text.bytes().last());
        match ends && text.len() <= LONGEST && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
        {
            true => Ok(Self(text.to_owned())),
            false => Err(SecretRefused::Name(shown(text))),
        }
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

as_text!(SecretName);

impl FromStr for SecretRequest {
    type Err = SecretRefused;

    fn from_str(text: &str) -> Result<Self, SecretRefused> {
        let mut fields = text.split(',').filter(|field| !field.is_empty());
        let first = fields.next().unwrap_or_default();
        let name: SecretName = first.strip_prefix("source=").unwrap_or(first).parse()?;
        let (mut is_variable, mut target, mut mode, mut owner) = (false, None, None, (None, None));
        let mut of_files = None;
        for field in fields {
            let (option, value) = field.split_once('=').ok_or_else(|| SecretRefused::Option(shown(field)))?;
            let refused = |expected| SecretRefused::Value { option: option.to_owned(), value: shown(value), expected };
            let id = || value.parse::<u32>().map(Some).map_err(|_| refused("a number"));
            match option {
                "type" if value == "mount" => is_variable = false,
                "type" if value == "env" => is_variable = true,
                "type" => return Err(refused("mount or env")),
                "target" | "dst" | "destination" if !value.is_empty() => target = Some(value),
                "target" => return Err(refused("a path, or the name of a variable")),
                "uid" => owner.0 = id()?,
                "gid" => owner.1 = id()?,
                "mode" => mode = Some(parse_mode(value).map_err(|_| refused("octal digits, at most 1777"))?),
                _ => return Err(SecretRefused::Option(shown(option))),
            }
            if ["uid", "gid", "mode"].contains(&option) {
                of_files = Some(option.to_owned());
            }
        }
        if is_variable {
            if let Some(option) = of_files {
                return Err(SecretRefused::NotForVariables(option));
            }
            let variable = target.unwrap_or(name.as_str());
            let is_name = !variable.contains(['=', '\0']);
            let refused = || SecretRefused::Value {
                option: "target".into(),
                value: shown(variable),
                expected: "the name of a variable",
            };
            let form = is_name.then(|| SecretForm::Variable(variable.to_owned())).ok_or_else(refused)?;
            return Ok(Self { name, form });
        }
        let target = match target {
            Some(path) if path.starts_with('/') => path.to_owned(),
            Some(file) => format!("/run/secrets/{file}"),
            None => format!("/run/secrets/{name}"),
        };
        let refused = || SecretRefused::Value {
            option: "target".into(),
            value: shown(&target),
            expected: "an absolute path, or the name of a file below /run/secrets",
        };
        let path = parse_container_path(&target).ok().filter(|path| path != "/").ok_or_else(refused)?;
        Ok(Self { name, form: SecretForm::File { target: path, mode: mode.unwrap_or(0o444), owner } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let parse = |text: &str| text.parse::<SecretRequest>();
        let file = |target: &str, mode, owner| SecretForm::File { target: target.into(), mode, owner };
        assert_eq!(parse("a").unwrap().form, file("/run/secrets/a", 0o444, (None, None)));
        assert_eq!(parse("a,target=b").unwrap().form, file("/run/secrets/b", 0o444, (None, None)));
        let all = parse("source=a,type=mount,target=/etc/key,uid=1,gid=2,mode=0400").unwrap();
        assert_eq!((all.name.as_str(), all.form), ("a", file("/etc/key", 0o400, (Some(1), Some(2)))));
        assert_eq!(parse("a,type=env").unwrap().form, SecretForm::Variable("a".into()));
        assert_eq!(parse("a,type=env,target=B").unwrap().form, SecretForm::Variable("B".into()));
        for (text, part) in [
            ("", "\"\""),
            ("a/b", "a/b"),
            ("-a", "-a"),
            ("a,colour=red", "colour"),
            ("a,mode=9", "mode"),
            ("a,uid=root", "root"),
            ("a,type=file", "file"),
            ("a,type=env,mode=400", "mode"),
            ("a,type=env,target=A=B", "A=B"),
            ("a,target=/", "target"),
            ("a,ro", "ro"),
        ] {
            let refused = parse(text).expect_err(text);
            assert!(refused.to_string().contains(part), "{text}: {refused}");
        }
    }
}
