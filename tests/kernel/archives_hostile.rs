//! Archives that lie, lead out, or are too much (SECURITY.md: CVE-2014-9356, CVE-2014-9358, CVE-2026-50195, F20).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use coracle::oci::digest::Digest;
use serde_json::{Value, json};

use crate::support::{Canary, Lab, fixture};

/// A layer's tar with one file.
fn layer() -> Vec<u8> {
    tar(&[("file", b"content")])
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        add(&mut builder, tar::EntryType::Regular, name, "", content);
    }
    builder.into_inner().unwrap()
}

fn add(builder: &mut tar::Builder<Vec<u8>>, kind: tar::EntryType, name: &str, link: &str, content: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_link_name_literal(link).unwrap();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    builder.append(&header, content).unwrap();
}

fn config(layers: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<_> = layers.iter().map(|layer| Digest::of(layer)).collect();
    let host = coracle::oci::platform::Platform::host();
    let rootfs = json!({ "type": "layers", "diff_ids": diff_ids });
    json!({ "architecture": host.architecture, "os": "linux", "rootfs": rootfs }).to_string().into_bytes()
}

/// An archive of docker's, in the old form.
fn docker(list: &Value, config: &[u8], layer: &[u8]) -> Vec<u8> {
    tar(&[("manifest.json", list.to_string().as_bytes()), ("config.json", config), ("layer.tar", layer)])
}

fn list(config: &str, layers: &[&str]) -> Value {
    json!([{ "Config": config, "RepoTags": ["localhost/made:1"], "Layers": layers }])
}

#[track_caller]
fn refused(archive: &[u8], code: &str) {
    let lab = Lab::new();
    lab.coracle_with_input(["load", "-q"], archive).refused(125, code);
    assert_eq!(lab.coracle(["images", "-q"]).ok().text(), "", "{code}");
    lab.assert_clean();
}

#[test]
fn a_good_archive_is_loaded() {
    let lab = Lab::new();
    let layer = layer();
    let good = docker(&list("config.json", &["layer.tar"]), &config(&[&layer]), &layer);
    assert_eq!(lab.coracle_with_input(["load", "-q"], &good).ok().text(), "Loaded image: localhost/made:1");
}

#[test]
fn docker_archives_name_nothing_outside() {
    let (layer, secret) = (layer(), fixture("canary/secret"));
    let canary = Canary::watch(fixture("canary/").canonicalize().unwrap());
    let config = config(&[&layer]);
    let secret = secret.to_str().unwrap();
    let up = format!("../../../../../../../../..{secret}");
    for path in [secret, &up, "../layer.tar", "config.json/../../x"] {
        refused(&docker(&list("config.json", &[path]), &config, &layer), "E_ARCHIVE");
        refused(&docker(&list(path, &["layer.tar"]), &config, &layer), "E_ARCHIVE");
    }
    for link in [secret, &up, "nowhere", "linked.tar"] {
        let mut builder = tar::Builder::new(Vec::new());
        let list = list("config.json", &["linked.tar"]).to_string();
        add(&mut builder, tar::EntryType::Regular, "manifest.json", "", list.as_bytes());
        add(&mut builder, tar::EntryType::Regular, "config.json", "", &config);
        add(&mut builder, tar::EntryType::Symlink, "linked.tar", link, b"");
        refused(&builder.into_inner().unwrap(), "E_ARCHIVE");
    }
    canary.assert_unchanged();
}

#[test]
fn docker_archives_are_what_they_say() {
    let layer = layer();
    let good = list("config.json", &["layer.tar"]);
    let config = config(&[&layer]);
    refused(&docker(&good, &config, &tar(&[("file", b"other")])), "E_DIGEST_MISMATCH");
    refused(&docker(&good, b"{}", &layer), "E_MANIFEST_AMBIGUOUS");
    refused(&docker(&list("config.json", &[]), &config, &layer), "E_MANIFEST_AMBIGUOUS");
    refused(&docker(&list("config.json", &["layer.tar", "layer.tar"]), &config, &layer), "E_MANIFEST_AMBIGUOUS");
    refused(&docker(&json!([]), &config, &layer), "E_NOTFOUND");
    refused(&docker(&json!({ "Config": 7 }), &config, &layer), "E_ARCHIVE");
    let text = good.to_string();
    let twice = tar(&[("manifest.json", text.as_bytes()), ("manifest.json", b"[]"), ("config.json", &config)]);
    refused(&twice, "E_ARCHIVE");
    let key_twice = text.replacen("\"Config\"", "\"Config\":\"x\",\"Config\"", 1);
    refused(
        &tar(&[("manifest.json", key_twice.as_bytes()), ("config.json", &config), ("layer.tar", &layer)]),
        "E_ARCHIVE",
    );
    refused(&tar(&[("something", b"else")]), "E_ARCHIVE");
    refused(b"", "E_ARCHIVE");
    refused(&[b'x'; 4096], "E_ARCHIVE");
    let whole = docker(&good, &config, &vec![b'x'; 5000]);
    refused(&whole[..whole.len() - 4096], "E_ARCHIVE");
}

#[test]
fn names_are_names() {
    let (lab, layer) = (Lab::new(), layer());
    let config = config(&[&layer]);
    let names = ["../../etc/x", "UPPER:1", "\u{1b}[2J", "--privileged", "good:1"];
    let list = json!([{ "Config": "config.json", "RepoTags": names, "Layers": ["layer.tar"] }]);
    let output = lab.coracle_with_input(["load", "-q"], &docker(&list, &config, &layer));
    assert_eq!(output.ok().text(), "Loaded image: docker.io/library/good:1");
    // A name that changes its meaning is told of.
    let other = tar(&[("file", b"of another image")]);
    let archive = docker(&list, &self::config(&[&other]), &other);
    let output = lab.coracle_with_input(["load"], &archive);
    assert!(output.ok().errors().contains("docker.io/library/good:1 was the name of image"), "{output:?}");
}

