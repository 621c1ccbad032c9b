//! `manifest create`, `add`, `annotate`, `inspect`, `push`, `remove`, `rm` and `exists`.

use std::collections::BTreeMap;

use clap::{ArgAction, Args};

use super::commit::local_name;
use super::dispatch::manifest::{self as dispatch, Addition};
use super::push::{SendFlags, destination};
use super::registry_flags::{RegistryFlags, TransferFlags};
use super::render::{json, output};
use super::rm::{REMOVAL_EXIT_STATUS, Removals};
use super::rmi;
use super::tree::{Globals, Invocation, parse_boolean};
use crate::failure::Failure;
use crate::image::manifest_list::{Annotation, IfExists, MemberSelector, Source};
use crate::image::push::Members;
use crate::image::request::PushRequest;
use crate::name::image_location::ImageLocation;
use crate::name::image_selector::ImageSelector;
use crate::oci::digest::ImageId;

/// Make a list of images for several platforms
///
/// Prints its id. A list has a name as images have one: images shows it, run takes its image for this platform, tag and rmi
/// work as well.
#[derive(Args, Clone, Debug)]
pub struct CreateArgs {
    /// Add all images of an index, not only the one for this platform
    #[arg(long)]
    all: bool,
    /// Go on with a list of this name, if there is one
    #[arg(short, long)]
    amend: bool,
    /// Annotation of the list
    #[arg(long, value_name = "KEY=VALUE")]
    annotation: Vec<String>,
    #[command(flatten)]
    registry: RegistryFlags,
    /// Name of the list; one without a registry is in localhost
    #[arg(value_name = "LIST")]
    list: String,
    /// Images to add, as manifest add takes them
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
}

/// Add images to a list
///
/// An image of the store, or of a registry: its documents and layers are fetched and kept, and unpacked when they are run.
/// Prints the id of the list.
#[derive(Args, Clone, Debug)]
pub struct AddArgs {
    /// Add all images of an index, not only the one for this platform
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    annotation: AnnotationFlags,
    #[command(flatten)]
    registry: TransferFlags,
    /// Name or id of the list
    #[arg(value_name = "LIST")]
    list: String,
    /// Images: a name or id of the store, or docker://NAME
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

/// Change what a list says about an image
///
/// Prints the id of the list.
#[derive(Args, Clone, Debug)]
pub struct AnnotateArgs {
    /// Give the annotations to the list itself
    #[arg(long, conflicts_with_all = ["image", "arch", "os", "os_version", "variant", "os_features", "features"])]
    index: bool,
    #[command(flatten)]
    annotation: AnnotationFlags,
    /// Name or id of the list
    #[arg(value_name = "LIST")]
    list: String,
    /// Digest of a manifest in the list, or an image of the store
    #[arg(value_name = "IMAGE", required_unless_present = "index")]
    image: Option<String>,
}

/// What is said about an image in a list.
#[derive(Args, Clone, Debug)]
struct AnnotationFlags {
    /// Annotation
    #[arg(long, value_name = "KEY=VALUE")]
    annotation: Vec<String>,
    /// Architecture of the platform
    #[arg(long, value_name = "ARCH")]
    arch: Option<String>,
    /// Operating system of the platform
    #[arg(long, value_name = "OS")]
    os: Option<String>,
    /// Version of the operating system
    #[arg(long, value_name = "VERSION")]
    os_version: Option<String>,
    /// Variant of the architecture
    #[arg(long, value_name = "VARIANT")]
    variant: Option<String>,
    /// Feature that the operating system must have
    #[arg(long, value_name = "FEATURE", value_delimiter = ',')]
    os_features: Vec<String>,
    /// Feature that the processor must have
    #[arg(long, value_name = "FEATURE", value_delimiter = ',')]
    features: Vec<String>,
}

/// Show a list, or the manifest of an image
///
/// Prints the document as it is, indented. What is not in the store is looked for in the registry; docker://NAME looks only
/// there.
#[derive(Args, Clone, Debug)]
pub struct InspectArgs {
    #[command(flatten)]
    registry: TransferFlags,
    /// Name or id of the list, or docker://NAME
    #[arg(value_name = "LIST")]
    list: String,
}

/// Send a list to a registry
#[derive(Args, Clone, Debug)]
pub struct PushArgs {
    /// Send the images of the list, too; without them they must be in the repository already
    #[arg(
        long,
        value_name = "BOOL",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        default_value = "true",
        value_parser = parse_boolean
    )]
    all: bool,
    /// Remove the list when it was sent
    #[arg(short = 'p', long, alias = "purge")]
    rm: bool,
    #[command(flatten)]
    transfer: SendFlags,
    /// Name or id of the list
    #[arg(value_name = "LIST")]
    list: String,
    /// Where it goes, as [docker://][registry/]repository[:tag] [default: the list's name]
    #[arg(value_name = "DESTINATION")]
    destination: Option<String>,
}

