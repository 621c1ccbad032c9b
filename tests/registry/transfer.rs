//! Connections that break, lie about lengths, stall; statuses that pass and statuses that do not.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::faulty::{Answer, Fault, Faulty};
use crate::support::{Image, Place, blob_answer};
use coracle::image::fetch::Status;

const SIZE: usize = 600_000;

/// A registry that is good except for what `fault` does to the answers for the layer.
fn with_faulty_layer(
    image: &Image,
    fault: impl Fn(&crate::faulty::Asked, Answer) -> Answer + Send + Sync + 'static,
) -> Faulty {
    let (image, path) = (image.clone(), image.layer_path(0));
    Faulty::start(move |asked| match image.answer(asked) {
        answer if asked.path == path => fault(asked, answer),
        answer => answer,
    })
}

#[test]
fn a_good_registry_is_asked_for_everything_once() {
    let image = Image::simple(SIZE);
    let (layer, config) = (image.layer_path(0), image.config_path());
    let expected = image.clone();
    let server = Faulty::start(move |asked| image.answer(asked));
    let place = Place::new();
    let name = format!("{}/app", server.name());
    let report = place.pull(&name).unwrap();
    assert_eq!(report.status, Status::Downloaded);
    assert_eq!(report.manifest_digest, expected.manifest_digest());
    assert_eq!(place.read(&report, 0, "file"), crate::support::noise(SIZE as u64, SIZE));
    assert_eq!((server.count(&layer), server.count(&config), server.count("/manifests/")), (1, 1, 1));
    assert!(server.asked().iter().all(|asked| asked.header("user-agent").unwrap().starts_with("coracle/")));
    assert!(server.asked().iter().all(|asked| asked.header("authorization").is_none()));
    let accept: Vec<_> = server.asked().iter().filter(|asked| asked.path.contains("manifests")).cloned().collect();
    let types = accept[0].headers.iter().filter(|(name, _)| name == "accept").count();
    assert_eq!(types, 4);
    assert_eq!(place.files(&["blobs"]).len(), 3);

    server.forget();
    let again = place.pull(&name).unwrap();
    assert_eq!(again.status, Status::AlreadyPresent);
    assert_eq!(server.count(&layer), 0);
}

#[test]
fn a_transfer_that_breaks_every_64_kib_goes_on_where_it_broke() {
    let image = Image::simple(SIZE);
    let total = image.layers[0].1.len();
    let server = with_faulty_layer(&image, |_, answer| answer.fault(Fault::CutAfter(65_536)));
    let place = Place::new();
    let report = place.pull(&format!("{}/app", server.name())).unwrap();
    assert_eq!(place.read(&report, 0, "file").len(), SIZE);
    let starts: Vec<usize> =
        server.asked().iter().filter(|a| a.path == image.layer_path(0)).map(|a| a.range().unwrap_or(0)).collect();
    let expected: Vec<usize> = (0..total).step_by(65_536).collect();
    assert_eq!(starts, expected, "each byte is asked for once");
}

#[test]
fn a_server_that_knows_no_ranges_is_heard_from_the_start() {
    let image = Image::simple(SIZE);
    let blob = image.layers[0].1.clone();
    let server = with_faulty_layer(&image, move |asked, _| {
        let whole = Answer::new(200, blob.clone());
        if asked.earlier == 0 { whole.fault(Fault::CutAfter(300_000)) } else { whole }
    });
    let place = Place::new();
    let report = place.pull(&format!("{}/app", server.name())).unwrap();
    assert_eq!(place.read(&report, 0, "file").len(), SIZE);
    assert_eq!(server.count(&image.layer_path(0)), 2);
}

#[test]
fn a_blob_that_never_comes_to_its_end_is_given_up() {
    let image = Image::simple(SIZE);
    let blob = image.layers[0].1.clone();
    // The same bytes again and again: no progress.
    let server =
        with_faulty_layer(&image, move |_, _| Answer::new(200, blob.clone()).fault(Fault::CutAfter(blob.len() - 1)));
    let message = Place::new().refused(&format!("{}/app", server.name()), "E_SIZE_MISMATCH");
    assert!(message.contains("giving up after 5 tries"), "{message}");
    assert_eq!(server.count(&image.layer_path(0)), 5);
}

#[test]
fn wrong_lengths_are_refused() {
    let cases: [fn(Vec<u8>) -> Answer; 5] = [
        |blob| Answer::new(200, &blob[..blob.len() - 1]),
        |blob| Answer::new(200, [&blob[..], b"x"].concat()),
        |blob| Answer::new(200, [&blob[..], b"x"].concat()).fault(Fault::Chunked),
        |blob| Answer::new(200, blob.repeat(2)).fault(Fault::Chunked),
        |_| Answer::new(200, ""),
    ];
    for (number, answer) in cases.into_iter().enumerate() {
        let image = Image::simple(SIZE);
        let blob = image.layers[0].1.clone();
        let server = with_faulty_layer(&image, move |_, _| answer(blob.clone()));
        let message = Place::new().refused(&format!("{}/app", server.name()), "E_SIZE_MISMATCH");
        assert!(message.contains("bytes"), "case {number}: {message}");
    }
}

#[test]
fn a_short_blob_of_unannounced_length_is_asked_for_the_rest_and_refused() {
    let image = Image::simple(SIZE);
    let short = image.layers[0].1[..1000].to_vec();
    let server = with_faulty_layer(&image, move |asked, _| blob_answer(&short, asked).fault(Fault::Chunked));
    Place::new().refused(&format!("{}/app", server.name()), "E_SIZE_MISMATCH");
}

