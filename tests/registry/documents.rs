//! Manifests, indexes and configurations that are too large, ambiguous, for somebody else, or not what was asked for.

use serde_json::{Value, json};

use crate::faulty::{Answer, Fault, Faulty};
use crate::support::{Image, Place, TAR, descriptor, document, tar};
use coracle::oci::digest::Digest;
use coracle::oci::media_type::{DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};

/// A registry that has this under `latest`.
fn serving(answer: Answer) -> Faulty {
    Faulty::start(move |asked| match asked.path.as_str() {
        "/v2/app/manifests/latest" => answer.clone(),
        _ => Answer::new(404, ""),
    })
}

#[track_caller]
fn refused(answer: Answer, code: &str) -> String {
    Place::new().refused(&format!("{}/app", serving(answer).name()), code)
}

#[test]
fn documents_without_end_are_cut_off() {
    let announced = Answer::new(200, "{}").header("Content-Type", OCI_MANIFEST).header("Content-Length", "5000000000");
    assert!(refused(announced, "E_TOO_LARGE").contains("4194304"));
    let endless = Answer::new(200, "").header("Content-Type", OCI_MANIFEST).fault(Fault::Endless);
    refused(endless, "E_TOO_LARGE");
    let large = format!("{{\"x\":\"{}\"}}", " ".repeat(4 << 20));
    refused(document(large.as_bytes(), OCI_MANIFEST), "E_TOO_LARGE");
}

#[test]
fn a_configuration_that_is_too_large_is_not_asked_for() {
    let mut image = Image::simple(1000);
    image.manifest["config"]["size"] = json!(9 << 20);
    let config = image.config_path();
    let server = Faulty::start(move |asked| image.answer(asked));
    assert!(Place::new().refused(&format!("{}/app", server.name()), "E_TOO_LARGE").contains("8388608"));
    assert_eq!(server.count(&config), 0);
}

#[test]
fn ambiguous_documents_are_refused() {
    let manifest = Image::simple(1000).manifest;
    let with = |key: &str, value: Value| {
        let mut document = manifest.clone();
        document[key] = value;
        document.to_string().into_bytes()
    };
    let plain = manifest.to_string();
    let twice = plain.replacen('{', "{\"schemaVersion\":2,", 1);
    let cases: [(Vec<u8>, &str); 9] = [
        (with("manifests", json!([])), OCI_MANIFEST),
        (plain.clone().into_bytes(), OCI_INDEX),
        (plain.clone().into_bytes(), DOCKER_MANIFEST),
        (with("mediaType", json!(OCI_INDEX)), OCI_INDEX),
        (twice.into_bytes(), OCI_MANIFEST),
        (format!("{plain} {plain}").into_bytes(), OCI_MANIFEST),
        (with("x", serde_json::from_str(&format!("{}{}", "[".repeat(40), "]".repeat(40))).unwrap()), OCI_MANIFEST),
        (b"<html>log in to the wifi</html>".to_vec(), "text/html"),
        (with("config", json!({"mediaType": "x", "digest": "sha256:../../x", "size": 1})), OCI_MANIFEST),
    ];
    for (number, (bytes, media_type)) in cases.into_iter().enumerate() {
        let message = refused(document(&bytes, media_type), "E_MANIFEST_AMBIGUOUS");
        assert!(message.contains("/v2/app/manifests/latest"), "case {number}: {message}");
    }
}

#[test]
fn schema_1_is_called_by_its_name() {
    let text = json!({"schemaVersion": 1, "name": "app", "tag": "latest", "fsLayers": [], "history": []}).to_string();
    let media_type = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    assert!(refused(document(text.as_bytes(), media_type), "E_MANIFEST_AMBIGUOUS").contains("schema 1"));
}

