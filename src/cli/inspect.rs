//! `inspect`, `container inspect` and `image inspect`.

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::dispatch::Sizes;
use super::render::format::Format;
use super::render::{json, output};
use super::tree::{Globals, Invocation};
use super::{dispatch, error};
use crate::failure::{EXIT_OWN_FAILURE, Failure};
use crate::state::layout::Layout;

/// Show everything about containers and images
///
/// Prints a JSON list. A name is looked for among the containers first.
#[derive(Args, Clone, Debug)]
pub struct InspectArgs {
    /// What the names are names of
    #[arg(short = 't', long = "type", value_name = "TYPE", value_enum, default_value_t = Kind::All, hide_possible_values = false)]
    kind: Kind,
    #[command(flatten)]
    containers: OfContainers,
    #[command(flatten)]
    what: What,
}

/// What is said of containers alone.
#[derive(Args, Clone, Debug)]
struct OfContainers {
    /// Show how much room each takes: SizeRw and SizeRootFs
    #[arg(short, long)]
    size: bool,
    /// Show the container made last
    #[arg(short, long, conflicts_with = "names")]
    latest: bool,
}

/// Show everything about containers
///
/// Prints a JSON list.
#[derive(Args, Clone, Debug)]
pub struct InspectContainerArgs {
    #[command(flatten)]
    containers: OfContainers,
    #[command(flatten)]
    what: What,
}

/// Show everything about images
///
/// Prints a JSON list.
#[derive(Args, Clone, Debug)]
pub struct InspectImageArgs {
    #[command(flatten)]
    what: What,
}

#[derive(Args, Clone, Debug)]
struct What {
    /// Print what this Go template makes of each, in place of JSON
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// What names are names of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Containers, else images.
    #[value(help = None)]
    All,
    /// Containers.
    #[value(help = None)]
    Container,
    /// Images.
    #[value(help = None)]
    Image,
}

const EXAMPLES: &[(&str, &str)] = &[
    ("All of it", "coracle inspect web"),
    ("One thing", "coracle inspect --format '{{.State.Status}}' web"),
    ("The layers of an image", "coracle inspect --format '{{json .RootFS.Layers}}' debian"),
];

impl Invocation for InspectArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = EXAMPLES;

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        self.what.execute(self.kind, Some(&self.containers), globals)
    }
}

impl Invocation for InspectContainerArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[EXAMPLES[0], EXAMPLES[1]];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        self.what.execute(Kind::Container, Some(&self.containers), globals)
    }
}

impl Invocation for InspectImageArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[EXAMPLES[2]];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        self.what.execute(Kind::Image, None, globals)
    }
}

impl What {
    /// Prints what was found, and an error for each name that was not.
    fn execute(mut self, kind: Kind, of: Option<&OfContainers>, globals: &Globals) -> Result<u8, Failure> {
        let format = self.format.as_deref().map(Format::parse).transpose()?.unwrap_or(Format::Json);
        let layout = globals.layout()?;
        let sizes = if of.is_some_and(|of| of.size) { Sizes::Measured } else { Sizes::Unknown };
        if of.is_some_and(|of| of.latest) {
            self.names.push(dispatch::latest_container(&layout)?.to_string());
        }
        if self.names.is_empty() {
            return Err(
                Failure::new("E_CONFIG", "inspecting nothing").with_hint("name something, as in `ps` or `images`")
            );
        }
        let mut exit_code = 0;
        let mut found = Vec::new();
        for name in &self.names {
            match find(&layout, kind, name, sizes) {
                Ok(value) => found.push(value),
                Err(failure) => {
                    error::report(&failure);
                    exit_code = EXIT_OWN_FAILURE;
                }
            }
        }
        output::write(&format.list(&found, &found, &[], super::render::format::Header::Shown)?)?;
        Ok(exit_code)
    }
}

fn find(layout: &Layout, kind: Kind, name: &str, sizes: Sizes) -> Result<Value, Failure> {
    if kind != Kind::Image
        && let Some(report) = dispatch::inspect_container(layout, name, sizes)?
    {
        return json::value(&report);
    }
    if kind != Kind::Container
        && let Some(report) = dispatch::inspect_image(layout, &name.parse()?)?
    {
        return json::value(&report);
    }
    let (what, list) = match kind {
        Kind::All => ("container or image", "`coracle ps -a` and `coracle images` list what there is"),
        Kind::Container => ("container", "`coracle ps -a` lists the containers"),
        Kind::Image => ("image", "`coracle images` lists the images"),
    };
    Err(Failure::new("E_NOTFOUND", format!("inspecting {name:?}: no such {what}")).with_hint(list))
}
