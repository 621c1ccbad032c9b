//! Unpacked layers against the blobs that they came from.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufReader;

use super::{Check, Depth, compare, each, how_to_fetch, repair_advice};
use crate::failure::{Explain, Failure, escape_control};
use crate::image::fetch::FetchCause;
use crate::image::fetch::layers::unpack;
use crate::name::reference::Reference;
use crate::oci::digest::{DiffId, Digest};
use crate::oci::media_type::Compression;
use crate::state::schema::image::ImageLayer;
use crate::state::schema::layer::LayerManifest;
use crate::store::StoreError;
use crate::store::finding::Kind;
use crate::store::images::ListedImage;
use crate::store::layers::UnpackedLayer;
use crate::store::unpack::limits::Limits;

/// A layer of some images.
pub(super) struct Layer {
    diff_id: DiffId,
    /// The blobs that it can be unpacked from: the same content may have been compressed in several ways.
    blobs: Vec<ImageLayer>,
    names: BTreeSet<Reference>,
}

/// The layers of all images, each once.
pub(super) fn distinct(images: &[ListedImage]) -> Vec<Layer> {
    let mut layers: BTreeMap<DiffId, Layer> = BTreeMap::new();
    for image in images {
        for described in &image.record.layers {
            let diff_id = &described.diff_id;
            let empty = || Layer { diff_id: diff_id.clone(), blobs: Vec::new(), names: BTreeSet::new() };
            let layer = layers.entry(diff_id.clone()).or_insert_with(empty);
            layer.blobs.push(described.clone());
            layer.names.extend(image.references.iter().map(|found| found.reference.clone()));
        }
    }
    layers.into_values().collect()
}

/// Compares each with its blob, several at a time.
pub(super) fn check(check: &Check<'_>, layers: &[Layer], bad: &BTreeMap<Digest, String>) {
    each(layers, |layer| {
        if let Err(failure) = one(check, layer, bad) {
            check.report(Kind::Layer, &layer.diff_id, failure, false, repair_advice(check.alone()));
        }
    });
}

fn one(check: &Check<'_>, layer: &Layer, bad: &BTreeMap<Digest, String>) -> Result<(), Failure> {
    let store = check.store;
    let is_sound = |blob: &&ImageLayer| {
        let digest = &blob.descriptor.digest;
        store.blobs().contains(digest) && !bad.contains_key(digest)
    };
    let blob = layer.blobs.iter().find(is_sound);
    let missing = missing_part(check, layer)?;
    let right = match blob {
        Some(blob) if missing.is_some() || check.request.depth == Depth::Full => Some(unpacked(check, layer, blob)?),
        _ => None,
    };
    let problem = match (missing, &right) {
        (Some(problem), _) => Some(problem),
        (None, Some(right)) => difference(check, layer, right)?,
        (None, None) => None,
    };
    let Some(problem) = problem else { return Ok(()) };
    let (repaired, advice) = mend(check, layer, right)?;
    check.report(Kind::Layer, &layer.diff_id, problem, repaired, advice);
    Ok(())
}

/// What is wrong with the layer if not all of it is there.
fn missing_part(check: &Check<'_>, layer: &Layer) -> Result<Option<String>, Failure> {
    let layers = check.store.layers();
    Ok(match layers.manifest(&layer.diff_id) {
        _ if !layers.contains(&layer.diff_id) => Some("it is missing".into()),
        _ if !layers.path(&layer.diff_id).is_dir() => Some("its files are missing".into()),
        Err(StoreError::NoLayer(_)) => Some("its manifest is missing".into()),
        Err(error) if error.code() == "E_STATE" => Some("its manifest is damaged".into()),
        _ => None,
    })
}

/// What the layer should be.
fn unpacked<'s>(check: &Check<'s>, layer: &Layer, blob: &ImageLayer) -> Result<UnpackedLayer<'s>, Failure> {
    let descriptor = &blob.descriptor;
    let compression = Compression::of_layer(&descriptor.media_type).map_err(FetchCause::from)?;
    let limits = Limits::for_compressed(descriptor.size);
    let file = BufReader::with_capacity(128 << 10, check.store.blobs().open(&descriptor.digest)?);
    let ingest = check.store.layers().ingest_within(&layer.diff_id, &limits)?;
    Ok(unpack(file, compression, ingest).map_err(FetchCause::from)?.finish()?)
}

fn difference(check: &Check<'_>, layer: &Layer, right: &UnpackedLayer<'_>) -> Result<Option<String>, Failure> {
    let layers = check.store.layers();
    let right_manifest = right.manifest();
    // Who has unpacked it is no property of the blob.
    let manifest = LayerManifest { single: right_manifest.single, ..layers.manifest(&layer.diff_id)? };
    if manifest != *right_manifest {
        return Ok(Some("its manifest is not that of its blob".into()));
    }
    let path = layers.path(&layer.diff_id);
    let difference = compare::trees(&path, &right.path());
    let difference = difference.map_err(|error| StoreError::io("comparing", &path, error))?;
    Ok(difference.map(|found| {
        format!("{}: {} differs from its blob", escape_control(&String::from_utf8_lossy(&found.path)), found.what)
    }))
}

/// Puts what is right in the place of what is wrong; whether that was done, and what was done or is to be done.
fn mend(check: &Check<'_>, layer: &Layer, right: Option<UnpackedLayer<'_>>) -> Result<(bool, String), Failure> {
    if check.alone().is_none() {
        return Ok((false, repair_advice(None)));
    }
    if let Some(names) = check.request.running.get(&layer.diff_id) {
        return Ok((false, format!("it is in use: stop {names}, and repeat the repair")));
    }
    let layers = check.store.layers();
    match (right, how_to_fetch(&layer.names)) {
        (Some(right), _) => {
            layers.remove(&layer.diff_id)?;
            right.publish()?;
            Ok((true, "unpacked again from its blob".into()))
        }
        (None, Some(again)) => {
            // What lacks a part is of no use to anybody, and in the way of the pull.
            layers.remove(&layer.diff_id)?;
            Ok((false, again))
        }
        (None, None) => Ok((false, repair_advice(check.alone()))),
    }
}
