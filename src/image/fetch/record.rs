//! What is kept of an image beside its layers.

use std::io::Write;

use super::error::FetchCause;
use super::layers::Layer;
use crate::image::owners;
use crate::oci::digest::Digest;
use crate::oci::image_config::ImageConfig;
use crate::oci::manifest::{Fetched, Manifest};
use crate::oci::platform::Platform;
use crate::state::schema::image::{BlobDescriptor, ImageLayer, ImageRecord, RunDefaults};
use crate::store::{Store, StoreError};

/// Stores a small blob unless it is there and sound; returns how many were stored.
pub(super) fn store_blob(store: &Store, digest: &Digest, bytes: &[u8], limit: u64) -> Result<usize, StoreError> {
    if store.blobs().read(digest, limit).is_ok() {
        return Ok(0);
    }
    let mut writer = store.blobs().writer(digest, Some(bytes.len() as u64))?;
    writer.write_all(bytes).map_err(super::layers::store_error)?;
    writer.commit()?;
    Ok(1)
}

/// The record of an image whose layers are all in the store.
pub(super) fn image_record(
    store: &Store,
    source: &Fetched,
    manifest: &Manifest,
    config: ImageConfig,
    layers: &[Layer],
) -> Result<ImageRecord, FetchCause> {
    let (mut size, mut records) = (0, Vec::with_capacity(layers.len()));
    for layer in layers {
        let unpacked = store.layers().manifest(&layer.diff_id)?;
        size += unpacked.bytes;
        records.push(image_layer(layer, unpacked.opaque_root));
    }
    let record = ImageRecord {
        id: manifest.config.digest.clone(),
        manifest: BlobDescriptor {
            digest: source.digest.clone(),
            media_type: manifest.media_type.clone(),
            size: source.bytes.len() as u64,
        },
        platform: config.platform.normalized().unwrap_or_else(Platform::host),
        created: config.created.clone(),
        layers: records,
        size,
        config: run_defaults(config),
        owners: None,
    };
    Ok(ImageRecord { owners: Some(owners::of(store, &record)?), ..record })
}

fn image_layer(layer: &Layer, opaque: bool) -> ImageLayer {
    ImageLayer { diff_id: layer.diff_id.clone(), descriptor: (&layer.descriptor).into(), opaque }
}

/// What a container gets unless told otherwise. An entry of the environment without a name and `=` would import a
/// variable of the host's, and is dropped (SECURITY.md R15).
pub(crate) fn run_defaults(config: ImageConfig) -> RunDefaults {
    let healthcheck = config.healthcheck;
    let Some(config) = config.config else { return RunDefaults { healthcheck, ..RunDefaults::default() } };
    let names_a_variable = |entry: &&String| entry.find('=').is_some_and(|at| at > 0);
    RunDefaults {
        env: config.env().iter().flatten().filter(names_a_variable).cloned().collect(),
        entrypoint: config.entrypoint().clone(),
        cmd: config.cmd().clone(),
        user: config.user().clone().unwrap_or_default(),
        working_dir: config.working_dir().clone().unwrap_or_default(),
        volumes: config.volumes().iter().flatten().cloned().collect(),
        exposed_ports: config.exposed_ports().iter().flatten().cloned().collect(),
        labels: config.labels().clone().into_iter().flatten().collect(),
        stop_signal: config.stop_signal().clone(),
        healthcheck,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults(config: &str) -> RunDefaults {
        let rootfs = r#"{"type":"layers","diff_ids":[]}"#;
        let text = format!(r#"{{"architecture":"amd64","os":"linux","config":{config},"rootfs":{rootfs}}}"#);
        run_defaults(ImageConfig::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn only_complete_entries_of_the_environment_are_kept() {
        let config = defaults(r#"{"Env":["A=1","AWS_SECRET_ACCESS_KEY","=x","B=","C=x=y",""]}"#);
        assert_eq!(config.env, ["A=1", "B=", "C=x=y"]);
    }

    #[test]
    fn everything_a_run_needs_is_kept() {
        let config = defaults(
            r#"{"Entrypoint":[],"Cmd":["a"],"User":"u:g","WorkingDir":"/w","Volumes":{"/v":{}},
                "ExposedPorts":{"80/tcp":{}},"Labels":{"k":"v"},"StopSignal":"SIGINT","Healthcheck":{"Test":["CMD","t"]}}"#,
        );
        assert_eq!((config.entrypoint, config.cmd), (Some(vec![]), Some(vec!["a".into()])));
        assert_eq!((config.user.as_str(), config.working_dir.as_str()), ("u:g", "/w"));
        assert!(config.volumes.contains("/v") && config.exposed_ports.contains("80/tcp"));
        assert_eq!(config.labels["k"], "v");
        assert_eq!(config.stop_signal.as_deref(), Some("SIGINT"));
        assert!(config.healthcheck.is_some());
        assert_eq!(defaults("null"), RunDefaults::default());
    }
}
