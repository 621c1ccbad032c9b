//! An image in another format or with layers compressed in another way, on its way out of the store. What need not change,
//! stays bit for bit; the same image changed in the same way gives the same bytes.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::sync::{Mutex, PoisonError};

use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::assemble::{Format, layer_type};
use super::chunked::{self, Annotations};
use super::decompress::decompress;
use super::import::Taking;
use super::parallel;
use super::progress::Progress;
use super::send::Outgoing;
use crate::failure::Failure;
use crate::oci::digest::{Digest, Hasher};
use crate::oci::media_type::{self, Compression, DocumentKind};
use crate::state::schema::image::BlobDescriptor;
use crate::store::blobs::NewBlob;
use crate::store::{Store, StoreError};

/// Threads that compress one layer with zstd. What they write does not depend on their number.
const ZSTD_THREADS: u32 = 2;

/// What is to be different.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Whose documents it gets; its own where absent, but for zstd, which only OCI's have.
    pub format: Option<Format>,
    /// How its layers are compressed; as they are where absent.
    pub recompression: Option<Recompression>,
}

/// How layers are compressed anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recompression {
    /// By what.
    pub encoding: Encoding,
    /// Which of them.
    pub extent: Extent,
}

/// A compression and its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// None: plain tar.
    Plain,
    /// gzip, 1 to 9.
    Gzip(u32),
    /// Zstandard, 1 to 20.
    Zstd(i32),
    /// Zstandard with a table of contents, 1 to 20.
    ZstdChunked(i32),
}

/// Which layers are compressed anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Those that are compressed in another way.
    Others,
    /// All.
    All,
}

impl Encoding {
    /// What decompresses it.
    pub fn compression(self) -> Compression {
        match self {
            Self::Plain => Compression::None,
            Self::Gzip(_) => Compression::Gzip,
            Self::Zstd(_) | Self::ZstdChunked(_) => Compression::Zstd,
        }
    }

    /// Whether a layer that is there is compressed like this.
    fn is_that_of(self, layer: &Layer) -> bool {
        layer.compression == self.compression() && (layer.is_chunked || !matches!(self, Self::ZstdChunked(_)))
    }
}

/// `outgoing` with this change. New blobs are kept in files of no name.
pub fn execute(
    store: &Store,
    outgoing: Outgoing,
    change: &Change,
    progress: &dyn Progress,
) -> Result<Outgoing, Failure> {
    if *change == Change::default() {
        return Ok(outgoing);
    }
    let mut documents = Vec::new();
    for (descriptor, bytes) in outgoing.documents {
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|cause| Failure::new("E_STORE_CORRUPT", format!("reading {}: {cause}", descriptor.digest)))?;
        documents.push((descriptor, bytes, value));
    }
    let layers = layers_of(documents.iter().map(|(.., value)| value))?;
    let mut reformed = Outgoing { made: outgoing.made, replaced: outgoing.replaced, ..Outgoing::default() };
    let renewed = match change.recompression {
        Some(recompression) => recompress(store, &layers, recompression, progress)?,
        None => HashMap::new(),
    };
    for (descriptor, bytes, mut value) in documents {
        let before = value.clone();
        let media_type = match DocumentKind::of(&descriptor.media_type) {
            Some(DocumentKind::Index) => change_index(&mut value, &descriptor, change, &reformed.replaced),
            _ => change_manifest(&mut value, &descriptor, change, &renewed)?,
        };
        if value == before {
            reformed.documents.push((descriptor, bytes));
            continue;
        }
        let bytes = value.to_string().into_bytes();
        let new = BlobDescriptor { digest: Digest::of(&bytes), media_type, size: bytes.len() as u64 };
        reformed.replaced.insert(descriptor.digest, new.clone());
        reformed.documents.push((new, bytes));
    }
    for blob in outgoing.blobs {
        reformed.blobs.push(renewed.get(&blob.digest).map_or(blob, |new| new.descriptor.clone()));
    }
    for (digest, new) in renewed {
        reformed.made.insert(new.descriptor.digest.clone(), new.content);
        reformed.replaced.insert(digest, new.descriptor);
    }
    Ok(reformed)
}

/// A layer that a manifest names.
struct Layer {
    digest: Digest,
    compression: Compression,
    /// Whether it has a table of contents.
    is_chunked: bool,
}

/// The layers that manifests name, each once.
fn layers_of<'v>(documents: impl Iterator<Item = &'v Value>) -> Result<Vec<Layer>, Failure> {
    let mut layers: Vec<Layer> = Vec::new();
    for layer in documents.flat_map(|document| document["layers"].as_array().into_iter().flatten()) {
        let layer = layer_of(layer)?;
        if !layers.iter().any(|known| known.digest == layer.digest) {
            layers.push(layer);
        }
    }
    Ok(layers)
}