/// A layout with one image.
fn layout(at: &Path) -> (Digest, Digest) {
    let layer = layer();
    let config = config(&[&layer]);
    let describe = |media_type: &str, bytes: &[u8]| json!({ "mediaType": media_type, "digest": Digest::of(bytes), "size": bytes.len() });
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": describe("application/vnd.oci.image.config.v1+json", &config),
        "layers": [describe("application/vnd.oci.image.layer.v1.tar", &layer)],
    });
    let manifest = manifest.to_string().into_bytes();
    let index =
        json!({ "schemaVersion": 2, "manifests": [describe("application/vnd.oci.image.manifest.v1+json", &manifest)] });
    let blobs = at.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    for blob in [&layer, &config, &manifest] {
        fs::write(blobs.join(Digest::of(blob).hex()), blob).unwrap();
    }
    fs::write(at.join("index.json"), index.to_string()).unwrap();
    fs::write(at.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    (Digest::of(&manifest), Digest::of(&layer))
}

#[test]
fn a_layout_is_believed_nothing() {
    let lab = Lab::new();
    let path = lab.path("layout");
    let load = || Lab::new().coracle(["load", "-qi", path.to_str().unwrap()]);
    let (manifest, layer) = layout(&path);
    load().ok();
    let blob = |digest: &Digest| path.join("blobs/sha256").join(digest.hex());
    let canary = Canary::watch(fixture("canary/").canonicalize().unwrap());

    // Links within lead to what they lead to; nothing leads out, by whatever way.
    fs::rename(blob(&layer), path.join("moved")).unwrap();
    symlink("../../moved", blob(&layer)).unwrap();
    load().ok();
    let up = "../../../../../../../../../../../../../../..";
    let secret = fixture("canary/secret");
    for target in [secret.clone(), Path::new(up).join(secret.strip_prefix("/").unwrap()), "/proc/self/fd/0".into()] {
        fs::remove_file(blob(&layer)).unwrap();
        symlink(&target, blob(&layer)).unwrap();
        load().refused(125, "E_ARCHIVE");
    }
    canary.assert_unchanged();
    fs::remove_file(blob(&layer)).unwrap();
    nix::unistd::mkfifo(&blob(&layer), nix::sys::stat::Mode::S_IRWXU).unwrap();
    load().refused(125, "E_ARCHIVE");
    fs::remove_file(blob(&layer)).unwrap();
    load().refused(125, "E_ARCHIVE").says("has no");

    // As long as it should be, and something else.
    let good = fs::read(path.join("moved")).unwrap();
    fs::write(blob(&layer), vec![0; good.len()]).unwrap();
    load().refused(125, "E_DIGEST_MISMATCH");
    fs::write(blob(&layer), [&good[..], &[0]].concat()).unwrap();
    load().refused(125, "E_SIZE_MISMATCH");
    fs::write(blob(&layer), &good).unwrap();
    let bytes = fs::read(blob(&manifest)).unwrap();
    fs::write(blob(&manifest), String::from_utf8(bytes.clone()).unwrap().replacen('2', "3", 1)).unwrap();
    load().refused(125, "E_DIGEST_MISMATCH");
    fs::write(blob(&manifest), &bytes).unwrap();
    load().ok();

    let index = fs::read_to_string(path.join("index.json")).unwrap();
    for (from, to, code) in [
        ("sha256:", "sha256:../../", "E_ARCHIVE"),
        ("image.manifest", "image.index", "E_MANIFEST_AMBIGUOUS"),
        ("\"manifests\"", "\"manifests\":[],\"manifests\"", "E_ARCHIVE"),
        ("\"manifests\"", "\"other\"", "E_ARCHIVE"),
    ] {
        fs::write(path.join("index.json"), index.replacen(from, to, 1)).unwrap();
        load().refused(125, code);
    }
    fs::write(path.join("index.json"), &index).unwrap();
    fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"9"}"#).unwrap();
    load().refused(125, "E_ARCHIVE");
    fs::File::create(path.join("index.json")).unwrap().set_len(1 << 40).unwrap();
    fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    load().refused(125, "E_TOO_LARGE");
}

#[test]
fn a_bomb_is_no_archive() {
    let lab = Lab::new();
    // 512 MiB of zeroes in half a megabyte: more than a compressed archive of this size may become.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..512 {
        std::io::Write::write_all(&mut encoder, &vec![0; 1 << 20]).unwrap();
    }
    let bomb = lab.write("bomb", encoder.finish().unwrap());
    lab.coracle(["load", "-qi", bomb.to_str().unwrap()]).refused(125, "E_TOO_LARGE");
    lab.assert_clean();
}

/// Writing follows no link in what is there already.
#[test]
fn a_layout_that_leads_out_is_not_written_through() {
    let lab = Lab::new();
    let path = lab.path("layout");
    layout(&path);
    lab.coracle(["load", "-qi", path.to_str().unwrap()]).ok();
    let id = lab.coracle(["images", "-q", "--no-trunc"]).ok().text();
    let outside = lab.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::remove_dir_all(path.join("blobs/sha256")).unwrap();
    symlink(&outside, path.join("blobs/sha256")).unwrap();
    assert_ne!(lab.coracle(["push", "-q", &id, &format!("oci:{}:new", path.display())]).code, 0);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    fs::remove_file(path.join("blobs/sha256")).unwrap();
    lab.coracle(["push", "-q", &id, &format!("oci:{}:new", path.display())]).ok();
}