/// Remove an image from a list
///
/// Prints the id of the list.
#[derive(Args, Clone, Debug)]
pub struct RemoveArgs {
    /// Name or id of the list
    #[arg(value_name = "LIST")]
    list: String,
    /// Digest of a manifest in the list, or an image of the store
    #[arg(value_name = "IMAGE")]
    image: String,
}

/// Remove lists
#[derive(Args, Clone, Debug)]
pub struct RmArgs {
    /// A list that does not exist is no failure
    #[arg(short, long)]
    ignore: bool,
    /// Names or ids of lists
    #[arg(value_name = "LIST", required = true)]
    lists: Vec<String>,
}

/// Check whether a list exists
///
/// Prints nothing; the exit code tells.
#[derive(Args, Clone, Debug)]
pub struct ExistsArgs {
    /// Name or id of the list
    #[arg(value_name = "LIST")]
    list: String,
}

impl Invocation for CreateArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("Empty", "coracle manifest create app"),
        (
            "Of images that are in a registry",
            "coracle manifest create app docker://quay.io/me/app:amd64 docker://quay.io/me/app:arm64",
        ),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let name = local_name(&self.list)?;
        let sources: Vec<Source> = self.images.iter().map(|text| source(text)).collect::<Result<_, _>>()?;
        let if_exists = if self.amend { IfExists::Amend } else { IfExists::Refuse };
        let layout = globals.layout()?;
        let id = dispatch::create(&layout, &name, if_exists, &annotations(&self.annotation)?)?;
        let list = ImageSelector::Id(id.hex().to_owned());
        for source in sources {
            let (named, access) = (list.clone(), self.registry.clone().access(None));
            let addition = Addition { list: named, source, all: self.all, annotation: Annotation::default(), access };
            if let Err(failure) = dispatch::add(&layout, addition) {
                if !self.amend {
                    // What is asked for is made whole or not at all; that it cannot be removed is the lesser trouble.
                    let _ = dispatch::rm(&layout, &list);
                }
                return Err(failure);
            }
        }
        print(&id)
    }
}

impl Invocation for AddArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("An image of the store", "coracle manifest add app localhost/app-amd64"),
        ("All platforms of an image of a registry", "coracle manifest add --all app docker://debian:12"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let sources: Vec<Source> = self.images.iter().map(|text| source(text)).collect::<Result<_, _>>()?;
        let (annotation, list): (_, ImageSelector) = (self.annotation.parse()?, self.list.parse()?);
        let access = self.registry.access()?;
        let layout = globals.layout()?;
        let mut id = None;
        for source in sources {
            let (list, annotation, access) = (list.clone(), annotation.clone(), access.clone());
            id = Some(dispatch::add(&layout, Addition { list, source, all: self.all, annotation, access })?);
        }
        id.as_ref().map_or(Ok(0), print)
    }
}

impl Invocation for AnnotateArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("The platform of an image", "coracle manifest annotate --arch arm --variant v6 app localhost/app-arm"),
        ("An annotation of the list", "coracle manifest annotate --index --annotation version=1 app"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let member = self.image.as_deref().map(member).transpose()?;
        let annotation = self.annotation.parse()?;
        print(&dispatch::annotate(&globals.layout()?, &self.list.parse()?, member.as_ref(), &annotation)?)
    }
}

