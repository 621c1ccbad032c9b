//! `pull`.

use clap::Args;

use super::registry_flags::{PlatformFlags, RegistryFlags, parse_credentials};
use super::render::output;
use super::tree::{Globals, Invocation};
use super::{dispatch, error};
use crate::failure::Failure;
use crate::image::request::{Progress, PullRequest};
use crate::name::reference::Reference;

/// Fetch images from a registry
///
/// Prints the id of each image. A name without a registry is completed with docker.io, one without a tag or digest with
/// the tag latest.
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
    /// References, as [registry/]repository[:tag][@digest]
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

impl Invocation for PullArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("From the default registry", "coracle pull debian:12"),
        ("For another processor", "coracle pull --platform linux/arm64 quay.io/podman/hello"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let request = self.into_request()?;
        let layout = globals.layout()?;
        let mut exit_code = 0;
        for reference in &request.references {
            match dispatch::pull(&layout, &request, reference) {
                Ok(id) => output::write(&format!("{}\n", id.hex()))?,
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
        let references: Result<Vec<Reference>, _> = self.images.iter().map(|image| image.parse()).collect();
        Ok(PullRequest {
            references: references?,
            platform: self.platform.platform()?,
            policy: self.policy.parse()?,
            access: self.registry.access(credentials),
            progress: if self.quiet { Progress::Quiet } else { Progress::Shown },
        })
    }
}
