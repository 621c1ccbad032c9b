//! `load` and `image load`.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::registry_flags::PlatformFlags;
use super::render::output;
use super::tree::{Globals, Invocation};
use super::{dispatch, error};
use crate::failure::Failure;
use crate::image::load::Loaded;
use crate::image::request::Progress;

/// Load images from an archive
///
/// The archive is what save writes, of docker, podman, skopeo or coracle, or a directory in one of its formats: which one is
/// found out. It may be compressed with gzip or zstd. All its images are loaded, with all their names.
#[derive(Args, Clone, Debug)]
pub struct LoadArgs {
    /// Read this file or directory instead of standard input
    #[arg(short, long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    input: Option<PathBuf>,
    /// Do not show progress
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    platform: PlatformFlags,
}

impl Invocation for LoadArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("From a file", "coracle load -i images.tar"),
        ("From another machine", "ssh HOST podman save IMAGE | coracle load"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let input = self.input.filter(|path| path.as_os_str() != "-");
        if input.is_none() && io::stdin().is_terminal() {
            let failure = Failure::new("E_CONFIG", "loading images from a terminal");
            return Err(failure.with_hint("-i FILE names an archive, or pipe one in"));
        }
        let progress = if self.quiet { Progress::Quiet } else { Progress::Shown };
        let platform = self.platform.platform()?;
        let mut exit_code = 0;
        for loaded in dispatch::load(&globals.layout()?, input.as_deref(), platform.as_ref(), progress)? {
            match loaded {
                Ok(loaded) => output::write(&lines(&loaded))?,
                Err(failure) => {
                    error::report(&failure);
                    exit_code = failure.exit_code();
                }
            }
        }
        Ok(exit_code)
    }
}

/// docker's and podman's words.
pub(super) fn lines(loaded: &Loaded) -> String {
    match &loaded.references[..] {
        [] => format!("Loaded image: {}\n", loaded.image),
        names => names.iter().map(|name| format!("Loaded image: {name}\n")).collect(),
    }
}
