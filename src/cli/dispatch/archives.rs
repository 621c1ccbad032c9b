//! Images in files and directories of the user's.

use std::path::Path;

use super::{reporter, say_waiting};
use crate::failure::Failure;
use crate::image::archive::Archive;
use crate::image::load::{self, Loaded};
use crate::image::request::Progress;
use crate::oci::platform::Platform;
use crate::state::layout::Layout;
use crate::store::Store;

/// Loads all images of the archive at `path`, or on standard input: what became of each.
pub fn load(
    layout: &Layout,
    path: Option<&Path>,
    platform: Option<&Platform>,
    progress: Progress,
) -> Result<Vec<Result<Loaded, Failure>>, Failure> {
    let store = Store::open(layout.clone())?;
    let archive = match path {
        Some(path) => Archive::open(&store, path)?,
        None => Archive::read_stdin(&store)?,
    };
    let _stays = store.lock_shared(&mut say_waiting)?;
    let load = |image| load::execute(&store, &archive, image, platform, &*reporter(progress)).map_err(Failure::from);
    Ok(archive.images().iter().map(load).collect())
}
