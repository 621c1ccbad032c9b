//! `import`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal};

use clap::{Args, ValueHint};

use super::commit::{changes, local_name};
use super::dispatch;
use super::render::output;
use super::tree::{Globals, Invocation};
use crate::failure::Failure;
use crate::image::import::ImportRequest;
use crate::oci::platform::Platform;
use crate::state::record::io_code;

/// Make an image of a tar archive
///
/// The archive is the image's only layer: what export writes, or any other tree with a root in it. It may be compressed with
/// gzip or zstd. Prints the id of the image.
#[derive(Args, Clone, Debug)]
pub struct ImportArgs {
    /// Instruction that changes the settings: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME or WORKDIR
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// Text for the image's history
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Operating system that the image is for
    #[arg(long, value_name = "OS")]
    os: Option<String>,
    /// Architecture that the image is for
    #[arg(long, value_name = "ARCH")]
    arch: Option<String>,
    /// Variant of the architecture
    #[arg(long, value_name = "VARIANT")]
    variant: Option<String>,
    /// Print the id only; nothing else is ever printed
    #[arg(short, long)]
    quiet: bool,
    /// The archive: a file, an address on the web, or - for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: String,
    /// Name of the image; one without a registry is in localhost
    #[arg(value_name = "IMAGE")]
    image: Option<String>,
}

impl Invocation for ImportArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("A container's files", "coracle export web | coracle import - web-files"),
        ("From the web", "coracle import https://example.com/rootfs.tar.gz mine"),
        ("With a command", "coracle import -c 'CMD [\"/bin/sh\"]' rootfs.tar.gz mine:1"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let request = ImportRequest {
            changes: changes(&self.change)?,
            platform: self.platform()?,
            reference: self.image.as_deref().map(local_name).transpose()?,
            source: self.file.clone(),
            message: self.message,
        };
        let layout = globals.layout()?;
        let is_address = ["http://", "https://"].iter().any(|scheme| self.file.starts_with(scheme));
        if is_address {
            let mut web = BufReader::with_capacity(128 << 10, dispatch::download(&self.file)?);
            let imported = dispatch::import(&layout, request, &mut web);
            if let (Err(_), Some(broken)) = (&imported, web.get_ref().broken()) {
                let failure =
                    Failure::new("E_SIZE_MISMATCH", format!("importing {}: it broke off: {broken}", self.file));
                return Err(failure.with_hint("try it again, or fetch it with `curl -C -` and import the file"));
            }
            return output::write(&format!("{}\n", imported?)).map(|()| 0);
        }
        let mut tar = open_archive(&self.file)?;
        let id = dispatch::import(&layout, request, &mut tar)?;
        output::write(&format!("{id}\n"))?;
        Ok(0)
    }
}

/// The archive in this file, or on standard input.
pub(super) fn open_archive(file: &str) -> Result<Box<dyn BufRead>, Failure> {
    if file != "-" {
        let opened = File::open(file).map_err(|cause| {
            let code = if cause.kind() == io::ErrorKind::NotFound { "E_NOTFOUND" } else { io_code(&cause) };
            Failure::new(code, format!("opening {file}: {cause}"))
        });
        return Ok(Box::new(BufReader::with_capacity(128 << 10, opened?)));
    }
    if io::stdin().is_terminal() {
        return Err(Failure::new("E_CONFIG", "importing an archive from a terminal")
            .with_hint("name a file, or pipe the archive in"));
    }
    Ok(Box::new(io::stdin().lock()))
}

impl ImportArgs {
    fn platform(&self) -> Result<Platform, Failure> {
        let host = Platform::host();
        let mut text = format!(
            "{}/{}",
            self.os.as_deref().unwrap_or(&host.os),
            self.arch.as_deref().unwrap_or(&host.architecture)
        );
        let own = host.variant.filter(|_| self.arch.is_none());
        if let Some(variant) = self.variant.as_deref().or(own.as_deref()) {
            text.push('/');
            text.push_str(variant);
        }
        Ok(text.parse()?)
    }
}
