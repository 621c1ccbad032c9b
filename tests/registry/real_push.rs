//! Pushes to Debian's docker-registry, and other people's tools that read what was pushed.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Place, RealRegistry, installed, noise, run, tar, umoci_layout};
use coracle::image::assemble::Format;
use coracle::image::push::Members;
use coracle::image::reform::{Change, Encoding, Extent, Recompression};
use coracle::oci::digest::Digest;
use coracle::oci::media_type;
use coracle::registry::{Credential, TlsVerify};

/// A registry that has the image `first`, and a store that has pulled it.
fn prepared(configuration: &str) -> Option<(RealRegistry, Place)> {
    if !["docker-registry", "skopeo", "umoci"].into_iter().all(installed) {
        return None;
    }
    let registry = RealRegistry::start(configuration);
    let layer = registry.path("layer.tar");
    fs::write(&layer, tar(&[("file", &noise(1, 3_000_000)), ("etc/name", b"value\n")])).unwrap();
    let layout = registry.path("layout");
    umoci_layout(&layout, &layer, &["--config.cmd", "/bin/sh"]);
    registry.copy(&format!("oci:{}:latest", layout.display()), "first:1", &["--preserve-digests"]);
    let place = Place::new();
    place.pull(&registry.image("first:1")).unwrap();
    Some((registry, place))
}

