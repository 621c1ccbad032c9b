//! `version`.

use clap::Args;
use serde_json::json;

use super::render::format::Format;
use super::render::output;
use super::tree::{Globals, Invocation};
use crate::failure::Failure;
use crate::oci::platform::Platform;

/// Show the version
#[derive(Args, Clone, Debug)]
pub struct VersionArgs {
    /// Print JSON (json), or what this Go template makes of it
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
}

impl Invocation for VersionArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] =
        &[("The number alone", "coracle version --format '{{.Client.Version}}'")];

    fn execute(self, _: &Globals) -> Result<u8, Failure> {
        let version = env!("CARGO_PKG_VERSION");
        let platform = Platform::host();
        let text = match self.format {
            None => format!("Client:       coracle\nVersion:      {version}\nOS/Arch:      {platform}\n"),
            Some(format) => {
                let client = json!({ "Version": version, "OsArch": platform.to_string(), "Os": platform.os });
                Format::parse(&format)?.one(&json!({ "Client": client }))?
            }
        };
        output::write(&text)?;
        Ok(0)
    }
}
