//! Making an image here: a tar becomes a layer, layers and settings become an image.

use std::io::{self, BufReader, Write};

use flate2::Compression as Level;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Map, Value, json};

use super::owners;
use crate::failure::Failure;
use crate::host::env;
use crate::name::config_change::ConfigChange;
use crate::name::reference::Reference;
use crate::oci::digest::{Algorithm, Hasher, ImageId};
use crate::oci::image_config::ImageConfig;
use crate::oci::media_type::{self, Compression};
use crate::oci::platform::Platform;
use crate::state::record::{io_code, io_hint};
use crate::state::schema::image::{BlobDescriptor, ImageLayer, ImageRecord};
use crate::store::Store;
use crate::store::blobs::NewBlob;

/// Whose documents an image has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// OCI's.
    #[default]
    Oci,
    /// Docker's.
    Docker,
}

fn storing(cause: io::Error) -> Failure {
    let failure = Failure::new(io_code(&cause), format!("storing the layer: {cause}"));
    match io_hint(&cause) {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

/// A layer being made: takes the tar.
pub struct LayerWriter<'a> {
    store: &'a Store,
    encoder: GzEncoder<NewBlob<'a>>,
    hasher: Hasher,
}

impl<'a> LayerWriter<'a> {
    /// Begins a layer.
    pub fn new(store: &'a Store) -> Result<Self, Failure> {
        // The header has neither a name nor a time: the same tar makes the same blob.
        let encoder = GzEncoder::new(store.blobs().create()?, Level::default());
        Ok(Self { store, encoder, hasher: Algorithm::Sha256.hasher() })
    }

    /// After the last byte: puts the blob into the store, then its files.
    pub fn finish(self) -> Result<ImageLayer, Failure> {
        let (digest, size) = self.encoder.finish().map_err(storing)?.commit()?;
        let diff_id = self.hasher.finish();
        let store = self.store;
        if !store.layers().contains(&diff_id) {
            let mut ingest = store.layers().ingest(&diff_id)?;
            let mut tar = GzDecoder::new(BufReader::new(store.blobs().open(&digest)?));
            io::copy(&mut tar, &mut ingest)
                .map_err(|error| crate::store::StoreError::from_write(error).map_or_else(storing, Failure::from))?;
            ingest.commit()?;
        }
        let opaque = store.layers().manifest(&diff_id)?.opaque_root;
        let descriptor = BlobDescriptor { digest, media_type: media_type::OCI_LAYER_GZIP.into(), size };
        Ok(ImageLayer { diff_id, descriptor, opaque })
    }
}

impl Write for LayerWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.encoder.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Now, as configurations have it (RFC 3339), or the time that the user wants it to be.
pub fn created() -> Result<String, Failure> {
    let Some(given) = env::get(&env::SOURCE_DATE_EPOCH) else { return Ok(jiff::Timestamp::now().to_string()) };
    let seconds = given.to_str().and_then(|text| text.parse::<i64>().ok());
    let time = seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map(|time| time.to_string())
        .ok_or_else(|| Failure::new("E_CONFIG", "SOURCE_DATE_EPOCH is not a number of seconds since 1970"))
}

/// A configuration without anything in it.
pub fn empty_config(platform: &Platform) -> Value {
    let mut config = json!({ "architecture": platform.architecture, "os": platform.os });
    if let Some(variant) = &platform.variant {
        config["variant"] = json!(variant);
    }
    config["config"] = json!({});
    config["rootfs"] = json!({ "type": "layers", "diff_ids": [] });
    config["history"] = json!([]);
    config
}

/// The part of a configuration that says how to run the image.
pub fn settings(config: &mut Value) -> &mut Map<String, Value> {
    if !config["config"].is_object() {
        config["config"] = json!({});
    }
    match &mut config["config"] {
        Value::Object(settings) => settings,
        _ => unreachable!("it has just been made an object"),
    }
}

/// Sets a variable of the environment.
pub fn set_variable(settings: &mut Map<String, Value>, name: &str, value: &str) {
    let list = settings.entry("Env").or_insert_with(|| json!([]));
    if !list.is_array() {
        *list = json!([]);
    }
    let Some(list) = list.as_array_mut() else { return };
    let entry = json!(format!("{name}={value}"));
    let is_same =
        |known: &Value| known.as_str().and_then(|known| known.split_once('=')).is_some_and(|(known, _)| known == name);
    match list.iter_mut().find(|known| is_same(known)) {
        Some(known) => *known = entry,
        None => list.push(entry),
    }
}

fn object<'a>(settings: &'a mut Map<String, Value>, key: &str) -> Option<&'a mut Map<String, Value>> {
    let value = settings.entry(key).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut()
}

