//! `push`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::configuration::configured;
use super::dispatch;
use super::registry_flags::TransferFlags;
use super::tree::{Globals, Invocation};
use crate::failure::Failure;
use crate::host::config::containers::ContainersConf;
use crate::image::assemble::Format;
use crate::image::push::Members;
use crate::image::reform::{Change, Encoding, Extent, Recompression};
use crate::image::request::{Progress, PushDestination, PushRequest, Transfer};
use crate::name::image_location::ImageLocation;
use crate::name::image_selector::ImageSelector;
use crate::oci::media_type::Compression;
use crate::state::record::{io_code, io_hint};

/// Send an image to a registry, a file or a directory
///
/// Documents and layers arrive bit for bit as they are in the store, under the same digests, unless --format or
/// --compression-format ask for something else. What the registry has already is not sent. An OCI
/// layout that is there is added to; other files are replaced once all is written.
#[derive(Args, Clone, Debug)]
pub struct PushArgs {
    /// Send all images of the index under which the image was pulled, and the index
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    transfer: SendFlags,
    /// Name or id of the image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Where it goes, as [docker://][registry/]repository[:tag], oci:DIR[:TAG], oci-archive:FILE[:TAG],
    /// docker-archive:FILE[:NAME] or dir:DIR [default: the image's name]
    #[arg(value_name = "DESTINATION")]
    destination: Option<String>,
}

/// Flags of what sends images.
#[derive(Args, Clone, Debug)]
pub struct SendFlags {
    #[command(flatten)]
    registry: TransferFlags,
    /// Write the digest of what was sent to this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    digestfile: Option<PathBuf>,
    /// Format of the documents: oci or v2s2 [default: the image's own]
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Compress layers that are compressed otherwise with gzip, zstd or zstd:chunked, of which others can fetch parts
    #[arg(long, value_name = "FORMAT")]
    compression_format: Option<String>,
    /// Compress all layers with this level: 1 to 9 for gzip, else 1 to 20
    #[arg(long, value_name = "LEVEL")]
    compression_level: Option<u32>,
    /// Compress all layers anew, those that have the wanted format included
    #[arg(long)]
    force_compression: bool,
    /// Compress layers that are not compressed with gzip; for directories, as podman has it
    #[arg(long, hide = true)]
    compress: bool,
    /// Do nothing: there is no content trust, as in podman
    #[arg(long, hide = true)]
    disable_content_trust: bool,
    /// Send no signatures; coracle keeps none
    #[arg(long)]
    remove_signatures: bool,
    /// Do not show progress
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    refused: RefusedFlags,
    /// The level of layers that are compressed, where none is given.
    #[arg(skip)]
    usual_level: Option<u32>,
}

/// What others do to images on their way, and coracle does not: to send them without it would be the wrong thing.
#[derive(Args, Clone, Debug)]
struct RefusedFlags {
    /// Refused: images are not signed
    #[arg(long, value_name = "KEY", hide = true)]
    sign_by: Option<String>,
    /// Refused: images are not signed
    #[arg(long, value_name = "FILE", hide = true)]
    sign_by_sigstore: Option<String>,
    /// Refused: images are not signed
    #[arg(long, value_name = "FILE", hide = true)]
    sign_by_sigstore_private_key: Option<String>,
    /// Refused: images are not signed
    #[arg(long, value_name = "FILE", hide = true)]
    sign_passphrase_file: Option<String>,
    /// Refused: images are not encrypted
    #[arg(long, value_name = "KEY", hide = true)]
    encryption_key: Vec<String>,
    /// Refused: images are not encrypted
    #[arg(long, value_name = "LAYER", hide = true)]
    encrypt_layer: Vec<String>,
}

impl RefusedFlags {
    fn check(&self) -> Result<(), Failure> {
        let signs = [
            ("--sign-by", &self.sign_by),
            ("--sign-by-sigstore", &self.sign_by_sigstore),
            ("--sign-by-sigstore-private-key", &self.sign_by_sigstore_private_key),
            ("--sign-passphrase-file", &self.sign_passphrase_file),
        ];
        if let Some((flag, _)) = signs.iter().find(|(_, value)| value.is_some()) {
            let failure = Failure::new("E_CONFIG", format!("{flag}: images are not signed"));
            return Err(failure.with_hint("push it without, and sign what the registry has with `cosign sign`"));
        }
        if !self.encryption_key.is_empty() || !self.encrypt_layer.is_empty() {
            let failure = Failure::new("E_CONFIG", "--encryption-key, --encrypt-layer: images are not encrypted");
            return Err(failure.with_hint("save it, and send it with `skopeo copy --encryption-key`"));
        }
        Ok(())
    }
}