#[test]
fn one_flipped_bit_anywhere_is_a_wrong_digest() {
    let image = Image::simple(SIZE);
    let total = image.layers[0].1.len();
    for step in 0..12 {
        let offset = step * (total - 1) / 11;
        let server = with_faulty_layer(&image, move |_, mut answer| {
            answer.body[offset] ^= 1 << (step % 8);
            answer
        });
        let message = Place::new().refused(&format!("{}/app", server.name()), "E_DIGEST_MISMATCH");
        assert!(message.contains(image.layer_path(0).rsplit('/').next().unwrap()), "offset {offset}: {message}");
    }
}

#[test]
fn another_part_than_the_one_asked_for_is_refused() {
    let image = Image::simple(SIZE);
    let server = with_faulty_layer(&image, |asked, answer| match asked.range() {
        None => answer.fault(Fault::CutAfter(100_000)),
        Some(_) => answer.header("Content-Range", "bytes 7-8/9"),
    });
    Place::new().refused(&format!("{}/app", server.name()), "E_REGISTRY");
}

#[test]
fn statuses_that_pass_are_waited_for() {
    for status in [408, 429, 500, 502, 503, 504] {
        let image = Image::simple(1000);
        let good = image.clone();
        let server = Faulty::start(move |asked| match asked.path.as_str() {
            "/v2/" => Answer::new(200, "{}"),
            _ if asked.earlier < 2 => Answer::new(status, r#"{"errors":[{"code":"BUSY"}]}"#).header("Retry-After", "0"),
            _ => good.answer(asked),
        });
        let place = Place::new();
        place.pull(&format!("{}/app", server.name())).unwrap();
        assert_eq!(server.count(&image.layer_path(0)), 3);
        let messages = place.messages();
        assert!(messages.contains(&format!("answered {status}: BUSY; trying again")), "{messages}");
    }
}

#[test]
fn the_wait_that_the_registry_asks_for_is_kept() {
    let image = Image::simple(1000);
    let layer = image.layer_path(0);
    let server = Faulty::start(move |asked| match image.answer(asked) {
        _ if asked.path == layer && asked.earlier == 0 => Answer::new(429, "").header("Retry-After", "1"),
        answer => answer,
    });
    let started = Instant::now();
    Place::new().pull(&format!("{}/app", server.name())).unwrap();
    assert!(started.elapsed().as_millis() >= 1000);
}

#[test]
fn statuses_that_do_not_pass_end_the_pull() {
    // status, Retry-After, requests, code, what is said
    let cases = [
        (503, None, 5, "E_REGISTRY", "giving up after 5 tries"),
        (429, Some("3600"), 1, "E_REGISTRY", "429"),
        (404, None, 1, "E_NOTFOUND", "does not exist: CODE: words"),
        (403, None, 1, "E_AUTH", "anonymous users"),
        (401, None, 1, "E_AUTH", "anonymous users"),
        (418, None, 1, "E_REGISTRY", "418: CODE: words"),
        (501, None, 1, "E_REGISTRY", "501"),
    ];
    for (status, retry_after, requests, code, words) in cases {
        let server = Faulty::start(move |asked| {
            let answer = Answer::new(status, r#"{"errors":[{"code":"CODE","message":"words"}]}"#);
            match retry_after {
                _ if asked.path == "/v2/" => Answer::new(200, ""),
                Some(seconds) => answer.header("Retry-After", seconds),
                None => answer,
            }
        });
        let message = Place::new().refused(&format!("{}/app", server.name()), code);
        assert!(message.contains(words), "{status}: {message}");
        assert_eq!(server.count("/manifests/"), requests, "{status}");
    }
}

#[test]
fn a_stalled_transfer_is_resumed() {
    let image = Image::simple(SIZE);
    let server = with_faulty_layer(&image, |asked, answer| match asked.earlier {
        0 => answer.fault(Fault::StallAfter(200_000)),
        _ => answer,
    });
    let place = Place::new();
    let report = place.pull(&format!("{}/app", server.name())).unwrap();
    assert_eq!(place.read(&report, 0, "file").len(), SIZE);
    assert!(place.messages().contains("sent nothing for 1.5 seconds"), "{}", place.messages());
}

#[test]
fn silence_ends_the_pull() {
    let server = Faulty::start(|_| Answer::new(200, "x".repeat(100)).fault(Fault::StallAfter(0)));
    let mut place = Place::new();
    place.access.retry.stall = std::time::Duration::from_millis(100);
    place.access.retry.tries = 3;
    let message = place.refused(&format!("{}/app", server.name()), "E_TIMEOUT");
    assert!(message.contains("giving up after 3 tries"), "{message}");
}

#[test]
fn connections_that_are_closed_at_once_are_tried_again() {
    let image = Image::simple(1000);
    let server = Faulty::start(move |asked| match image.answer(asked) {
        answer if asked.earlier < 3 => answer.fault(Fault::HangUp),
        answer => answer,
    });
    Place::new().pull(&format!("{}/app", server.name())).unwrap();
}

#[test]
fn a_registry_that_is_not_there_is_named() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let message = Place::new().refused(&format!("127.0.0.1:{port}/app"), "E_REGISTRY");
    assert!(message.contains("Connection refused") && message.contains(&port.to_string()), "{message}");
}

#[test]
fn pulls_at_the_same_time_download_once() {
    let image = Image::simple(SIZE);
    let layer = image.layer_path(0);
    let server = with_faulty_layer(&image, |_, answer| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        answer
    });
    let place = Place::new();
    let name = format!("{}/app", server.name());
    let downloaded = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let report = place.pull(&name).unwrap();
                downloaded.fetch_add(usize::from(report.status == Status::Downloaded), Ordering::Relaxed);
            });
        }
    });
    assert_eq!(downloaded.into_inner(), 1);
    assert_eq!(server.count(&layer), 1);
    assert_eq!(place.unfinished(), Vec::<std::path::PathBuf>::new());
}