fn layer_of(described: &Value) -> Result<Layer, Failure> {
    let text = |key: &str| described[key].as_str().unwrap_or_default();
    let compression = Compression::of_layer(text("mediaType"))
        .map_err(|cause| Failure::new("E_LAYER_FORMAT", format!("compressing a layer: {cause}")))?;
    let is_chunked = described["annotations"].get(format!("{}manifest-position", chunked::ANNOTATIONS)).is_some();
    Ok(Layer { digest: text("digest").parse()?, compression, is_chunked })
}

fn change_manifest(
    value: &mut Value,
    descriptor: &BlobDescriptor,
    change: &Change,
    renewed: &HashMap<Digest, Renewed>,
) -> Result<String, Failure> {
    let is_docker = descriptor.media_type == media_type::DOCKER_MANIFEST;
    let to_zstd = change.recompression.is_some_and(|to| to.encoding.compression() == Compression::Zstd);
    let format = match change.format {
        Some(format) => format,
        None if is_docker && !to_zstd => Format::Docker,
        None => Format::Oci,
    };
    let converts = is_docker != (format == Format::Docker);
    for layer in value["layers"].as_array_mut().into_iter().flatten() {
        let Layer { digest, compression, .. } = layer_of(layer)?;
        let new = renewed.get(&digest);
        if new.is_none() && !converts {
            continue;
        }
        layer["mediaType"] = json!(layer_type(format, new.map_or(compression, |new| new.compression))?);
        if let Some(new) = new {
            layer["digest"] = json!(new.descriptor.digest);
            layer["size"] = json!(new.descriptor.size);
            annotate(layer, &new.annotations);
        }
        if format == Format::Docker {
            drop_annotations(layer);
        }
    }
    if !converts {
        return Ok(descriptor.media_type.clone());
    }
    let (manifest_type, config_type) = match format {
        Format::Oci => (media_type::OCI_MANIFEST, media_type::OCI_CONFIG),
        Format::Docker => (media_type::DOCKER_MANIFEST, media_type::DOCKER_CONFIG),
    };
    value["mediaType"] = json!(manifest_type);
    value["config"]["mediaType"] = json!(config_type);
    if format == Format::Docker {
        drop_annotations(value);
    }
    Ok(manifest_type.to_owned())
}

fn change_index(
    value: &mut Value,
    descriptor: &BlobDescriptor,
    change: &Change,
    replaced: &HashMap<Digest, BlobDescriptor>,
) -> String {
    for member in value["manifests"].as_array_mut().into_iter().flatten() {
        let digest = member["digest"].as_str().and_then(|digest| digest.parse().ok());
        if let Some(new) = digest.and_then(|digest: Digest| replaced.get(&digest)) {
            member["mediaType"] = json!(new.media_type);
            member["digest"] = json!(new.digest);
            member["size"] = json!(new.size);
        }
        if change.format == Some(Format::Docker) {
            drop_annotations(member);
        }
    }
    let has_oci = replaced.values().any(|new| new.media_type == media_type::OCI_MANIFEST);
    let index_type = match change.format {
        Some(Format::Docker) => media_type::DOCKER_INDEX,
        Some(Format::Oci) => media_type::OCI_INDEX,
        // Zstandard made a member OCI's.
        None if has_oci => media_type::OCI_INDEX,
        None => return descriptor.media_type.clone(),
    };
    value["mediaType"] = json!(index_type);
    if index_type == media_type::DOCKER_INDEX {
        drop_annotations(value);
    }
    index_type.to_owned()
}

/// Of a layer's annotations, those that describe its bytes.
fn annotate(layer: &mut Value, new: &Annotations) {
    let Some(members) = layer.as_object_mut() else { return };
    if let Some(Value::Object(known)) = members.get_mut("annotations") {
        // They described what was replaced. The latter are eStargz's.
        let is_of_bytes = |key: &str| {
            key.starts_with(chunked::ANNOTATIONS)
                || ["containerd.io/snapshot/stargz/toc.digest", "io.containers.estargz.uncompressed-size"]
                    .contains(&key)
        };
        known.retain(|key, _| !is_of_bytes(key));
        if known.is_empty() {
            members.shift_remove("annotations");
        }
    }
    for (key, value) in new {
        layer["annotations"][key] = json!(value);
    }
}

