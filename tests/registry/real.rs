//! Debian's docker-registry, with images that umoci, buildah and skopeo have made.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Place, RealRegistry, installed, noise, run, tar, umoci_layout};
use coracle::image::fetch::Status;
use coracle::oci::media_type;
use coracle::registry::Credential;

/// A registry and a layout with one image of one layer; `None` where the tools are missing.
fn prepared(extra: &str) -> Option<(RealRegistry, PathBuf)> {
    if !["docker-registry", "skopeo", "umoci"].into_iter().all(installed) {
        return None;
    }
    let registry = RealRegistry::start(extra);
    let layer = registry.path("layer.tar");
    fs::write(&layer, tar(&[("file", &noise(1, 300_000)), ("etc/name", b"value\n")])).unwrap();
    let layout = registry.path("layout");
    umoci_layout(&layout, &layer, &["--config.cmd", "/bin/sh", "--config.env", "A=B", "--config.label", "k=v"]);
    Some((registry, layout))
}

fn source(layout: &std::path::Path) -> String {
    format!("oci:{}:latest", layout.display())
}

#[test]
fn every_format_that_skopeo_writes_is_the_same_image() {
    let Some((registry, layout)) = prepared("") else { return };
    let plain = registry.path("plain");
    run(registry
        .skopeo()
        .args(["copy", "-q", "--insecure-policy", "--dest-decompress", &source(&layout)])
        .arg(format!("dir:{}", plain.display())));
    let plain = format!("dir:{}", plain.display());
    // First, and from a plain layer: skopeo makes do with blobs that it knows to be in the registry.
    registry.copy(&plain, "zstd:latest", &["--format", "oci", "--dest-compress-format", "zstd"]);
    registry.copy(&source(&layout), "gzip:latest", &["--preserve-digests"]);
    registry.copy(&source(&layout), "docker:latest", &["--format", "v2s2"]);
    registry.copy(&plain, "plain:latest", &["--preserve-digests"]);
    let mut layers = Vec::new();
    for (name, layer_type) in [
        ("gzip", "application/vnd.oci.image.layer.v1.tar+gzip"),
        ("docker", "application/vnd.docker.image.rootfs.diff.tar.gzip"),
        ("zstd", "application/vnd.oci.image.layer.v1.tar+zstd"),
        ("plain", "application/vnd.oci.image.layer.v1.tar"),
    ] {
        let place = Place::new();
        let report = place.pull(&registry.image(name)).unwrap_or_else(|failure| panic!("{name}: {failure}"));
        assert_eq!(place.read(&report, 0, "file"), noise(1, 300_000), "{name}");
        let record = place.store().images().get(&report.image).unwrap().unwrap();
        assert_eq!(record.layers[0].descriptor.media_type, layer_type);
        assert_eq!(record.config.cmd, Some(vec!["/bin/sh".into()]));
        assert!(record.config.env.contains(&"A=B".into()) && record.config.labels["k"] == "v");
        layers.push(record.layers[0].diff_id.clone());
        assert_eq!(place.pull(&registry.image(name)).unwrap().status, Status::AlreadyPresent);
    }
    layers.dedup();
    assert_eq!(layers.len(), 1, "one layer, four blobs");
}

#[test]
fn the_digest_is_the_one_that_skopeo_sees() {
    let Some((registry, layout)) = prepared("") else { return };
    registry.copy(&source(&layout), "app:1", &[]);
    let place = Place::new();
    let report = place.pull(&registry.image("app:1")).unwrap();
    let to = format!("docker://{}", registry.image("app:1"));
    let seen = run(registry.skopeo().args(["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &to]));
    assert_eq!(report.manifest_digest.to_string(), String::from_utf8(seen).unwrap().trim());
    let pinned = registry.image(&format!("app@{}", report.manifest_digest));
    assert_eq!(Place::new().pull(&pinned).unwrap().image, report.image);
    let missing = Place::new().refused(&registry.image("app:2"), "E_NOTFOUND");
    assert!(missing.contains("manifest unknown"), "{missing}");
    Place::new().refused(&registry.image("nothing/here"), "E_NOTFOUND");
}

#[test]
fn an_index_of_two_platforms_gives_each_of_them() {
    let Some((registry, amd64)) = prepared("") else { return };
    let arm64 = registry.path("arm64");
    let layer = registry.path("layer.tar");
    umoci_layout(&arm64, &layer, &["--architecture", "arm64"]);
    let entry = |layout: &std::path::Path, architecture: &str| {
        let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
        let mut entry = index["manifests"][0].clone();
        entry.as_object_mut().unwrap().remove("annotations");
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
        entry
    };
    let manifests = [entry(&arm64, "arm64"), entry(&amd64, "amd64")];
    let index = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": manifests}).to_string();
    for blob in fs::read_dir(arm64.join("blobs/sha256")).unwrap() {
        let blob = blob.unwrap();
        fs::copy(blob.path(), amd64.join("blobs/sha256").join(blob.file_name())).unwrap();
    }
    let digest = coracle::oci::digest::Digest::of(index.as_bytes());
    fs::write(amd64.join("blobs/sha256").join(digest.hex()), &index).unwrap();
    let top = json!({"schemaVersion": 2, "manifests": [{"mediaType": media_type::OCI_INDEX, "digest": digest, "size": index.len(),
        "annotations": {"org.opencontainers.image.ref.name": "latest"}}]});
    fs::write(amd64.join("index.json"), top.to_string()).unwrap();
    registry.copy(&source(&amd64), "multi:latest", &["--all"]);

    let mut place = Place::new();
    for platform in ["linux/arm64", "linux/amd64"] {
        place.platform = Some(platform.into());
        let report = place.pull(&registry.image("multi")).unwrap();
        let record = place.store().images().get(&report.image).unwrap().unwrap();
        assert_eq!(record.platform.to_string(), platform);
    }
    place.platform = Some("linux/riscv64".into());
    let failure = place.pull(&registry.image("multi")).unwrap_err();
    assert!(failure.to_string().contains("only for linux/arm64, linux/amd64"), "{failure}");
}

#[test]
fn a_registry_with_a_password_file() {
    let auth = "auth: {htpasswd: {realm: r, path: ROOT/htpasswd}}\n";
    if !installed("htpasswd") {
        return;
    }
    let Some((registry, layout)) = prepared(auth) else { return };
    let line = run(Command::new("htpasswd").args(["-Bbn", "user", "hunter2"]));
    fs::write(registry.path("htpasswd"), line).unwrap();
    registry.copy(&source(&layout), "private:latest", &["--dest-creds", "user:hunter2"]);
    Place::new().refused(&registry.image("private"), "E_AUTH");
    let mut place = Place::new();
    place.access.credential = Some(Credential::password("user", "wrong"));
    place.refused(&registry.image("private"), "E_AUTH");
    place.access.credential = Some(Credential::password("user", "hunter2"));
    place.pull(&registry.image("private")).unwrap();
}
