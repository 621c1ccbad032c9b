//! What an interrupted pull has fetched: kept, continued, shared, and not believed.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::faulty::{Answer, Asked, Fault, Faulty};
use crate::support::{Image, Place, blob_answer};
use coracle::image::fetch::Status;

const SIZE: usize = 600_000;
const FIRST_PART: usize = 200_000;

/// A registry whose layer does not come to its end before it `is_well`.
fn interrupted(image: &Image, fault: Fault, is_well: &Arc<AtomicBool>) -> Faulty {
    let (image, path, is_well) = (image.clone(), image.layer_path(0), Arc::clone(is_well));
    Faulty::start(move |asked| match image.answer(asked) {
        answer if asked.path != path || is_well.load(Ordering::SeqCst) => answer,
        // The first part, and never more.
        _ if asked.range().is_some() => Answer::default().fault(Fault::HangUp),
        answer => answer.fault(fault),
    })
}

/// Where the layer was asked for from, each time.
fn starts(server: &Faulty, image: &Image) -> Vec<usize> {
    let layer = |asked: &&Asked| asked.path == image.layer_path(0);
    server.asked().iter().filter(layer).map(|asked| asked.range().unwrap_or(0)).collect()
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// `coracle pull`, as a process of its own.
fn pulling(place: &Place, name: &str) -> Child {
    let layout = place.layout();
    let mut command = Command::new(env!("CARGO_BIN_EXE_coracle"));
    command.arg("--root").arg(layout.data()).arg("--runroot").arg(layout.runtime());
    command.args(["pull", name]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn length_of_part(place: &Place) -> u64 {
    place.files(&["partial"]).iter().map(|path| fs::metadata(path).map_or(0, |metadata| metadata.len())).sum()
}

#[test]
fn the_next_pull_goes_on_where_the_last_one_gave_up() {
    let (image, is_well) = (Image::simple(SIZE), Arc::new(AtomicBool::new(false)));
    let server = interrupted(&image, Fault::CutAfter(FIRST_PART), &is_well);
    let (place, name) = (Place::new(), format!("{}/app", server.name()));
    place.pull(&name).expect_err("the layer cannot be had");
    assert_eq!(length_of_part(&place), FIRST_PART as u64);
    is_well.store(true, Ordering::SeqCst);
    server.forget();
    let report = place.pull(&name).unwrap();
    assert_eq!(report.status, Status::Downloaded);
    assert_eq!(starts(&server, &image), [FIRST_PART]);
    assert_eq!(place.read(&report, 0, "file"), crate::support::noise(SIZE as u64, SIZE));
    assert_eq!(place.files(&["partial"]).len(), 0);
}

#[test]
fn a_killed_pull_is_continued() {
    let (image, is_well) = (Image::simple(SIZE), Arc::new(AtomicBool::new(false)));
    let server = interrupted(&image, Fault::StallAfter(FIRST_PART), &is_well);
    let (place, name) = (Place::new(), format!("{}/app", server.name()));
    let mut process = pulling(&place, &name);
    wait_until("the first part does not arrive", || length_of_part(&place) == FIRST_PART as u64);
    process.kill().unwrap();
    process.wait().unwrap();
    is_well.store(true, Ordering::SeqCst);
    server.forget();
    let report = place.pull(&name).unwrap();
    assert_eq!(starts(&server, &image), [FIRST_PART]);
    assert_eq!(place.read(&report, 0, "file").len(), SIZE);
}

#[test]
fn two_pulls_share_a_download_and_the_second_survives_the_first() {
    let (image, is_well) = (Image::simple(SIZE), Arc::new(AtomicBool::new(false)));
    let server = interrupted(&image, Fault::StallAfter(FIRST_PART), &is_well);
    let (place, name) = (Place::new(), format!("{}/app", server.name()));
    let mut first = pulling(&place, &name);
    wait_until("the first part does not arrive", || length_of_part(&place) == FIRST_PART as u64);
    is_well.store(true, Ordering::SeqCst);
    // By another reference, so that it is not the lock of the reference that it waits for.
    let by_digest = format!("{name}@{}", image.manifest_digest());
    std::thread::scope(|scope| {
        let second = scope.spawn(|| place.pull(&by_digest));
        wait_until("the second pull does not wait", || place.messages().contains("waiting: process"));
        assert_eq!(starts(&server, &image), [0], "only the first has asked");
        first.kill().unwrap();
        first.wait().unwrap();
        second.join().unwrap().unwrap();
    });
    assert_eq!(starts(&server, &image), [0, FIRST_PART]);
}

#[test]
fn a_part_that_is_not_of_the_blob_is_fetched_again() {
    type Part = fn(&[u8]) -> Vec<u8>;
    let parts: [Part; 4] = [
        |blob| blob[..1000].iter().map(|byte| !byte).collect(),
        |blob| vec![0; blob.len() - 1],
        |blob| vec![0; blob.len()],
        |blob| vec![0; blob.len() + 1],
    ];
    for (number, part) in parts.into_iter().enumerate() {
        let image = Image::simple(SIZE);
        let answers = image.clone();
        let server = Faulty::start(move |asked| answers.answer(asked));
        let place = Place::new();
        drop(place.store());
        let layout = place.layout();
        let digest = image.manifest["layers"][0]["digest"].as_str().unwrap().parse().unwrap();
        fs::create_dir(layout.partial_blobs()).unwrap();
        fs::write(layout.partial_blob(&digest), part(&image.layers[0].1)).unwrap();
        let report = place.pull(&format!("{}/app", server.name())).unwrap();
        assert_eq!(place.read(&report, 0, "file").len(), SIZE, "case {number}");
        let begins_with_a_part = number < 2;
        assert_eq!(starts(&server, &image).len(), 1 + usize::from(begins_with_a_part), "case {number}");
        assert_eq!(place.messages().contains("none of it"), begins_with_a_part, "case {number}");
        assert_eq!(place.files(&["partial"]).len(), 0);
    }
}

#[test]
fn a_wrong_blob_is_not_kept() {
    let image = Image::simple(SIZE);
    let (answers, path) = (image.clone(), image.layer_path(0));
    let server = Faulty::start(move |asked| match answers.answer(asked) {
        answer if asked.path != path => answer,
        _ => {
            let mut blob = answers.layers[0].1.clone();
            blob[SIZE / 2] ^= 1;
            blob_answer(&blob, asked)
        }
    });
    let place = Place::new();
    place.refused(&format!("{}/app", server.name()), "E_DIGEST_MISMATCH");
    assert_eq!(place.files(&["partial"]).len(), 0);
}

#[test]
fn parts_are_removed_when_they_are_old() {
    let place = Place::new();
    drop(place.store());
    let layout = place.layout();
    fs::create_dir(layout.partial_blobs()).unwrap();
    let part = |name: &[u8], age: u64| {
        let path = layout.partial_blob(&coracle::oci::digest::Digest::of(name));
        fs::write(&path, "part").unwrap();
        let time = std::time::SystemTime::now() - Duration::from_secs(age * 24 * 3600);
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        path
    };
    let (young, old) = (part(b"young", 6), part(b"old", 8));
    // Whatever writes tidies up.
    place.store().blobs().put(b"anything").unwrap();
    assert!(young.exists() && !old.exists());
}
