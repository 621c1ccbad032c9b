//! The files that say which images an archive has.

use serde_json::{Value, json};

use super::super::layout;
use crate::failure::Failure;
use crate::image::pack::Packed;
use crate::name::reference::Reference;
use crate::oci::media_type;
use crate::oci::strict_json;
use crate::state::schema::image::BlobDescriptor;

/// How names are written into an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// As docker does: the annotation of the specification has the tag.
    Docker,
    /// As podman does: the annotation of the specification has all of it.
    Oci,
}

/// What an image is called in an archive.
#[derive(Clone, Debug)]
pub(super) enum Name {
    /// By a reference.
    Reference(Reference),
    /// By a word of the user's.
    Word(String),
}

/// The names of an image: the user's word, or else its own.
pub(super) fn names(image: &Packed, word: Option<&str>) -> Vec<Name> {
    match word {
        Some(word) => vec![Name::Word(word.to_owned())],
        None => image.names.iter().cloned().map(Name::Reference).collect(),
    }
}

/// An empty `index.json`.
pub(super) fn empty_index() -> Value {
    json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [] })
}

/// The index in `bytes`, to be added to.
pub(super) fn existing_index(bytes: &[u8]) -> Result<Value, Failure> {
    let index = strict_json::parse_value(bytes).ok().filter(|index| index["manifests"].is_array());
    index.ok_or_else(|| Failure::new("E_ARCHIVE", "adding to the layout: its index.json is not an index"))
}

/// Adds an image under each of its names, instead of what had the name.
pub(super) fn add(index: &mut Value, top: &BlobDescriptor, names: &[Name], naming: Naming) {
    let Some(entries) = index["manifests"].as_array_mut() else { return };
    let digest = json!(top.digest);
    if names.is_empty() && !entries.iter().any(|entry| entry["digest"] == digest) {
        entries.push(descriptor(top));
    }
    for name in names {
        let annotations = match name {
            Name::Word(word) => json!({ layout::REF_NAME: word }),
            Name::Reference(reference) => {
                let whole = reference.to_string();
                let tag = reference.tag().filter(|_| naming == Naming::Docker).unwrap_or(&whole);
                json!({ layout::CONTAINERD_NAME: whole, layout::REF_NAME: tag })
            }
        };
        let same = |entry: &Value| {
            let of = |key: &str| &entry["annotations"][key];
            of(layout::REF_NAME) == &annotations[layout::REF_NAME]
                && (of(layout::CONTAINERD_NAME) == &annotations[layout::CONTAINERD_NAME]
                    || of(layout::CONTAINERD_NAME).is_null())
        };
        entries.retain(|entry| !same(entry));
        let mut entry = descriptor(top);
        entry["annotations"] = annotations;
        entries.push(entry);
    }
}

fn descriptor(top: &BlobDescriptor) -> Value {
    json!({ "mediaType": top.media_type, "digest": top.digest, "size": top.size })
}

/// Docker's `manifest.json`: paths of blobs in the layout that is in the same archive.
pub(super) fn docker_list(images: &[(Packed, Vec<Name>)]) -> Value {
    let mut items = Vec::new();
    for (image, names) in images {
        for manifest in &image.manifests {
            let is_named = manifest.config == image.image;
            let tags: Vec<String> = names.iter().filter(|_| is_named).map(repo_tag).collect();
            let layers: Vec<String> = manifest.layers.iter().map(layout::blob).collect();
            let tags = if tags.is_empty() { Value::Null } else { json!(tags) };
            items.push(json!({ "Config": layout::blob(&manifest.config), "RepoTags": tags, "Layers": layers }));
        }
    }
    Value::Array(items)
}

fn repo_tag(name: &Name) -> String {
    match name {
        Name::Reference(reference) => reference.to_string(),
        Name::Word(word) => word.clone(),
    }
}
