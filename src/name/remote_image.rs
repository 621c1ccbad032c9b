//! Images of this and of other machines, as `image scp` has them: `[USER@]HOST[:PORT]::IMAGE` (podman-image-scp(1)).

use std::fmt;
use std::str::FromStr;

use super::image_selector::ImageSelector;
use super::reference::ReferenceSyntax;
use crate::failure::Explain;

/// An end of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScpEnd {
    /// In the user's own store.
    Here(ImageSelector),
    /// On another machine; the image is absent where it is only to be sent.
    There(Machine, Option<ImageSelector>),
}

/// A machine that is reached by ssh(1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// `[USER@]HOST`, as ssh takes it; never begins with a dash.
    pub destination: String,
    /// The port, where it is not ssh's own choice.
    pub port: Option<u16>,
}

/// Why an end was refused.
#[derive(Debug, thiserror::Error)]
pub enum ScpEndSyntax {
    /// Not an image.
    #[error(transparent)]
    Image(#[from] ReferenceSyntax),
    /// Not a machine.
    #[error("{0:?} is not a machine: expected [USER@]HOST[:PORT]")]
    Machine(String),
    /// A user of this machine.
    #[error("{0:?} is another user of this machine, whose images cannot be reached from here")]
    LocalUser(String),
}

impl Explain for ScpEndSyntax {
    fn code(&self) -> &'static str {
        match self {
            Self::Image(error) => error.code(),
            Self::Machine(_) => "E_NAME_INVALID",
            Self::LocalUser(_) => "E_CONFIG",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Image(error) => error.hint(),
            Self::Machine(_) => Some("coracle image scp IMAGE USER@HOST::".into()),
            Self::LocalUser(user) => {
                let name = user.split('@').next().unwrap_or_default();
                Some(format!(
                    "coracle save IMAGE | sudo -iu {name} coracle load; the other way: sudo -iu {name} coracle save IMAGE | coracle load"
                ))
            }
        }
    }
}

impl FromStr for ScpEnd {
    type Err = ScpEndSyntax;

    fn from_str(text: &str) -> Result<Self, ScpEndSyntax> {
        let Some((machine, image)) = text.split_once("::") else { return Ok(Self::Here(text.parse()?)) };
        let image = (!image.is_empty()).then(|| image.parse()).transpose()?;
        Ok(Self::There(machine.parse()?, image))
    }
}

impl FromStr for Machine {
    type Err = ScpEndSyntax;

    fn from_str(text: &str) -> Result<Self, ScpEndSyntax> {
        let refused = || ScpEndSyntax::Machine(text.chars().take(300).collect());
        let (destination, port) = match text.rsplit_once(':') {
            // An address of IPv6 has colons, and brackets around them where a port follows.
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, Some(port.parse().map_err(|_| refused())?))
            }
            _ => (text, None),
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-@:[]%".contains(c);
        let host = destination.rsplit('@').next().unwrap_or_default();
        if host.is_empty()
            || destination.starts_with(['-', '@'])
            || host.starts_with('-')
            || !destination.chars().all(is_plain)
        {
            return Err(refused());
        }
        if destination.contains('@') && host == "localhost" && port.is_none() {
            return Err(ScpEndSyntax::LocalUser(destination.to_owned()));
        }
        Ok(Self { destination: destination.to_owned(), port })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.destination)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match text.parse() {
            Ok(ScpEnd::Here(image)) => format!("here {image}"),
            Ok(ScpEnd::There(machine, None)) => format!("{machine}"),
            Ok(ScpEnd::There(machine, Some(image))) => format!("{machine} {image}"),
            Err(error) => error.code().to_owned(),
        }
    }

    #[test]
    fn ends_are_here_or_there() {
        assert_eq!(shown("debian:12"), "here docker.io/library/debian:12");
        assert_eq!(shown("host::"), "host");
        assert_eq!(shown("me@host.example:2222::"), "me@host.example:2222");
        assert_eq!(shown("host::quay.io/a/b:c"), "host quay.io/a/b:c");
        assert_eq!(shown("[fe80::1]"), "E_NAME_INVALID");
        assert_eq!(shown("me@127.0.0.1::a"), "me@127.0.0.1 docker.io/library/a:latest");
    }

    #[test]
    fn nothing_becomes_an_option_or_a_command() {
        for text in
            ["::a", "-oProxyCommand=x::a", "me@-x::a", "a b::c", "$(id)::a", "host;id::a", "@host::a", "host:x::a"]
        {
            assert_eq!(shown(text), "E_NAME_INVALID", "{text}");
        }
        for image in ["host::$(id)", "host::;id", "host::a b", "host::-x", "host::A"] {
            assert_eq!(shown(image), "E_NAME_INVALID", "{image}");
        }
        assert_eq!(shown("alice@localhost::"), "E_CONFIG");
    }
}
