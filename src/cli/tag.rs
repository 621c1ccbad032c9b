//! `tag` and `untag`.

use clap::Args;

use super::commit::local_name;
use super::dispatch;
use super::tree::{Globals, Invocation};
use crate::failure::Failure;
use crate::name::reference::Reference;

/// Give an image more names
///
/// Whatever image had such a name loses it. A name without a registry is one of localhost, where images are that were made
/// here.
#[derive(Args, Clone, Debug)]
pub struct TagArgs {
    /// Name, id, or beginning of an id
    #[arg(value_name = "IMAGE")]
    image: String,
    /// A name, with a tag or without, which is then `latest`
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

impl Invocation for TagArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("A name of one's own", "coracle tag debian:12 base:1"),
        ("One under which it can be pushed", "coracle tag base:1 registry.example.com/team/base:1"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let names = self.names.iter().map(|name| local_name(name)).collect::<Result<Vec<_>, _>>()?;
        dispatch::tag_image(&globals.layout()?, &self.image.parse()?, &names)?;
        Ok(0)
    }
}

/// Take names away from an image
///
/// The names that are given, or all. The image stays, and can be found by its id, until it is removed by rmi or image prune.
#[derive(Args, Clone, Debug)]
pub struct UntagArgs {
    /// Name, id, or beginning of an id
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Names of this image
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Invocation for UntagArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] =
        &[("One name", "coracle untag debian:12 base:1"), ("All names", "coracle untag base:1")];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let names = self.names.iter().map(|name| name.parse()).collect::<Result<Vec<Reference>, _>>()?;
        dispatch::untag_image(&globals.layout()?, &self.image.parse()?, &names)?;
        Ok(0)
    }
}
