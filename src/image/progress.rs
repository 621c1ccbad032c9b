//! What is told while an image moves.

use super::short_name::Chosen;
use crate::name::reference::Reference;
use crate::oci::digest::Digest;

/// Takes what happens to an image's layers on their way. Called from several threads.
pub trait Progress: Sync {
    /// Which of the `candidates` the short name stands for.
    fn choose(&self, _short: &str, _candidates: &[Reference]) -> Chosen {
        Chosen::CannotAsk
    }

    /// One line for the user, not escaped: it may quote a registry.
    fn message(&self, line: &str);

    /// Something happened to the layer at `position`, counted from 0.
    fn layer(&self, position: usize, event: LayerEvent<'_>);
}

/// What can happen to a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerEvent<'e> {
    /// The image has this layer. The first event of a layer; positions come in order.
    Found {
        /// Digest of its blob.
        digest: &'e Digest,
        /// Size of its blob in bytes.
        size: u64,
    },
    /// It is there already. The last event.
    AlreadyPresent,
    /// So many bytes of its blob have moved by now.
    Moved(u64),
    /// Its blob is complete, its files are being written.
    Unpacking,
    /// It is where it was to go. The last event.
    Done,
}

/// Says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn message(&self, _line: &str) {}

    fn layer(&self, _position: usize, _event: LayerEvent<'_>) {}
}
