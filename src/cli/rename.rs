//! `rename`.

use clap::Args;

use super::dispatch;
use super::tree::{Globals, Invocation};
use crate::failure::Failure;
use crate::name::container::ContainerName;

/// Give a container another name
///
/// Whether it runs or not. Its host name stays.
#[derive(Args, Clone, Debug)]
pub struct RenameArgs {
    /// Name, id, or beginning of an id
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// The new name
    #[arg(value_name = "NAME")]
    name: String,
}

impl Invocation for RenameArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[("By name", "coracle rename web old-web")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let name: ContainerName = self.name.parse()?;
        dispatch::rename_container(&globals.layout()?, &self.container, &name)?;
        Ok(0)
    }
}
