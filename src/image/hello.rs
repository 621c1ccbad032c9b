//! The image `hello`, which needs no registry: this program itself is its only file, and says in the container what
//! surrounds it. It is an image like any other: in the store, with a manifest, a configuration and a layer.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;

use serde_json::json;

use crate::failure::Failure;
use crate::name::image_selector::ImageSelector;
use crate::name::reference::Reference;
use crate::oci::digest::{Algorithm, Digest};
use crate::oci::platform::Platform;
use crate::state::record::{io_code, io_hint};
use crate::state::schema::image::{BlobDescriptor, ImageLayer, ImageOwners, ImageRecord, RunDefaults};
use crate::store::Store;
use crate::store::images::ResolvedImage;

/// The name of the program in the image, by which this program knows that it is meant.
pub const PROGRAM: &str = "coracle-hello";

const NAME: &str = "localhost/hello:latest";
/// Says which build of this program the image was made from.
const BUILD_LABEL: &str = "coracle.build";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";

/// Makes the image if `selector` means it and the store does not have it, or has that of another build.
pub fn refreshed(
    store: &Store,
    selector: &ImageSelector,
    found: Option<ResolvedImage>,
) -> Result<Option<ResolvedImage>, Failure> {
    let ImageSelector::Reference(reference, _) = selector else { return Ok(found) };
    let means_it =
        reference.to_string() == NAME || (reference.is_short() && reference.in_localhost().to_string() == NAME);
    if !means_it || found.as_ref().is_some_and(|found| !is_ours(found)) {
        return Ok(found);
    }
    let build = build().map_err(failed)?;
    if found.as_ref().is_some_and(|found| found.record.config.labels.get(BUILD_LABEL) == Some(&build)) {
        return Ok(found);
    }
    make(store, &build).map(Some)
}

fn is_ours(found: &ResolvedImage) -> bool {
    found.record.config.labels.contains_key(BUILD_LABEL)
}

/// Whether a container of this image is told when its command was started.
pub fn is_hello(record: &ImageRecord) -> bool {
    record.config.labels.contains_key(BUILD_LABEL)
}

fn failed(cause: io::Error) -> Failure {
    let failure = Failure::new(io_code(&cause), format!("making the image {NAME}: {cause}"));
    match io_hint(&cause) {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

/// Version, size and time of this program's file.
fn build() -> io::Result<String> {
    let program = std::fs::metadata("/proc/self/exe")?;
    Ok(format!("{}-{}-{}", env!("CARGO_PKG_VERSION"), program.len(), program.mtime()))
}

fn make(store: &Store, build: &str) -> Result<ResolvedImage, Failure> {
    let (diff_id, size) = digest_layer().map_err(failed)?;
    if !store.layers().contains(&diff_id) {
        let mut layer = store.layers().ingest(&diff_id)?;
        write_layer(&mut layer).map_err(failed)?;
        layer.commit()?;
    }
    if !store.blobs().contains(&diff_id) {
        let mut blob = store.blobs().writer(&diff_id, Some(size))?;
        write_layer(&mut blob).map_err(failed)?;
        blob.commit()?;
    }
    let platform = Platform::host();
    let labels = json!({ BUILD_LABEL: build, "org.opencontainers.image.title": "hello" });
    let config = json!({
        "architecture": platform.architecture,
        "os": platform.os,
        "config": { "Cmd": [format!("/{PROGRAM}")], "Labels": labels },
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
        "history": [{ "created_by": "coracle", "comment": "embedded in coracle" }],
    });
    let config_bytes = config.to_string().into_bytes();
    let config_digest = store.blobs().put(&config_bytes)?;
    let descriptor = |media_type: &str, digest: &Digest, size: u64| json!({ "mediaType": media_type, "digest": digest, "size": size });
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": descriptor(CONFIG_TYPE, &config_digest, config_bytes.len() as u64),
        "layers": [descriptor(LAYER_TYPE, &diff_id, size)],
    });
    let manifest_bytes = manifest.to_string().into_bytes();
    let manifest_digest = store.blobs().put(&manifest_bytes)?;
    let record = ImageRecord {
        id: config_digest,
        manifest: BlobDescriptor {
            digest: manifest_digest.clone(),
            media_type: MANIFEST_TYPE.into(),
            size: manifest_bytes.len() as u64,
        },
        platform,
        created: None,
        layers: vec![ImageLayer {
            diff_id: diff_id.clone(),
            descriptor: BlobDescriptor { digest: diff_id, media_type: LAYER_TYPE.into(), size },
            opaque: false,
        }],
        size,
        config: RunDefaults {
            cmd: Some(vec![format!("/{PROGRAM}")]),
            labels: [(BUILD_LABEL.to_owned(), build.to_owned())].into(),
            ..RunDefaults::default()
        },
        owners: Some(ImageOwners { given: true, ..ImageOwners::default() }),
    };
    store.images().put(&record)?;
    let reference: Reference = NAME.parse()?;
    store.images().tag(&reference, &record.id, &manifest_digest)?;
    Ok(ResolvedImage { record, reference: Some(reference) })
}

/// Digest and length of the layer's tar.
fn digest_layer() -> io::Result<(Digest, u64)> {
    struct Counter(crate::oci::digest::Hasher, u64);
    impl Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.update(bytes);
            self.1 += bytes.len() as u64;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(Algorithm::Sha256.hasher(), 0);
    write_layer(&mut counter)?;
    Ok((counter.0.finish(), counter.1))
}

/// One file, owned by root, with no time: the same program makes the same layer.
fn write_layer(to: &mut dyn Write) -> io::Result<()> {
    let program = File::open("/proc/self/exe")?;
    let size = program.metadata()?.len();
    let mut header = tar::Header::new_ustar();
    header.set_size(size);
    header.set_mode(0o755);
    header.set_mtime(0);
    let mut builder = tar::Builder::new(to);
    builder.append_data(&mut header, PROGRAM, program.take(size))?;
    builder.finish()
}