/// Docker's documents have none.
fn drop_annotations(value: &mut Value) {
    if let Some(members) = value.as_object_mut() {
        members.shift_remove("annotations");
    }
}

/// A layer that was compressed anew.
struct Renewed {
    descriptor: BlobDescriptor,
    compression: Compression,
    annotations: Annotations,
    content: File,
}

fn recompress(
    store: &Store,
    layers: &[Layer],
    recompression: Recompression,
    progress: &dyn Progress,
) -> Result<HashMap<Digest, Renewed>, Failure> {
    let Recompression { encoding, extent } = recompression;
    let wanted = |layer: &&Layer| extent == Extent::All || !encoding.is_that_of(layer);
    let wanted: Vec<_> = layers.iter().filter(wanted).collect();
    let renewed = Mutex::new(HashMap::new());
    parallel::each(&wanted, parallel::copies(), |_, layer| {
        let new = recompress_one(store, layer, encoding, progress)?;
        renewed.lock().unwrap_or_else(PoisonError::into_inner).insert(layer.digest.clone(), new);
        Ok::<_, Failure>(())
    })?;
    Ok(renewed.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn recompress_one(
    store: &Store,
    layer: &Layer,
    encoding: Encoding,
    progress: &dyn Progress,
) -> Result<Renewed, Failure> {
    let Layer { digest, compression, .. } = layer;
    let checked = Checked { file: store.blobs().open(digest)?, hasher: digest.algorithm().hasher() };
    let mut source = BufReader::with_capacity(128 << 10, checked);
    let mut encoder = Encoder::new(store.blobs().create()?, encoding).map_err(Taking)?;
    let decoded = decompress(&mut source, *compression, |piece| encoder.write_all(piece).map_err(Taking));
    // A decoder may end before the file does; and of a damaged blob, that it is damaged is the better explanation.
    let rest = io::copy(&mut source, &mut io::sink()).map_err(Taking);
    if source.into_inner().hasher.finish() != *digest {
        return Err(StoreError::DamagedBlob(digest.clone()).into());
    }
    decoded?;
    rest?;
    let (blob, annotations) = encoder.finish().map_err(Taking)?;
    let (new, size, content) = blob.into_file().map_err(Taking)?;
    let compression = encoding.compression();
    let how = match (&annotations, encoding) {
        (Ok(_), Encoding::ZstdChunked(_)) => "zstd:chunked".into(),
        (Ok(_), _) => compression.as_str().into(),
        (Err(reason), _) => format!("zstd without a table of contents, because {reason}"),
    };
    progress.message(&format!("layer {} written as {how}: {size} bytes", digest.short()));
    let descriptor = BlobDescriptor { digest: new, media_type: layer_type(Format::Oci, compression)?.into(), size };
    Ok(Renewed { descriptor, compression, annotations: annotations.unwrap_or_default(), content })
}

/// Bytes that are hashed as they are read.
struct Checked {
    file: File,
    hasher: Hasher,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

/// Compresses into a new blob.
enum Encoder<'s> {
    Plain(NewBlob<'s>),
    Gzip(GzEncoder<NewBlob<'s>>),
    Zstd(zstd::Encoder<'static, NewBlob<'s>>),
    Chunked(Box<chunked::Writer<NewBlob<'s>>>),
}

impl<'s> Encoder<'s> {
    fn new(blob: NewBlob<'s>, encoding: Encoding) -> io::Result<Self> {
        Ok(match encoding {
            Encoding::Plain => Self::Plain(blob),
            Encoding::Gzip(level) => Self::Gzip(GzEncoder::new(blob, flate2::Compression::new(level))),
            Encoding::Zstd(level) => {
                let mut encoder = zstd::Encoder::new(blob, level)?;
                encoder.multithread(ZSTD_THREADS)?;
                Self::Zstd(encoder)
            }
            Encoding::ZstdChunked(level) => Self::Chunked(Box::new(chunked::Writer::new(blob, level)?)),
        })
    }

    /// The blob, and annotations of it; or why it has none.
    fn finish(self) -> io::Result<(NewBlob<'s>, Result<Annotations, &'static str>)> {
        let blob = match self {
            Self::Plain(blob) => blob,
            Self::Gzip(encoder) => encoder.finish()?,
            Self::Zstd(encoder) => encoder.finish()?,
            Self::Chunked(writer) => return writer.finish().map(|finished| (finished.writer, finished.annotations)),
        };
        Ok((blob, Ok(Annotations::new())))
    }
}

impl Write for Encoder<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(blob) => blob.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
            Self::Chunked(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(blob) => blob.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
            Self::Chunked(writer) => writer.flush(),
        }
    }
}