impl Invocation for PushArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("Under its own name", "coracle push quay.io/me/app:1"),
        (
            "Under another, with layers compressed with zstd",
            "coracle push --compression-format zstd app quay.io/me/app:2",
        ),
        ("Into a directory", "coracle push debian:12 oci:layout:12"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let image: ImageSelector = self.image.parse()?;
        let destination = self.destination.as_deref().map(destination).transpose()?;
        let members = if self.all { Members::All } else { Members::Own };
        let (transfer, digestfile) = self.transfer.parse()?;
        let request = PushRequest { image, destination, members, transfer };
        let digest = dispatch::push::push(&globals.layout()?, request)?;
        digestfile.write(&digest.to_string()).map(|()| 0)
    }
}

/// Where images can be pushed to.
pub fn destination(text: &str) -> Result<PushDestination, Failure> {
    match text.parse()? {
        ImageLocation::Registry(reference) => Ok(PushDestination::Registry(reference)),
        ImageLocation::Archive(location) => Ok(PushDestination::Archive(location)),
        ImageLocation::Store(image) => Err(Failure::new("E_CONFIG", format!("pushing to {text}: it would stay here"))
            .with_hint(format!("coracle tag IMAGE {image} gives an image another name"))),
    }
}

/// The file that is to hold a digest.
#[derive(Debug)]
pub struct DigestFile(Option<PathBuf>);

impl DigestFile {
    /// Writes it, if there is one.
    pub fn write(&self, digest: &str) -> Result<(), Failure> {
        let Some(path) = &self.0 else { return Ok(()) };
        std::fs::write(path, digest).map_err(|cause| {
            let failure = Failure::new(io_code(&cause), format!("writing the digest to {}: {cause}", path.display()));
            match io_hint(&cause) {
                Some(hint) => failure.with_hint(hint),
                None => failure,
            }
        })
    }
}

impl SendFlags {
    /// In types.
    pub fn parse(self) -> Result<(Transfer, DigestFile), Failure> {
        self.refused.check()?;
        let change = self.configured(configured())?.change()?;
        let progress = if self.quiet { Progress::Quiet } else { Progress::Shown };
        let transfer = Transfer { change, access: self.registry.access()?, progress };
        Ok((transfer, DigestFile(self.digestfile)))
    }

    /// With the compression that containers.conf has. Its level is that of layers that are compressed anyway; docker's format
    /// has gzip alone.
    fn configured(&self, conf: &ContainersConf) -> Result<Self, Failure> {
        let mut flags = self.clone();
        let is_docker = matches!(self.format.as_deref(), Some("v2s2" | "docker"));
        let is_given = self.compression_format.is_some() || self.force_compression || self.compress;
        let known = |text: &str| matches!(text, "gzip" | "zstd" | "zstd:chunked").then(|| text.to_owned());
        if !is_given && !is_docker {
            flags.compression_format = conf.parsed("compression_format", "gzip, zstd or zstd:chunked", known)?;
        }
        let highest = if matches!(flags.compression_format.as_deref(), None | Some("gzip")) { 9 } else { 20 };
        let level = |text: &str| text.parse().ok().filter(|level| (1..=highest).contains(level));
        flags.usual_level = conf.parsed("compression_level", "a level of this compression", level)?;
        Ok(flags)
    }

    fn change(&self) -> Result<Change, Failure> {
        let format = match self.format.as_deref() {
            None => None,
            Some("oci") => Some(Format::Oci),
            Some("v2s2" | "docker") => Some(Format::Docker),
            Some(other) => {
                let failure = Failure::new("E_CONFIG", format!("--format {other:?}: there is no such format"));
                return Err(failure.with_hint("oci or v2s2"));
            }
        };
        let recompression = self.recompression()?;
        let to_zstd = recompression.is_some_and(|to| to.encoding.compression() == Compression::Zstd);
        if format == Some(Format::Docker) && to_zstd {
            let failure = Failure::new("E_CONFIG", "--format v2s2: docker's format has no layers compressed with zstd");
            return Err(failure.with_hint("--format oci"));
        }
        Ok(Change { format, recompression })
    }

