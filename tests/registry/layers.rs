//! Layers of all kinds, layers that are not what they claim, and layers that are there already.

use serde_json::json;

use crate::faulty::Faulty;
use crate::support::{Image, Place, TAR, TAR_GZIP, TAR_ZSTD, gzip, noise, tar, zstd};
use coracle::image::fetch::Status;
use coracle::oci::digest::Digest;

fn serving(image: &Image) -> Faulty {
    let image = image.clone();
    Faulty::start(move |asked| image.answer(asked))
}

#[track_caller]
fn refused(image: &Image, code: &str) -> String {
    Place::new().refused(&format!("{}/app", serving(image).name()), code)
}

#[test]
fn all_compressions_are_unpacked_and_equal_layers_once() {
    let tars: Vec<_> =
        (0..9).map(|number: u8| tar(&[("number", &[number]), ("noise", &noise(number.into(), 50_000))])).collect();
    let docker = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    let image = Image::new(&[
        (TAR, tars[0].clone(), tars[0].clone()),
        (TAR_GZIP, gzip(&tars[1]), tars[1].clone()),
        (TAR_ZSTD, zstd(&tars[2]), tars[2].clone()),
        (docker, gzip(&tars[3]), tars[3].clone()),
        (TAR_GZIP, [gzip(&tars[4][..10_000]), gzip(&tars[4][10_000..])].concat(), tars[4].clone()),
        (TAR_ZSTD, [zstd(&tars[5][..10_000]), zstd(&tars[5][10_000..])].concat(), tars[5].clone()),
        (TAR_GZIP, gzip(&tars[1]), tars[1].clone()),
        (TAR_ZSTD, zstd(&tars[1]), tars[1].clone()),
    ]);
    let server = serving(&image);
    let place = Place::new();
    let report = place.pull(&format!("{}/app", server.name())).unwrap();
    for (position, expected) in [0, 1, 2, 3, 4, 5, 1, 1].into_iter().enumerate() {
        assert_eq!(place.read(&report, position, "number"), [expected]);
    }
    assert_eq!(server.count(&image.layer_path(1)), 1, "layer 6 is the same");
    assert_eq!(
        server.count(&image.layer_path(7)),
        1,
        "layer 7 is the same, but its blob is another, which a push would need"
    );
    assert_eq!(place.unfinished(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn what_a_layer_is_must_be_what_it_is_called() {
    let tar = tar(&[("file", b"x")]);
    for (media_type, blob) in [
        (TAR, gzip(&tar)),
        (TAR_GZIP, zstd(&tar)),
        (TAR_GZIP, tar.clone()),
        (TAR_ZSTD, gzip(&tar)),
        (TAR_GZIP, Vec::new()),
    ] {
        let message = refused_layer(media_type, blob, &tar, "E_COMPRESSION");
        assert!(message.contains("declared as"), "{message}");
    }
}

/// Pulls an image of this one layer, whose blob is kept: it is what the manifest says.
#[track_caller]
fn refused_layer(media_type: &str, blob: Vec<u8>, tar: &[u8], code: &str) -> String {
    let place = Place::new();
    let server = serving(&Image::new(&[(media_type, blob, tar.to_vec())]));
    let failure = place.pull(&format!("{}/app", server.name())).unwrap_err();
    assert_eq!(failure.code(), code, "{failure}");
    assert!(place.files(&["refs", "images", "layers"]).is_empty());
    assert_eq!(place.unfinished(), Vec::<std::path::PathBuf>::new());
    failure.to_string()
}

#[test]
fn broken_compression_is_refused() {
    let tar = tar(&[("file", &noise(1, 100_000))]);
    let (gzip, zstd) = (gzip(&tar), zstd(&tar));
    refused_layer(TAR_GZIP, gzip[..gzip.len() - 9].to_vec(), &tar, "E_COMPRESSION");
    refused_layer(TAR_GZIP, [&gzip[..], b"garbage"].concat(), &tar, "E_COMPRESSION");
    refused_layer(TAR_ZSTD, zstd[..zstd.len() - 1].to_vec(), &tar, "E_COMPRESSION");
    let long = [&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3][..], &[0x01, 0, 0]].concat();
    assert!(refused_layer(TAR_ZSTD, long, &tar, "E_LAYER_LIMIT").contains("128 MiB"));
}

#[test]
fn the_tar_must_have_its_diff_id() {
    let (tar, other) = (tar(&[("file", b"x")]), tar(&[("file", b"y")]));
    refused_layer(TAR_GZIP, gzip(&other), &tar, "E_DIGEST_MISMATCH");
}

#[test]
fn a_bomb_is_stopped() {
    let zeros = vec![0; 200 << 20];
    let blob = zstd::encode_all(&tar(&[("zeros", &zeros)])[..], 1).unwrap();
    refused_layer(TAR_ZSTD, blob, b"", "E_LAYER_LIMIT");
}

#[test]
fn foreign_and_encrypted_layers_are_refused_before_anything_is_fetched() {
    for (media_type, words) in [
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "may not be distributed"),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "may not be distributed"),
        ("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "encrypted"),
        ("application/octet-stream", "not a file system layer"),
    ] {
        let mut image = Image::simple(1000);
        image.manifest["layers"][0]["mediaType"] = json!(media_type);
        assert!(refused(&image, "E_LAYER_FORMAT").contains(words));
    }
}

#[test]
fn addresses_in_descriptors_are_never_asked() {
    let stranger = Faulty::start(|_| crate::faulty::Answer::new(401, "").header("WWW-Authenticate", "Basic"));
    let mut image = Image::simple(1000);
    image.manifest["layers"][0]["urls"] = json!([format!("{}/layer", stranger.url())]);
    Place::new().pull(&format!("{}/app", serving(&image).name())).unwrap();
    assert!(stranger.asked().is_empty());
}

#[test]
fn the_number_of_layers_has_a_limit() {
    let mut image = Image::simple(1000);
    let layer = image.manifest["layers"][0].clone();
    image.manifest["layers"] = vec![layer; 1000].into();
    assert!(refused(&image, "E_LAYER_LIMIT").contains("500"));
}

#[test]
fn a_failure_of_one_layer_stops_the_others() {
    let tars: Vec<_> = (0..30).map(|number| tar(&[("noise", &noise(number, 2000))])).collect();
    let mut layers: Vec<_> = tars.iter().map(|tar| (TAR_GZIP, gzip(tar), tar.clone())).collect();
    layers[0].1 = b"not gzip".to_vec();
    let image = Image::new(&layers);
    let good = image.clone();
    let server = Faulty::start(move |asked| {
        if asked.path != good.layer_path(0) {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        good.answer(asked)
    });
    let failure = Place::new().pull(&format!("{}/app", server.name())).unwrap_err();
    assert_eq!(failure.code(), "E_COMPRESSION", "{failure}");
    assert!(server.count("/blobs/") < 20, "{}", server.count("/blobs/"));
}

#[test]
fn what_is_there_is_not_fetched() {
    let base = tar(&[("base", &noise(1, 100_000))]);
    let app = tar(&[("app", &noise(2, 100_000))]);
    let layers = [(TAR_GZIP, gzip(&base), base), (TAR_GZIP, gzip(&app), app)];
    let (first, second) = (Image::new(&layers[..1]), Image::new(&layers));
    let place = Place::new();
    place.pull(&format!("{}/app", serving(&first).name())).unwrap();
    let server = serving(&second);
    place.pull(&format!("{}/app", server.name())).unwrap();
    assert_eq!((server.count(&second.layer_path(0)), server.count(&second.layer_path(1))), (0, 1));
    let told = place.told.layers.lock().unwrap().clone();
    assert!(told.contains(&(0, "present".into())) && told.contains(&(1, "done".into())), "{told:?}");
}

#[test]
fn a_layer_whose_blob_is_there_is_unpacked_again_and_a_rotten_blob_is_replaced() {
    let image = Image::simple(100_000);
    let server = serving(&image);
    let name = format!("{}/app", server.name());
    let place = Place::new();
    place.pull(&name).unwrap();
    let diff_id: Digest = image.config["rootfs"]["diff_ids"][0].as_str().unwrap().parse().unwrap();
    let blob = Digest::of(&image.layers[0].1);
    for rotten in [false, true] {
        let store = place.store();
        store.layers().remove(&diff_id).unwrap();
        let path = place.layout().blob(&blob);
        if rotten {
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, noise(9, image.layers[0].1.len())).unwrap();
        }
        server.forget();
        let report = place.pull(&name).unwrap();
        assert_eq!(report.status, Status::Downloaded);
        assert_eq!(place.read(&report, 0, "file").len(), 100_000);
        assert_eq!(server.count(&image.layer_path(0)), usize::from(rotten));
        assert_eq!(std::fs::read(&path).unwrap(), image.layers[0].1);
    }
}

#[test]
fn rotten_documents_are_replaced() {
    let image = Image::simple(1000);
    let server = serving(&image);
    let name = format!("{}/app", server.name());
    let place = Place::new();
    let report = place.pull(&name).unwrap();
    let path = place.layout().blob(&report.image);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "rotten").unwrap();
    place.pull(&name).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), image.config_bytes());
}
