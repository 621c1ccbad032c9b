//! `image tree`: the layers of an image, and which images they belong to.

use crate::failure::Failure;
use crate::name::reference::Reference;
use crate::oci::digest::{DiffId, ImageId};
use crate::state::schema::image::ImageRecord;
use crate::store::images::ListedImage;
use crate::store::{Store, StoreError};

/// An image and its layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The image.
    pub id: ImageId,
    /// Its names.
    pub names: Vec<Reference>,
    /// Unpacked size of all layers in bytes.
    pub size: u64,
    /// Its layers, lowest first; or, of the images that are based on it, the layers on top of it.
    pub layers: Vec<Node>,
}

/// A layer, on the layers that it was made on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The layer.
    pub diff_id: DiffId,
    /// Unpacked size in bytes.
    pub size: u64,
    /// Names of the images whose last layer it is; the identifier of one that has no name.
    pub top_of: Vec<String>,
    /// Layers made on it, where they were asked for.
    pub children: Vec<Node>,
}

/// What is shown of the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Those of the image.
    Down,
    /// The image's last, and those that other images have on top of it.
    Up,
}

/// The layers of `image`.
pub fn execute(store: &Store, image: &ImageRecord, direction: Direction) -> Result<Report, Failure> {
    let images = store.images().list()?;
    let stack: Vec<DiffId> = image.layers.iter().map(|layer| layer.diff_id.clone()).collect();
    let layers = match direction {
        Direction::Down => {
            let nodes = (1..=stack.len()).map(|height| node(store, &images, &stack[..height]));
            nodes.collect::<Result<_, _>>()?
        }
        Direction::Up if stack.is_empty() => Vec::new(),
        Direction::Up => vec![with_children(store, &images, &stack)?],
    };
    let names = store.images().references_of(&image.id)?.into_iter().map(|found| found.reference).collect();
    Ok(Report { id: image.id.clone(), names, size: image.size, layers })
}

/// The topmost layer of `stack`, which is not empty.
fn node(store: &Store, images: &[ListedImage], stack: &[DiffId]) -> Result<Node, StoreError> {
    let diff_id = stack.last().cloned().unwrap_or_else(|| DiffId::of(b""));
    let size = store.layers().manifest(&diff_id)?.bytes;
    let tops = images.iter().filter(|listed| begins_with(listed, stack) && listed.record.layers.len() == stack.len());
    Ok(Node { diff_id, size, top_of: tops.flat_map(names).collect(), children: Vec::new() })
}

fn with_children(store: &Store, images: &[ListedImage], stack: &[DiffId]) -> Result<Node, StoreError> {
    let mut node = node(store, images, stack)?;
    let next = images.iter().filter(|listed| begins_with(listed, stack));
    let mut next: Vec<DiffId> =
        next.filter_map(|listed| listed.record.layers.get(stack.len())).map(|layer| layer.diff_id.clone()).collect();
    next.sort();
    next.dedup();
    for diff_id in next {
        node.children.push(with_children(store, images, &[stack, &[diff_id]].concat())?);
    }
    Ok(node)
}

fn begins_with(listed: &ListedImage, stack: &[DiffId]) -> bool {
    let layers = &listed.record.layers;
    layers.len() >= stack.len() && layers.iter().zip(stack).all(|(layer, diff_id)| layer.diff_id == *diff_id)
}

fn names(listed: &ListedImage) -> Vec<String> {
    if listed.references.is_empty() {
        return vec![listed.record.id.short().to_owned()];
    }
    listed.references.iter().map(|found| found.reference.to_string()).collect()
}