    fn recompression(&self) -> Result<Option<Recompression>, Failure> {
        let level = |default: u32, highest: u32| match self.compression_level {
            None => Ok(self.usual_level.unwrap_or(default)),
            Some(level) if (1..=highest).contains(&level) => Ok(level),
            Some(level) => {
                let failure = Failure::new("E_CONFIG", format!("--compression-level {level}: there is no such level"));
                Err(failure.with_hint(format!("1 to {highest}")))
            }
        };
        let gzip = || Ok::<_, Failure>(Encoding::Gzip(level(6, 9)?));
        let encoding = match self.compression_format.as_deref() {
            None if self.compression_level.is_none() && !self.force_compression && !self.compress => return Ok(None),
            None | Some("gzip") => gzip()?,
            Some("zstd") => Encoding::Zstd(level(3, 20)?.cast_signed()),
            Some("zstd:chunked") => Encoding::ZstdChunked(level(3, 20)?.cast_signed()),
            Some(other) => {
                let failure =
                    Failure::new("E_CONFIG", format!("--compression-format {other:?}: there is no such format"));
                return Err(failure.with_hint("gzip, zstd or zstd:chunked"));
            }
        };
        let all = self.force_compression || self.compression_level.is_some();
        Ok(Some(Recompression { encoding, extent: if all { Extent::All } else { Extent::Others } }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::FromArgMatches;

    fn change(words: &[&str]) -> Result<Change, String> {
        let command = SendFlags::augment_args(clap::Command::new("push").no_binary_name(true));
        let flags = SendFlags::from_arg_matches(&command.get_matches_from(words)).unwrap();
        flags.change().map_err(|failure| failure.to_string())
    }

    #[test]
    fn what_would_have_to_be_signed_or_encrypted_is_not_sent() {
        let refused = |words: &[&str]| {
            let command = SendFlags::augment_args(clap::Command::new("push").no_binary_name(true));
            let flags = SendFlags::from_arg_matches(&command.get_matches_from(words)).unwrap();
            flags.parse().map(drop).map_err(|failure| failure.to_string())
        };
        assert_eq!(refused(&["--remove-signatures"]), Ok(()));
        for words in [["--sign-by", "me"], ["--sign-by-sigstore", "file"], ["--sign-passphrase-file", "file"]] {
            assert!(refused(&words).unwrap_err().contains("not signed"), "{words:?}");
        }
        for words in [["--encryption-key", "jwe:key"], ["--encrypt-layer", "0"]] {
            assert!(refused(&words).unwrap_err().contains("not encrypted"), "{words:?}");
        }
    }

    #[test]
    fn nothing_is_changed_unless_asked_for() {
        assert_eq!(change(&[]), Ok(Change::default()));
        assert_eq!(change(&["--remove-signatures", "-q"]), Ok(Change::default()));
    }

    #[test]
    fn compressions() {
        let to = |words: &[&str]| change(words).map(|change| change.recompression.map(|r| (r.encoding, r.extent)));
        assert_eq!(to(&["--compression-format", "zstd"]), Ok(Some((Encoding::Zstd(3), Extent::Others))));
        assert_eq!(
            to(&["--compression-format=zstd", "--compression-level=19"]),
            Ok(Some((Encoding::Zstd(19), Extent::All)))
        );
        assert_eq!(to(&["--compression-format", "zstd:chunked"]), Ok(Some((Encoding::ZstdChunked(3), Extent::Others))));
        assert_eq!(to(&["--compression-level", "9"]), Ok(Some((Encoding::Gzip(9), Extent::All))));
        assert_eq!(to(&["--compress"]), Ok(Some((Encoding::Gzip(6), Extent::Others))), "podman's, for directories");
        assert_eq!(to(&["--force-compression"]), Ok(Some((Encoding::Gzip(6), Extent::All))));
        for words in [
            &["--compression-format", "xz"][..],
            &["--compression-level", "10"],
            &["--compression-format=zstd", "--compression-level=21"],
            &["--compression-format=zstd", "--format=v2s2"],
            &["--compression-format=zstd:chunked", "--format=v2s2"],
            &["--format", "v2s1"],
        ] {
            assert!(change(words).unwrap_err().contains("E_CONFIG"), "{words:?}");
        }
    }

    #[test]
    fn the_store_is_no_destination() {
        let named = PushDestination::Registry("quay.io/a/b:c".parse().unwrap());
        assert_eq!(destination("docker://quay.io/a/b:c").unwrap(), named);
        assert_eq!(destination("quay.io/a/b:c").unwrap(), named);
        assert!(matches!(destination("dir:/tmp/x").unwrap(), PushDestination::Archive(_)));
        assert_eq!(destination("containers-storage:a").unwrap_err().code(), "E_CONFIG");
    }
}