/// Makes the changes that the user asks for.
pub fn change(settings: &mut Map<String, Value>, changes: &[ConfigChange]) {
    for change in changes {
        match change {
            ConfigChange::Cmd(words) => drop(settings.insert("Cmd".into(), json!(words))),
            ConfigChange::Entrypoint(words) => drop(settings.insert("Entrypoint".into(), json!(words))),
            ConfigChange::Env(pairs) => pairs.iter().for_each(|(name, value)| set_variable(settings, name, value)),
            ConfigChange::Expose(ports) => add(settings, "ExposedPorts", ports),
            ConfigChange::Volume(volumes) => add(settings, "Volumes", volumes),
            ConfigChange::Label(pairs) => {
                if let Some(labels) = object(settings, "Labels") {
                    labels.extend(pairs.iter().map(|(name, value)| (name.clone(), json!(value))));
                }
            }
            ConfigChange::OnBuild(line) => {
                let list = settings.entry("OnBuild").or_insert_with(|| json!([]));
                match list.as_array_mut() {
                    Some(list) => list.push(json!(line)),
                    None => *list = json!([line]),
                }
            }
            ConfigChange::StopSignal(signal) => drop(settings.insert("StopSignal".into(), json!(signal))),
            ConfigChange::User(user) => drop(settings.insert("User".into(), json!(user))),
            ConfigChange::Workdir(path) => drop(settings.insert("WorkingDir".into(), json!(path))),
        }
    }
}

/// Adds members to a set, which is an object of empty objects.
fn add(settings: &mut Map<String, Value>, key: &str, members: &[String]) {
    if let Some(set) = object(settings, key) {
        set.extend(members.iter().map(|member| (member.clone(), json!({}))));
    }
}

/// An image to be made.
pub struct NewImage {
    /// Its configuration; layers are written into it.
    pub config: Value,
    /// Its layers, lowest first, all in the store.
    pub layers: Vec<ImageLayer>,
    /// Whose documents it has.
    pub format: Format,
    /// The name it gets.
    pub reference: Option<Reference>,
}

/// Puts the image into the store: configuration, manifest, record, and last its name.
pub fn image(store: &Store, new: NewImage) -> Result<ImageId, Failure> {
    let NewImage { mut config, layers, format, reference } = new;
    let layers = layers.into_iter().map(|layer| in_format(layer, format)).collect::<Result<Vec<_>, _>>()?;
    let diff_ids: Vec<&crate::oci::digest::DiffId> = layers.iter().map(|layer| &layer.diff_id).collect();
    config["rootfs"] = json!({ "type": "layers", "diff_ids": diff_ids });
    let config_bytes = config.to_string().into_bytes();
    let parsed = ImageConfig::parse(&config_bytes)
        .map_err(|cause| Failure::new("E_CONFIG", format!("making the image's configuration: {cause}")))?;
    let (manifest_type, config_type) = match format {
        Format::Oci => (media_type::OCI_MANIFEST, media_type::OCI_CONFIG),
        Format::Docker => (media_type::DOCKER_MANIFEST, media_type::DOCKER_CONFIG),
    };
    let id = store.blobs().put(&config_bytes)?;
    let described = |of: &BlobDescriptor| json!({ "mediaType": of.media_type, "digest": of.digest, "size": of.size });
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": manifest_type,
        "config": { "mediaType": config_type, "digest": id, "size": config_bytes.len() },
        "layers": layers.iter().map(|layer| described(&layer.descriptor)).collect::<Vec<_>>(),
    });
    let manifest_bytes = manifest.to_string().into_bytes();
    let digest = store.blobs().put(&manifest_bytes)?;
    let mut size = 0;
    for layer in &layers {
        size += store.layers().manifest(&layer.diff_id)?.bytes;
    }
    let record = ImageRecord {
        id: id.clone(),
        manifest: BlobDescriptor {
            digest: digest.clone(),
            media_type: manifest_type.into(),
            size: manifest_bytes.len() as u64,
        },
        platform: parsed.platform.normalized().unwrap_or_else(Platform::host),
        created: parsed.created.clone(),
        layers,
        size,
        config: super::fetch::run_defaults(parsed),
        owners: None,
    };
    let record = ImageRecord { owners: Some(owners::of(store, &record)?), ..record };
    store.images().put(&record)?;
    if let Some(reference) = &reference {
        store.images().tag(reference, &id, &digest)?;
    }
    Ok(id)
}

/// The layer under the media type that it has in this format.
fn in_format(mut layer: ImageLayer, format: Format) -> Result<ImageLayer, Failure> {
    let compression = Compression::of_layer(&layer.descriptor.media_type)
        .map_err(|cause| Failure::new("E_CONFIG", format!("putting a layer into the image: {cause}")))?;
    layer.descriptor.media_type = layer_type(format, compression)?.into();
    Ok(layer)
}

/// The media type of a layer of this compression in this format.
pub(super) fn layer_type(format: Format, compression: Compression) -> Result<&'static str, Failure> {
    Ok(match (format, compression) {
        (Format::Oci, Compression::Gzip) => media_type::OCI_LAYER_GZIP,
        (Format::Oci, Compression::Zstd) => media_type::OCI_LAYER_ZSTD,
        (Format::Oci, Compression::None) => media_type::OCI_LAYER,
        (Format::Docker, Compression::Gzip) => media_type::DOCKER_LAYER_GZIP,
        (Format::Docker, Compression::None) => media_type::DOCKER_LAYER,
        (Format::Docker, Compression::Zstd) => {
            let failure =
                Failure::new("E_CONFIG", "making an image in docker's format: a layer is compressed with zstd");
            return Err(failure.with_hint("choose the format oci, or the compression gzip"));
        }
    })
}