/// The digest that skopeo sees.
fn seen(registry: &RealRegistry, name: &str) -> String {
    let image = format!("docker://{}", registry.image(name));
    let digest = run(registry.skopeo().args(["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &image]));
    String::from_utf8(digest).unwrap().trim().to_owned()
}

fn to(encoding: Encoding) -> Change {
    Change { recompression: Some(Recompression { encoding, extent: Extent::Others }), format: None }
}

#[test]
fn what_is_pushed_has_the_digest_that_was_pulled() {
    let Some((registry, place)) = prepared("") else { return };
    let report = place.push(&registry.image("first:1"), &registry.image("team/second:1")).unwrap();
    assert_eq!(seen(&registry, "team/second:1"), seen(&registry, "first:1"));
    assert_eq!(report.digest.to_string(), seen(&registry, "first:1"));
    let original = place.store().images().list().unwrap().remove(0).record;
    let there = Place::new();
    let pulled = there.pull(&registry.image("team/second:1")).unwrap();
    assert_eq!(pulled.image, original.id);
    assert_eq!(there.read(&pulled, 0, "file"), noise(1, 3_000_000));
}

#[test]
fn blobs_of_another_repository_are_mounted_and_not_sent() {
    let Some((registry, place)) = prepared("") else { return };
    let uploads = || {
        // docker-registry keeps a directory for each repository that has ever begun an upload.
        let directory = registry.path("storage/docker/registry/v2/repositories/second/_uploads");
        fs::read_dir(directory).map_or(0, |entries| entries.count())
    };
    place.push(&registry.image("first:1"), &registry.image("second:1")).unwrap();
    assert_eq!(seen(&registry, "second:1"), seen(&registry, "first:1"));
    assert!(place.told.layers.lock().unwrap().iter().filter(|(_, event)| event == "present").count() >= 2);
    assert_eq!(uploads(), 0);
}

#[test]
fn other_tools_read_what_was_pushed() {
    let Some((registry, place)) = prepared("") else { return };
    let first = registry.image("first:1");
    let docker = Change { format: Some(Format::Docker), recompression: None };
    let cases = [
        ("plain:1", Change::default(), media_type::OCI_CONFIG),
        ("zstd:1", to(Encoding::Zstd(3)), media_type::OCI_CONFIG),
        ("chunked:1", to(Encoding::ZstdChunked(3)), media_type::OCI_CONFIG),
        ("docker:1", docker, media_type::DOCKER_CONFIG),
    ];
    for (name, change, config_type) in cases {
        let report = place.push_as(&first, &registry.image(name), Members::Own, change).unwrap();
        let image = format!("docker://{}", registry.image(name));
        let raw = run(registry.skopeo().args(["inspect", "--raw", "--tls-verify=false", &image]));
        assert_eq!(Digest::of(&raw), report.digest, "{name}");
        let manifest: Value = serde_json::from_slice(&raw).unwrap();
        assert_eq!(manifest["config"]["mediaType"], config_type, "{name}");
        let copy = registry.path(&format!("copy-{}", name.replace(':', "-")));
        run(registry
            .skopeo()
            .args(["copy", "-q", "--insecure-policy", "--src-tls-verify=false", &image])
            .arg(format!("oci:{}:x", copy.display())));
        let bundle = registry.path(&format!("bundle-{}", name.replace(':', "-")));
        if !["zstd:1", "chunked:1"].contains(&name) {
            // Debian's umoci does not know zstd.
            run(Command::new("umoci")
                .args(["unpack", "--rootless", "--image", &format!("{}:x", copy.display())])
                .arg(&bundle));
            assert_eq!(fs::read(bundle.join("rootfs/file")).unwrap(), noise(1, 3_000_000), "{name}");
        }
    }
}

#[test]
fn buildah_unpacks_what_was_pushed() {
    if !installed("buildah") {
        return;
    }
    let Some((registry, place)) = prepared("") else { return };
    let original = place.store().images().list().unwrap().remove(0).record.id;
    let policy = registry.path("policy.json");
    fs::write(&policy, r#"{"default":[{"type":"insecureAcceptAnything"}]}"#).unwrap();
    fs::create_dir(registry.path("run")).unwrap();
    for (name, encoding) in [("zstd:1", Encoding::Zstd(3)), ("chunked:1", Encoding::ZstdChunked(3))] {
        let directory = registry.path(&format!("buildah-{}", name.replace(':', "-")));
        let directory = directory.display();
        let conf = format!(
            "[storage]\ndriver = \"vfs\"\nrunroot = \"{directory}/run\"\ngraphroot = \"{directory}/graph\"\n\
             rootless_storage_path = \"{directory}/graph\"\n[storage.options.vfs]\nignore_chown_errors = \"true\"\n"
        );
        fs::write(registry.path("storage.conf"), conf).unwrap();
        place.push_as(&registry.image("first:1"), &registry.image(name), Members::Own, to(encoding)).unwrap();
        let id = run(Command::new("buildah")
            .env("HOME", registry.path("home"))
            .env("XDG_RUNTIME_DIR", registry.path("run"))
            .env("CONTAINERS_STORAGE_CONF", registry.path("storage.conf"))
            .args(["pull", "-q", "--tls-verify=false", "--signature-policy"])
            .arg(&policy)
            .arg(format!("docker://{}", registry.image(name))));
        assert_eq!(String::from_utf8(id).unwrap().trim(), original.hex(), "{name}");
    }
}

#[test]
fn a_registry_with_a_password_file_lets_in_who_knows_it() {
    let auth = "auth: {htpasswd: {realm: r, path: ROOT/htpasswd}}\n";
    if !installed("htpasswd") {
        return;
    }
    let Some((source, mut place)) = prepared("") else { return };
    let registry = RealRegistry::start(auth);
    let line = run(Command::new("htpasswd").args(["-Bbn", "user", "hunter2"]));
    fs::write(registry.path("htpasswd"), line).unwrap();
    let (from, to) = (source.image("first:1"), registry.image("private:1"));
    let failure = place.push(&from, &to).unwrap_err();
    assert_eq!(failure.code(), "E_AUTH");
    assert!(failure.to_string().contains("push to private"), "{failure}");
    place.access.credential = Some(Credential::password("user", "hunter2"));
    place.push(&from, &to).unwrap();
}

#[test]
fn a_registry_with_tls() {
    if !installed("openssl") {
        return;
    }
    let Some((source, mut place)) = prepared("") else { return };
    let directory = tempfile::tempdir().unwrap();
    crate::tls::self_signed(directory.path());
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let tls = format!(
        "http: {{addr: \"ADDRESS\", tls: {{certificate: {}, key: {}}}}}\n",
        file("certificate.pem"),
        file("key.pem")
    );
    let registry = RealRegistry::start(&tls);
    let (from, to) = (source.image("first:1"), registry.image("secure:1"));
    assert_eq!(place.push(&from, &to).unwrap_err().code(), "E_TLS");
    place.access.tls = TlsVerify::Off;
    place.push(&from, &to).unwrap();
    assert_eq!(seen(&registry, "secure:1"), seen(&source, "first:1"));
}

#[test]
fn a_read_only_registry_says_that_it_is_one() {
    let Some((source, place)) = prepared("") else { return };
    let registry = RealRegistry::start(
        "storage: {filesystem: {rootdirectory: ROOT/storage}, maintenance: {readonly: {enabled: true}}}\n",
    );
    let failure = place.push(&source.image("first:1"), &registry.image("app:1")).unwrap_err();
    assert!(failure.to_string().contains("takes no uploads"), "{failure}");
    assert_eq!(failure.code(), "E_AUTH");
}

#[test]
fn an_index_goes_with_all_its_images_or_not_at_all() {
    let Some((registry, place)) = prepared("") else { return };
    let store = place.store();
    let own = store.images().list().unwrap().remove(0).record;
    let entry = |digest: &str, size: u64, architecture: &str| json!({"mediaType": media_type::OCI_MANIFEST, "digest": digest, "size": size, "platform": {"os": "linux", "architecture": architecture}});
    // Another platform's image, of which the store has nothing.
    let layout = registry.path("other");
    umoci_layout(&layout, &registry.path("layer.tar"), &["--architecture", "riscv64"]);
    registry.copy(&format!("oci:{}:latest", layout.display()), "multi:other", &["--preserve-digests"]);
    let other = seen(&registry, "multi:other");
    let raw = run(registry.skopeo().args([
        "inspect",
        "--raw",
        "--tls-verify=false",
        &format!("docker://{}", registry.image("multi:other")),
    ]));
    let host = coracle::oci::platform::Platform::host().architecture;
    place.push(&registry.image("first:1"), &registry.image("multi:own")).unwrap();
    let manifests =
        [entry(&own.manifest.digest.to_string(), own.manifest.size, &host), entry(&other, raw.len() as u64, "riscv64")];
    let index = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": manifests}).to_string();
    let url = format!("http://{}", registry.image("x")).replace("/x", "/v2/multi/manifests/all");
    fs::write(registry.path("index.json"), &index).unwrap();
    let content = format!("Content-Type: {}", media_type::OCI_INDEX);
    run(Command::new("curl")
        .args(["-fsS", "-X", "PUT", "-H", &content, "--data-binary"])
        .arg(format!("@{}", registry.path("index.json").display()))
        .arg(url));

    let all = registry.image("multi:all");
    place.pull(&all).unwrap();
    let failure = place.push_as(&all, &registry.image("elsewhere:1"), Members::All, Change::default()).unwrap_err();
    assert!(
        failure.to_string().contains("linux/riscv64") && failure.hint().unwrap().contains("manifest add"),
        "{failure}"
    );
    // Its own repository has the other one already.
    let report = place.push_as(&all, &registry.image("multi:again"), Members::All, Change::default()).unwrap();
    assert_eq!(report.digest, Digest::of(index.as_bytes()));
    let raw = |name: &str| {
        let image = format!("docker://{}", registry.image(name));
        run(registry.skopeo().args(["inspect", "--raw", "--tls-verify=false", &image]))
    };
    assert_eq!(raw("multi:again"), index.as_bytes());
    // Without --all it is the one image.
    let report = place.push_as(&all, &registry.image("elsewhere:1"), Members::Own, Change::default()).unwrap();
    assert_eq!(report.digest, own.manifest.digest);
}