#[test]
fn the_announced_digest_must_be_the_real_one() {
    let bytes = Image::simple(1000).manifest_bytes();
    let other = document(&bytes, OCI_MANIFEST).header("Docker-Content-Digest", Digest::of(b"other").to_string());
    refused(other, "E_DIGEST_MISMATCH");
    for malformed in ["sha256:../../x", "md5:0", "x"] {
        refused(document(&bytes, OCI_MANIFEST).header("Docker-Content-Digest", malformed), "E_DIGEST_SYNTAX");
    }
}

#[test]
fn a_pinned_digest_is_what_counts() {
    let image = Image::simple(1000);
    let bytes = image.manifest_bytes();
    let good = image.clone();
    // Whatever digest is asked for, this manifest comes, and the header agrees with the question.
    let server = Faulty::start(move |asked| match asked.path.rsplit_once("/manifests/") {
        Some((_, digest)) => document(&bytes, OCI_MANIFEST).header("Docker-Content-Digest", digest),
        None => good.answer(asked),
    });
    let wanted = Digest::of(b"another manifest");
    Place::new().refused(&format!("{}/app@{wanted}", server.name()), "E_DIGEST_MISMATCH");
    let place = Place::new();
    let report = place.pull(&format!("{}/app@{}", server.name(), image.manifest_digest())).unwrap();
    assert_eq!(report.manifest_digest, image.manifest_digest());
}

#[test]
fn the_configuration_must_have_its_digest_and_size() {
    for change in [b"{}".to_vec(), Vec::new(), vec![b' '; 1000]] {
        let image = Image::simple(1000);
        let config = image.config_path();
        let server = Faulty::start(move |asked| match image.answer(asked) {
            _ if asked.path == config => Answer::new(200, change.clone()),
            answer => answer,
        });
        Place::new().refused(&format!("{}/app", server.name()), "E_SIZE_MISMATCH");
    }
    let image = Image::simple(1000);
    let config = image.config_path();
    let server = Faulty::start(move |asked| match image.answer(asked) {
        mut answer if asked.path == config => {
            answer.body.swap(0, 1);
            answer
        }
        answer => answer,
    });
    Place::new().refused(&format!("{}/app", server.name()), "E_DIGEST_MISMATCH");
}

#[test]
fn a_configuration_that_does_not_fit_is_refused() {
    for (diff_ids, words) in [(json!([]), "layers"), (Value::Null, "configuration")] {
        let mut image = Image::simple(1000);
        image.config["rootfs"]["diff_ids"] = diff_ids;
        image.describe();
        let server = Faulty::start(move |asked| image.answer(asked));
        let message = Place::new().refused(&format!("{}/app", server.name()), "E_MANIFEST_AMBIGUOUS");
        assert!(message.contains(words), "{message}");
    }
    let mut image = Image::simple(1000);
    image.manifest["config"]["mediaType"] = json!("application/vnd.cncf.helm.config.v1+json");
    let server = Faulty::start(move |asked| image.answer(asked));
    let message = Place::new().refused(&format!("{}/app", server.name()), "E_MANIFEST_AMBIGUOUS");
    assert!(message.contains("not a container image") && message.contains("helm"), "{message}");
}

/// An image for `platform` whose only file says so.
fn image_for(platform: &str) -> Image {
    let tar = tar(&[("platform", platform.as_bytes())]);
    let mut image = Image::new(&[(TAR, tar.clone(), tar)]);
    let mut words = platform.split('/');
    image.config["os"] = json!(words.next());
    image.config["architecture"] = json!(words.next());
    if let Some(variant) = words.next() {
        image.config["variant"] = json!(variant);
    }
    image.describe();
    image
}

/// A registry with an index of these.
fn index_of(platforms: &[&str]) -> Faulty {
    let images: Vec<Image> = platforms.iter().map(|platform| image_for(platform)).collect();
    let entries: Vec<Value> = images
        .iter()
        .map(|image| {
            let mut entry = descriptor(OCI_MANIFEST, &image.manifest_bytes());
            entry["platform"] = json!({"os": image.config["os"], "architecture": image.config["architecture"]});
            if let Some(variant) = image.config.get("variant") {
                entry["platform"]["variant"] = variant.clone();
            }
            entry["urls"] = json!(["http://127.0.0.1:1/never"]);
            entry
        })
        .collect();
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).to_string();
    Faulty::start(move |asked| match asked.path.as_str() {
        "/v2/app/manifests/latest" => document(index.as_bytes(), OCI_INDEX),
        _ => images.iter().map(|image| image.answer(asked)).find(|a| a.status == 200).unwrap_or(Answer::new(404, "")),
    })
}

