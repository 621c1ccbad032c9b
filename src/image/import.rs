//! `import`: a tar becomes an image of one layer.

use std::io::{self, BufRead, Write};

use serde_json::json;

use super::assemble::{self, Format, NewImage};
use super::decompress::decompress_any;
use crate::failure::{Explain, Failure};
use crate::name::config_change::ConfigChange;
use crate::name::reference::Reference;
use crate::oci::digest::ImageId;
use crate::oci::platform::Platform;
use crate::state::journal::{self, ImageEvent};
use crate::store::Store;

/// Why whoever takes an archive does not take more of it.
#[derive(Debug, thiserror::Error)]
#[error("passing the archive on")]
pub struct Taking(#[source] pub io::Error);

impl Explain for Taking {
    fn code(&self) -> &'static str {
        match self.0.kind() {
            io::ErrorKind::BrokenPipe => "E_PIPE",
            _ => crate::state::record::io_code(&self.0),
        }
    }

    fn hint(&self) -> Option<String> {
        crate::state::record::io_hint(&self.0)
    }
}

/// A tar to be made an image of.
pub struct ImportRequest {
    /// Changes of the configuration.
    pub changes: Vec<ConfigChange>,
    /// What the history says.
    pub message: Option<String>,
    /// What it is for.
    pub platform: Platform,
    /// The name it gets.
    pub reference: Option<Reference>,
    /// Where the tar comes from, for the history.
    pub source: String,
}

/// Makes the image; its id. The tar may be compressed with gzip or zstd.
pub fn execute(store: &Store, request: ImportRequest, tar: &mut dyn BufRead) -> Result<ImageId, Failure> {
    let mut layer = assemble::LayerWriter::new(store)?;
    decompress_any(tar, |piece| layer.write_all(piece).map_err(Taking))?;
    let layer = layer.finish()?;
    let mut config = assemble::empty_config(&request.platform);
    assemble::change(assemble::settings(&mut config), &request.changes);
    let created = assemble::created()?;
    config["created"] = json!(created);
    let comment = request.message.unwrap_or_else(|| format!("Imported from {}", request.source));
    config["history"] = json!([{ "created": created, "created_by": "coracle import", "comment": comment }]);
    let name = request.reference.as_ref().map(Reference::to_string).unwrap_or_default();
    let new = NewImage { config, layers: vec![layer], format: Format::Oci, reference: request.reference };
    let id = assemble::image(store, new)?;
    journal::note_image(store.layout(), ImageEvent::Import, id.hex(), &name);
    Ok(id)
}
