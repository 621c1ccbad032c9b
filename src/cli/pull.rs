//! `pull`.

use clap::Args;

use super::registry_flags::{PlatformFlags, PullFlags};
use super::render::output;
use super::tree::{Globals, Invocation};
use super::{dispatch, error};
use crate::failure::Failure;
use crate::image::request::{Progress, PullRequest};
use crate::name::image_location::ImageLocation;

/// Fetch images from a registry
///
/// Prints the id of each image. A name without a registry is looked for as registries.conf says, and in docker.io where
/// that says nothing; one without a tag or digest has the tag latest. Images in files are fetched from oci:DIR,
/// oci-archive:FILE, docker-archive:FILE and dir:DIR, all or the one whose name follows after a colon.
#[derive(Args, Clone, Debug)]
pub struct PullArgs {
    /// Do not show progress
    #[arg(short, long)]
    quiet: bool,
    /// Fetch all tags of each image
    #[arg(short, long)]
    all_tags: bool,
    /// When to ask the registry: always, missing, never or newer
    #[arg(long, value_name = "POLICY", default_value = "always")]
    policy: String,
    /// Accepted as docker's; there is no content trust
    #[arg(long, hide = true)]
    disable_content_trust: bool,
    #[command(flatten)]
    platform: PlatformFlags,
    #[command(flatten)]
    registry: PullFlags,
    /// References, as [registry/]repository[:tag][@digest], or places of files, as oci-archive:FILE
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

impl Invocation for PullArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("From the default registry", "coracle pull debian:12"),
        ("From a directory", "coracle pull oci:layout:latest"),
        ("For another processor", "coracle pull --platform linux/arm64 quay.io/podman/hello"),
        ("Everything that a repository has", "coracle pull --all-tags quay.io/podman/hello"),
    ];
    const SECTIONS: &'static [(&'static str, &'static str)] = &[
        (
            "REGISTRIES",
            "registries.conf of ~/.config/containers, else of /etc/containers, and the files in the registries.conf.d of \
             both, say what short names stand for, which registries have mirrors, are elsewhere, insecure or blocked. \
             Mirrors are tried in their order, then the registry itself. They are read only when a registry is to be \
             asked; one that is broken is a warning, but for short names and where it may block something. A name that \
             several registries may have is asked for on a terminal, and the answer is remembered in \
             ~/.cache/containers/short-name-aliases.conf. Authorities and client certificates are those in \
             certs.d/HOST[:PORT] of ~/.config/containers, /etc/containers or /etc/docker; of several client \
             certificates the first is shown. Proxies are those of the environment.",
        ),
        (
            "POLICY",
            "policy.json of ~/.config/containers, else of /etc/containers, says which images are accepted. Where it wants \
             signatures, the image is refused, because signatures cannot be verified yet. Without any such file all \
             images are accepted; podman refuses them.",
        ),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let all_tags = self.all_tags;
        let request = self.into_request()?;
        let layout = globals.layout()?;
        let mut exit_code = 0;
        let mut failed = |failure: Failure| {
            error::report(&failure);
            exit_code = failure.exit_code();
        };
        let mut wanted = Vec::new();
        for location in &request.images {
            match location {
                ImageLocation::Registry(reference) if all_tags => {
                    match dispatch::registry::all_tags(&request, reference) {
                        Ok(references) => wanted.extend(references.into_iter().map(ImageLocation::Registry)),
                        Err(failure) => failed(failure),
                    }
                }
                location => wanted.push(location.clone()),
            }
        }
        for outcome in dispatch::pull_all(&layout, &request, &wanted) {
            match outcome {
                Ok(ids) => ids.iter().try_for_each(|id| output::write(&format!("{}\n", id.hex())))?,
                Err(failure) => failed(failure),
            }
        }
        Ok(exit_code)
    }
}

impl PullArgs {
    /// In types.
    pub fn into_request(self) -> Result<PullRequest, Failure> {
        let has_tag = |image: &&String| image.rsplit('/').next().is_some_and(|last| last.contains([':', '@']));
        if let Some(image) = self.images.iter().find(has_tag).filter(|_| self.all_tags) {
            return Err(Failure::new("E_CONFIG", format!("--all-tags: {image:?} names one tag or digest")));
        }
        let images: Result<Vec<ImageLocation>, _> = self.images.iter().map(|image| image.parse()).collect();
        Ok(PullRequest {
            images: images?,
            platform: self.platform.platform()?,
            policy: self.policy.parse()?,
            access: self.registry.access()?,
            progress: if self.quiet { Progress::Quiet } else { Progress::Shown },
        })
    }
}
