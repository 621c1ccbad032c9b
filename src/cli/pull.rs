//! `pull`.

use clap::Args;

use super::registry_flags::{PlatformFlags, RegistryFlags, parse_credentials};
use super::render::output;
use super::tree::{Globals, Invocation};
use super::{dispatch, error};
use crate::failure::Failure;
use crate::image::request::{Progress, PullRequest};
use crate::name::image_location::ImageLocation;

/// Fetch images from a registry
///
/// Prints the id of each image. A name without a registry is completed with docker.io, one without a tag or digest with
/// the tag latest. Images in files are fetched from oci:DIR, oci-archive:FILE, docker-archive:FILE and dir:DIR, all or the
/// one whose name follows after a colon.
#[derive(Args, Clone, Debug)]
pub struct PullArgs {
    /// Do not show progress
    #[arg(short, long)]
    quiet: bool,
    /// When to ask the registry: always, missing, never or newer
    #[arg(long, value_name = "POLICY", default_value = "always")]
    policy: String,
    /// Credentials for the registry
    #[arg(long, value_name = "USER:PASSWORD")]
    creds: Option<String>,
    #[command(flatten)]
    platform: PlatformFlags,
    #[command(flatten)]
    registry: RegistryFlags,
    /// References, as [registry/]repository[:tag][@digest], or places of files, as oci-archive:FILE
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

impl Invocation for PullArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("From the default registry", "coracle pull debian:12"),
        ("From a directory", "coracle pull oci:layout:latest"),
        ("For another processor", "coracle pull --platform linux/arm64 quay.io/podman/hello"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let request = self.into_request()?;
        let layout = globals.layout()?;
        let mut exit_code = 0;
        for location in &request.images {
            match dispatch::pull_from(&layout, &request, location) {
                Ok(ids) => ids.iter().try_for_each(|id| output::write(&format!("{}\n", id.hex())))?,
                Err(failure) => {
                    error::report(&failure);
                    exit_code = failure.exit_code();
                }
            }
        }
        Ok(exit_code)
    }
}

impl PullArgs {
    /// In types.
    pub fn into_request(self) -> Result<PullRequest, Failure> {
        let credentials = self.creds.as_deref().map(parse_credentials).transpose()?;
        let images: Result<Vec<ImageLocation>, _> = self.images.iter().map(|image| image.parse()).collect();
        Ok(PullRequest {
            images: images?,
            platform: self.platform.platform()?,
            policy: self.policy.parse()?,
            access: self.registry.access(credentials),
            progress: if self.quiet { Progress::Quiet } else { Progress::Shown },
        })
    }
}
