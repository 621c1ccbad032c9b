//! `image scp`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::dispatch;
use super::load::lines;
use super::render::output;
use super::tree::{Globals, Invocation};
use crate::failure::Failure;
use crate::image::request::Progress;
use crate::name::remote_image::ScpEnd;

/// Copy an image from or to another machine
///
/// By ssh, to which the other machine must let one in, and which must find a coracle there. No registry is needed, and no
/// file is written in between.
#[derive(Args, Clone, Debug)]
pub struct ScpArgs {
    /// Do not show progress
    #[arg(short, long)]
    quiet: bool,
    /// The program that connects [default: ssh]
    #[arg(long, value_name = "PROGRAM", value_hint = ValueHint::FilePath)]
    ssh: Option<PathBuf>,
    /// The image: IMAGE or [USER@]HOST[:PORT]::IMAGE
    #[arg(value_name = "SOURCE")]
    source: String,
    /// Where it goes: [USER@]HOST[:PORT]:: [default: here]
    #[arg(value_name = "DESTINATION")]
    destination: Option<String>,
}

impl Invocation for ScpArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("To another machine", "coracle image scp debian:12 alice@server::"),
        ("From another machine", "coracle image scp server::debian:12"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let ssh = self.ssh.or_else(|| crate::host::program::find("ssh")).ok_or_else(|| {
            Failure::new("E_NOTFOUND", "connecting to another machine: there is no program ssh")
                .with_hint("install an ssh client, or name one with --ssh")
        })?;
        let progress = if self.quiet { Progress::Quiet } else { Progress::Shown };
        let source: ScpEnd = self.source.parse()?;
        let destination = self.destination.as_deref().map(str::parse::<ScpEnd>).transpose()?;
        let layout = globals.layout()?;
        match (source, destination) {
            (ScpEnd::Here(image), Some(ScpEnd::There(machine, None))) => {
                dispatch::send_image(&layout, &ssh, &image, &machine, progress)?;
            }
            (ScpEnd::There(machine, Some(image)), None) => {
                for loaded in dispatch::receive_image(&layout, &ssh, &machine, &image, progress)? {
                    output::write(&lines(&loaded?))?;
                }
            }
            (ScpEnd::There(from, Some(image)), Some(ScpEnd::There(to, None))) => {
                dispatch::forward_image(&ssh, (&from, &to), &image)?;
            }
            _ => {
                let failure = Failure::new("E_CONFIG", "copying an image: one end must be another machine's");
                return Err(
                    failure.with_hint("coracle image scp IMAGE HOST:: or coracle image scp HOST::IMAGE [HOST::]")
                );
            }
        }
        Ok(0)
    }
}
