//! `commit`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::configuration::configured;
use super::dispatch;
use super::export::warn_all;
use super::render::output;
use super::tree::{Globals, Invocation};
use crate::container::commit::{Layers, Request, Volumes};
use crate::failure::Failure;
use crate::image::assemble::Format;
use crate::name::config_change::ConfigChange;
use crate::name::reference::Reference;
use crate::state::record::io_code;

/// Make an image of a container
///
/// What the container has changed in the files of its image becomes a new layer; its command, environment, user, working
/// directory and labels become the settings of the new image. Volumes and directories that are mounted are no part of it.
/// Owners are those that the container has given its files. Where it has seen no others than its own user, what it has put in
/// the place of a file of the image keeps the owner of that, with a warning.
/// Prints the id of the image.
#[derive(Args, Clone, Debug)]
pub struct CommitArgs {
    /// Text for the image's history
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Author of the image
    #[arg(short, long, value_name = "NAME")]
    author: Option<String>,
    /// Instruction that changes the settings: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME or WORKDIR
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// Format of the image's documents [default: oci]
    #[arg(short, long, value_name = "FORMAT", value_enum)]
    format: Option<FormatWord>,
    /// Make one layer of everything
    #[arg(short, long)]
    squash: bool,
    /// Stop the container's processes meanwhile
    #[arg(short, long)]
    pause: bool,
    /// Let the image ask for volumes where the container has some; what is in them is no part of it
    #[arg(long)]
    include_volumes: bool,
    /// Do not warn of files that were left out
    #[arg(short, long)]
    quiet: bool,
    /// Write the id of the image to this file, too
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    iidfile: Option<PathBuf>,
    /// Name or id of a container
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Name of the image; one without a registry is in localhost
    #[arg(value_name = "IMAGE")]
    image: Option<String>,
}

/// `--format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FormatWord {
    /// OCI's
    Oci,
    /// Docker's, version 2, schema 2
    Docker,
}

/// The format that containers.conf has for images that are made here.
fn configured_format() -> Result<Option<Format>, Failure> {
    let known = |text: &str| match text {
        "oci" => Some(Format::Oci),
        "v2s2" | "docker" => Some(Format::Docker),
        _ => None,
    };
    Ok(configured().parsed("image_default_format", "oci or v2s2", known)?)
}

/// The name of an image that is made here.
pub(super) fn local_name(text: &str) -> Result<Reference, Failure> {
    let reference: Reference = text.parse()?;
    if reference.digest().is_some() {
        let failure =
            Failure::new("E_CONFIG", format!("naming the image {text}: its digest is not known before it is made"));
        return Err(failure.with_hint("a name ends in a tag, as in name:tag"));
    }
    Ok(if reference.is_short() { reference.in_localhost() } else { reference })
}

/// `--change`.
pub(super) fn changes(words: &[String]) -> Result<Vec<ConfigChange>, Failure> {
    Ok(words.iter().map(|word| word.parse()).collect::<Result<_, _>>()?)
}

impl Invocation for CommitArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("Under a name", "coracle commit web myweb:2"),
        ("With another command", "coracle commit -c 'CMD [\"nginx\", \"-g\", \"daemon off;\"]' web myweb:3"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let request = Request {
            changes: changes(&self.change)?,
            reference: self.image.as_deref().map(local_name).transpose()?,
            format: match self.format {
                Some(FormatWord::Docker) => Format::Docker,
                Some(FormatWord::Oci) => Format::Oci,
                None => configured_format()?.unwrap_or(Format::Oci),
            },
            layers: if self.squash { Layers::Squashed } else { Layers::Kept },
            message: self.message,
            author: self.author,
            pause: self.pause,
            volumes: if self.include_volumes { Volumes::Declared } else { Volumes::LeftOut },
        };
        let (id, warnings) = dispatch::commit(&globals.layout()?, &self.container, request)?;
        if !self.quiet {
            warn_all(&warnings);
        }
        if let Some(path) = &self.iidfile {
            std::fs::write(path, id.hex()).map_err(|cause| {
                Failure::new(io_code(&cause), format!("writing the image's id to {}: {cause}", path.display()))
            })?;
        }
        output::write(&format!("{}\n", id.hex()))?;
        Ok(0)
    }
}
