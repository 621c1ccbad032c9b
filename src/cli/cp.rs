//! `cp`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use super::configuration::configured;
use super::dispatch;
use super::export::{refuse_terminal, warn_all};
use super::tree::{Globals, Invocation};
use crate::container::copy::Options;
use crate::failure::Failure;

/// Copy files into, out of or between containers
///
/// A path in a container is written as CONTAINER:PATH and begins at its root, whether the container runs or not; volumes and
/// directories that are mounted there are part of it. - stands for a tar archive on standard input or output.
#[derive(Args, Clone, Debug)]
pub struct CpArgs {
    /// Keep owners and groups
    #[arg(short, long)]
    archive: bool,
    /// Copy what a symbolic link leads to if SOURCE is one
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Let directories take the place of other files, and the other way round
    #[arg(long)]
    overwrite: bool,
    /// What is copied: CONTAINER:PATH, a path, or -
    #[arg(value_name = "SOURCE", value_hint = clap::ValueHint::FilePath)]
    source: String,
    /// Where it is copied to: CONTAINER:PATH, a path, or -
    #[arg(value_name = "DESTINATION", value_hint = clap::ValueHint::FilePath)]
    destination: String,
}

/// One end of a copy, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// A container's name or id, and a path.
    Container(String, String),
    /// A path on the host.
    Host(PathBuf),
    /// `-`.
    Stream,
}

impl Written {
    /// As docker reads it: what begins with a slash or a dot is a path on the host, whatever follows.
    fn parse(text: &str) -> Result<Self, Failure> {
        if text == "-" {
            return Ok(Self::Stream);
        }
        let container = text.split_once(':').filter(|_| !text.starts_with(['/', '.']));
        match container {
            None if text.is_empty() => Err(Failure::new("E_CONFIG", "copying: a path is empty")),
            None => Ok(Self::Host(text.into())),
            Some(("", _)) => {
                Err(Failure::new("E_CONFIG", format!("copying {text}: there is no name before the colon"))
                    .with_hint("a file of the host whose name begins so is written with ./ before it"))
            }
            Some((name, path)) => {
                let path = if path.is_empty() { "/" } else { path };
                Ok(Self::Container(name.into(), path.into()))
            }
        }
    }
}

impl Invocation for CpArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("Out of a container", "coracle cp web:/etc/nginx ./nginx"),
        ("Into a container, what is in a directory", "coracle cp site/. web:/srv/www"),
        ("As a tar archive", "coracle cp web:/var/log - | tar -tf -"),
    ];
    const SECTIONS: &'static [(&'static str, &'static str)] = &[(
        "DESTINATIONS",
        "If the destination is a directory, the source is copied into it; of a directory whose name is given with /. at its end \
         only what is in it. If there is nothing, its directory must exist, and the copy gets the name. A destination that ends \
         in a slash must be a directory. A directory does not take the place of another file, nor the other way round, unless \
         --overwrite is given. Modes, times and symbolic links are copied as they are. Copied into a container, files belong \
         to its user, copied out of it, to who copies; with --archive owners are kept as far as they can be. Sockets, and \
         devices that are copied to the host, are left out with a warning.",
    )];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let (from, to) = (Written::parse(&self.source)?, Written::parse(&self.destination)?);
        refuse_terminal(to == Written::Stream, "cp CONTAINER:PATH FILE copies to a file")?;
        // podman's name for what it does, too, unless it is told otherwise.
        let archive = self.archive || configured().flag("chown_copied_files") == Some(false);
        let options = Options { archive, overwrite: self.overwrite, follow: self.follow_link };
        let stdout: &mut dyn Write = &mut io::stdout();
        let warnings = dispatch::copy(&globals.layout()?, (from, to), options, &mut io::stdin().lock(), stdout)?;
        warn_all(&warnings);
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_container_is_seen_by_its_colon() {
        let container = |name: &str, path: &str| Written::Container(name.into(), path.into());
        let parse = |text| Written::parse(text).unwrap();
        assert_eq!(parse("web:/a:b"), container("web", "/a:b"));
        assert_eq!(parse("web:a"), container("web", "a"));
        assert_eq!(parse("web:"), container("web", "/"));
        for host in ["./a:b", "/a:b", "../a:b", "a"] {
            assert_eq!(parse(host), Written::Host(host.into()));
        }
        assert_eq!(parse("-"), Written::Stream);
        assert!(Written::parse(":/a").is_err() && Written::parse("").is_err());
    }
}
