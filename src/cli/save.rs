//! `save` and `image save`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::configuration::configured;
use super::dispatch;
use super::export::refuse_terminal;
use super::tree::{Globals, Invocation};
use crate::failure::Failure;
use crate::image::push::Members;
use crate::image::reform::{Change, Encoding, Extent, Recompression};
use crate::image::request::Progress;
use crate::image::save::Content;
use crate::name::image_location::ArchiveFormat;

/// Save images to an archive
///
/// What docker, podman, skopeo and load read. Layers are written as they came from the registry, so that all digests stay
/// what they are. An image for several platforms keeps its index and what of it is in the store.
#[derive(Args, Clone, Debug)]
pub struct SaveArgs {
    /// Write to this file, or directory, instead of standard output
    #[arg(short, long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    output: Option<PathBuf>,
    /// What is written
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = FormatWord::DockerArchive)]
    format: FormatWord,
    /// Take every name for an image; otherwise one that no image has is one more name of the first
    #[arg(short, long)]
    multi_image_archive: bool,
    /// Compress layers with gzip (docker-dir only)
    #[arg(long)]
    compress: bool,
    /// Write layers that are not compressed (oci-archive and oci-dir only)
    #[arg(long, conflicts_with = "compress")]
    uncompressed: bool,
    /// Do not show progress
    #[arg(short, long)]
    quiet: bool,
    /// Names or ids of images
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

/// `--format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FormatWord {
    /// A tar for docker, which is an OCI layout, too
    DockerArchive,
    /// A tar of an OCI layout
    OciArchive,
    /// A directory as dir: has it
    DockerDir,
    /// An OCI layout
    OciDir,
}

/// What `save` is to do.
pub struct SaveRequest {
    /// Names or ids.
    pub images: Vec<String>,
    /// Whether all of them are images.
    pub all_images: bool,
    /// What is written.
    pub format: ArchiveFormat,
    /// What of the images.
    pub content: Content,
    /// To where; absent for standard output.
    pub output: Option<PathBuf>,
    /// What is said meanwhile.
    pub progress: Progress,
}

impl Invocation for SaveArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("Into a file", "coracle save -o images.tar debian:12 nginx"),
        ("To another machine", "coracle save debian:12 | ssh HOST podman load"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let layout = globals.layout()?;
        dispatch::save(&layout, self.into_request()?)?;
        Ok(0)
    }
}

impl SaveArgs {
    fn into_request(self) -> Result<SaveRequest, Failure> {
        let output = self.output.filter(|path| path.as_os_str() != "-");
        let format = self.format.format();
        if output.is_none() {
            if matches!(format, ArchiveFormat::OciLayout | ArchiveFormat::Directory) {
                let failure = Failure::new("E_CONFIG", "writing a directory to standard output");
                return Err(failure.with_hint("-o DIR names it"));
            }
            refuse_terminal(true, "-o FILE writes it to a file")?;
        }
        Ok(SaveRequest {
            images: self.images,
            all_images: self.multi_image_archive || configured().flag("multi_image_archive") == Some(true),
            content: content(format, self.compress, self.uncompressed)?,
            format,
            output,
            progress: if self.quiet { Progress::Quiet } else { Progress::Shown },
        })
    }
}

/// What of the images is written.
fn content(format: ArchiveFormat, compress: bool, uncompressed: bool) -> Result<Content, Failure> {
    let refused = |flag: &str, formats: &str| {
        let failure = Failure::new("E_CONFIG", format!("{flag} is not for this format"));
        Err(failure.with_hint(format!("it is for --format {formats}")))
    };
    let own = |encoding: Option<Encoding>| {
        let recompression = encoding.map(|encoding| Recompression { encoding, extent: Extent::Others });
        Content { members: Members::Own, change: Change { format: None, recompression } }
    };
    match format {
        ArchiveFormat::Directory if compress => Ok(own(Some(Encoding::Gzip(6)))),
        _ if compress => refused("--compress", "docker-dir"),
        ArchiveFormat::OciLayout | ArchiveFormat::OciArchive if uncompressed => Ok(own(Some(Encoding::Plain))),
        _ if uncompressed => refused("--uncompressed", "oci-archive and oci-dir"),
        ArchiveFormat::Directory => Ok(own(None)),
        _ => Ok(Content::EVERYTHING),
    }
}

impl FormatWord {
    fn format(self) -> ArchiveFormat {
        match self {
            Self::DockerArchive => ArchiveFormat::DockerArchive,
            Self::OciArchive => ArchiveFormat::OciArchive,
            Self::DockerDir => ArchiveFormat::Directory,
            Self::OciDir => ArchiveFormat::OciLayout,
        }
    }
}