impl Invocation for InspectArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("Of the store", "coracle manifest inspect app"),
        ("Of a registry", "coracle manifest inspect docker://debian:12"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let access = self.registry.access()?;
        let document = dispatch::inspect(&globals.layout()?, &source(&self.list)?, access)?;
        output::write(&json::indented(&document)?).map(|()| 0)
    }
}

impl Invocation for PushArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] =
        &[("With all its images", "coracle manifest push app docker://quay.io/me/app:1")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let image: ImageSelector = self.list.parse()?;
        let destination = self.destination.as_deref().map(destination).transpose()?;
        let members = if self.all { Members::All } else { Members::Own };
        let (transfer, digestfile) = self.transfer.parse()?;
        let layout = globals.layout()?;
        let digest = dispatch::push(&layout, PushRequest { image: image.clone(), destination, members, transfer })?;
        digestfile.write(&digest.to_string())?;
        if self.rm {
            dispatch::rm(&layout, &image)?;
        }
        Ok(0)
    }
}

impl Invocation for RemoveArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] =
        &[("By its name in the store", "coracle manifest remove app localhost/app-arm")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        print(&dispatch::remove(&globals.layout()?, &self.list.parse()?, &member(&self.image)?)?)
    }
}

impl Invocation for RmArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[("A list", "coracle manifest rm app")];
    const EXIT_STATUS: &'static [(&'static str, &'static str)] = REMOVAL_EXIT_STATUS;

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        let mut removals = Removals::default();
        for list in &self.lists {
            let selector = list.parse::<ImageSelector>().map_err(Failure::from);
            match selector.and_then(|selector| dispatch::rm(&layout, &selector)) {
                Ok(removed) => output::write(&removed.iter().map(rmi::line).collect::<String>())?,
                Err(failure) if failure.code() == "E_NOTFOUND" && self.ignore => {}
                Err(failure) => removals.failed(&failure),
            }
        }
        Ok(removals.exit_code())
    }
}

impl Invocation for ExistsArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] =
        &[("In a script", "coracle manifest exists app || coracle manifest create app")];
    const EXIT_STATUS: &'static [(&'static str, &'static str)] =
        &[("0", "It exists."), ("1", "It does not."), ("125", "A failure.")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        Ok(if dispatch::exists(&globals.layout()?, &self.list.parse()?)? { 0 } else { 1 })
    }
}

fn print(id: &ImageId) -> Result<u8, Failure> {
    output::write(&format!("{}\n", id.hex())).map(|()| 0)
}

/// Where an image or a list is.
fn source(text: &str) -> Result<Source, Failure> {
    match text.parse()? {
        ImageLocation::Registry(reference) if text.starts_with("docker://") => Ok(Source::Registry(reference)),
        ImageLocation::Registry(_) => Ok(Source::Anywhere(text.parse()?)),
        ImageLocation::Store(selector) => Ok(Source::Store(selector)),
        ImageLocation::Archive(location) => {
            let failure = Failure::new(
                "E_CONFIG",
                format!("taking {location} for a list: it is neither in the store nor in a registry"),
            );
            Err(failure.with_hint("coracle load brings it into the store"))
        }
    }
}

fn member(text: &str) -> Result<MemberSelector, Failure> {
    Ok(match text.parse() {
        Ok(digest) => MemberSelector::Digest(digest),
        Err(_) => MemberSelector::Image(text.parse()?),
    })
}

fn annotations(words: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let pair = |word: &String| match word.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Failure::new("E_CONFIG", format!("--annotation {word:?} is not of the form KEY=VALUE"))
            .with_hint("for example org.opencontainers.image.version=1")),
    };
    words.iter().map(pair).collect()
}

impl AnnotationFlags {
    fn parse(self) -> Result<Annotation, Failure> {
        Ok(Annotation {
            annotations: annotations(&self.annotation)?,
            architecture: self.arch,
            os: self.os,
            os_version: self.os_version,
            variant: self.variant,
            os_features: self.os_features,
            features: self.features,
        })
    }
}