#[test]
fn an_index_gives_the_platform_that_is_wanted() {
    let server = index_of(&["windows/amd64", "linux/arm64/v8", "linux/riscv64", "linux/amd64"]);
    let name = format!("{}/app", server.name());
    let mut place = Place::new();
    for (wanted, expected) in
        [("linux/amd64", "linux/amd64"), ("arm64", "linux/arm64/v8"), ("linux/riscv64", "linux/riscv64")]
    {
        place.platform = Some(wanted.into());
        let report = place.pull(&name).unwrap();
        assert_eq!(place.read(&report, 0, "platform"), expected.as_bytes());
    }
    let fresh = Place::new();
    let report = fresh.pull(&name).unwrap();
    let host = coracle::oci::platform::Platform::host().to_string();
    assert!(fresh.read(&report, 0, "platform").starts_with(host.as_bytes()));
    place.platform = Some("linux/s390x".into());
    let failure = place.pull(&name).unwrap_err();
    assert_eq!(failure.code(), "E_NOTFOUND");
    let message = failure.to_string();
    assert!(message.contains("only for windows/amd64, linux/arm64, linux/riscv64, linux/amd64"), "{message}");
}

#[test]
fn an_image_for_another_platform_must_be_asked_for() {
    let image = image_for("linux/s390x");
    let server = Faulty::start(move |asked| image.answer(asked));
    let name = format!("{}/app", server.name());
    let mut place = Place::new();
    let message = place.refused(&name, "E_NOTFOUND");
    assert!(message.contains("for linux/s390x and not for linux/"), "{message}");
    place.platform = Some("linux/s390x".into());
    place.pull(&name).unwrap();
}

#[test]
fn an_index_may_not_lie_about_its_images() {
    // The index says amd64; the image says otherwise.
    let image = image_for("linux/s390x");
    let mut entry = descriptor(OCI_MANIFEST, &image.manifest_bytes());
    entry["platform"] = json!({"os": "linux", "architecture": coracle::oci::platform::Platform::host().architecture});
    let lying = |entry: Value, image: Image| {
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).to_string();
        Faulty::start(move |asked| match asked.path.as_str() {
            "/v2/app/manifests/latest" => document(index.as_bytes(), OCI_INDEX),
            _ => image.answer(asked),
        })
    };
    let server = lying(entry.clone(), image.clone());
    Place::new().refused(&format!("{}/app", server.name()), "E_NOTFOUND");

    entry["size"] = json!(7);
    let server = lying(entry.clone(), image.clone());
    Place::new().refused(&format!("{}/app", server.name()), "E_SIZE_MISMATCH");

    entry["size"] = json!(image.manifest_bytes().len());
    entry["mediaType"] = json!(DOCKER_MANIFEST);
    let server = lying(entry, image);
    Place::new().refused(&format!("{}/app", server.name()), "E_MANIFEST_AMBIGUOUS");
}

#[test]
fn an_index_in_an_index_is_refused() {
    let inner = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).to_string();
    let outer =
        json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor(OCI_INDEX, inner.as_bytes())]});
    let server = Faulty::start(move |asked| match asked.path.as_str() {
        "/v2/app/manifests/latest" => document(outer.to_string().as_bytes(), OCI_INDEX),
        _ => document(inner.as_bytes(), OCI_INDEX),
    });
    let message = Place::new().refused(&format!("{}/app", server.name()), "E_MANIFEST_AMBIGUOUS");
    assert!(message.contains("another index"), "{message}");
}
