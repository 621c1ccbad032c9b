//! Pushes to a registry that breaks at every stage, lies, redirects and refuses.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::faulty::{Answer, Asked, BodyRead, Fault, Faulty};
use crate::shelf::Shelf;
use crate::support::{Image, Place, TAR, TAR_GZIP, gzip, noise, tar};
use coracle::image::push::Members;
use coracle::image::reform::{Change, Encoding, Extent, Recompression};
use coracle::oci::digest::Digest;
use coracle::oci::media_type;
use coracle::registry::Credential;

/// Larger than what goes with the request that ends an upload.
const SIZE: usize = 3_000_000;

/// A place with `image` in its store, and the image's name there.
fn place_with(image: &Image) -> (Place, String) {
    let image = image.clone();
    let server = Faulty::start(move |asked| image.answer(asked));
    let place = Place::new();
    let name = format!("{}/app:latest", server.name());
    place.pull(&name).unwrap();
    (place, name)
}

/// A registry that is good except for what `fault` makes of its answers.
fn shelf_with(fault: impl Fn(&Asked, Answer) -> Answer + Send + Sync + 'static) -> (Shelf, Faulty) {
    let shelf = Shelf::default();
    let inner = shelf.clone();
    let server = Faulty::start(move |asked| fault(asked, inner.answer(asked)));
    (shelf, server)
}

/// A registry that is good except for the requests that `refusal` answers in its place.
fn shelf_refusing(refusal: impl Fn(&Asked) -> Option<Answer> + Send + Sync + 'static) -> (Shelf, Faulty) {
    let shelf = Shelf::default();
    let inner = shelf.clone();
    let server = Faulty::start(move |asked| refusal(asked).unwrap_or_else(|| inner.answer(asked)));
    (shelf, server)
}

fn is_upload(asked: &Asked, method: &str) -> bool {
    asked.method == method && asked.path.contains("/blobs/uploads/")
}

/// The repository `app` has the whole image, bit for bit.
#[track_caller]
fn assert_complete(shelf: &Shelf, image: &Image) {
    for (_, blob) in &image.layers {
        assert!(shelf.blob("app", &Digest::of(blob)).as_deref() == Some(blob), "a layer");
    }
    assert_eq!(shelf.blob("app", &Digest::of(&image.config_bytes())), Some(image.config_bytes()));
    assert_eq!(shelf.document("app", "1"), Some(image.manifest_bytes()));
}

#[test]
fn what_was_pulled_arrives_bit_for_bit_and_once() {
    let image = Image::simple(SIZE);
    let (place, name) = place_with(&image);
    let (shelf, server) = shelf_with(|_, answer| answer);
    let destination = format!("{}/app:1", server.name());
    let report = place.push(&name, &destination).unwrap();
    assert_eq!(report.digest, image.manifest_digest());
    assert_complete(&shelf, &image);
    let of = |method: &str| server.asked().iter().filter(|asked| is_upload(asked, method)).count();
    assert_eq!((of("POST"), of("PATCH"), of("PUT"), of("GET")), (2, 1, 2, 0), "the configuration goes with its PUT");
    let kinds: Vec<_> =
        server.asked().iter().filter_map(|asked| asked.header("content-type").map(str::to_owned)).collect();
    assert!(kinds.contains(&media_type::OCI_MANIFEST.to_owned()), "{kinds:?}");
    assert!(
        place.told.layers.lock().unwrap().iter().any(|(position, event)| (*position, event.as_str()) == (0, "done"))
    );

    server.forget();
    place.push(&name, &destination).unwrap();
    assert_eq!((of("POST"), of("PATCH"), of("PUT")), (0, 0, 0), "nothing is sent twice");
}

#[test]
fn an_upload_that_breaks_goes_on_where_it_broke() {
    let image = Image::simple(SIZE);
    let (place, name) = place_with(&image);
    let shelf = Shelf::default();
    let inner = shelf.clone();
    let reading = |asked: &Asked| if is_upload(asked, "PATCH") { BodyRead::Until(700_000) } else { BodyRead::Whole };
    let server = Faulty::start_reading(reading, move |asked| inner.answer(asked));
    place.push(&name, &format!("{}/app:1", server.name())).unwrap();
    assert_complete(&shelf, &image);
    let starts: Vec<String> = server
        .asked()
        .iter()
        .filter(|asked| asked.method == "PATCH")
        .map(|asked| asked.header("content-range").unwrap().split('-').next().unwrap().to_owned())
        .collect();
    assert_eq!(starts, ["0", "700000", "1400000", "2100000", "2800000"], "each byte is sent once");
}

#[test]
fn an_upload_that_the_registry_forgot_begins_again() {
    let image = Image::simple(SIZE);
    let (place, name) = place_with(&image);
    let shelf = Shelf::default();
    let (inner, lost) = (shelf.clone(), AtomicUsize::new(0));
    let server = Faulty::start(move |asked| {
        if asked.method == "PATCH" && lost.fetch_add(1, Ordering::SeqCst) == 0 {
            inner.lose_uploads();
        }
        inner.answer(asked)
    });
    place.push(&name, &format!("{}/app:1", server.name())).unwrap();
    assert_complete(&shelf, &image);
    assert_eq!(server.asked().iter().filter(|asked| asked.method == "PATCH").count(), 2);
}

#[test]
fn every_stage_may_fail_for_a_while() {
    for (method, part) in [
        ("HEAD", "/blobs/"),
        ("POST", "/uploads/"),
        ("PATCH", "/uploads/"),
        ("PUT", "/uploads/"),
        ("PUT", "/manifests/"),
    ] {
        for status in [429, 500, 502, 503, 504, 0] {
            let image = Image::simple(SIZE);
            let (place, name) = place_with(&image);
            let (seen, before) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let shelf = Shelf::default();
            let inner = shelf.clone();
            let server = Faulty::start(move |asked| {
                if asked.method == method && asked.path.contains(part) && seen.fetch_add(1, Ordering::SeqCst) < 2 {
                    before.fetch_add(1, Ordering::SeqCst);
                    let refusal = Answer::new(status.max(500), "").header("Retry-After", "0");
                    return if status == 0 { refusal.fault(Fault::HangUp) } else { Answer { status, ..refusal } };
                }
                inner.answer(asked)
            });
            let outcome = place.push(&name, &format!("{}/app:1", server.name()));
            outcome.unwrap_or_else(|failure| panic!("{method} {part} {status}: {failure}"));
            assert_complete(&shelf, &image);
        }
    }
}

#[test]
fn a_registry_that_never_works_is_given_up() {
    let image = Image::simple(SIZE);
    for method in ["HEAD", "POST", "PATCH", "PUT"] {
        let (place, name) = place_with(&image);
        let (shelf, server) = shelf_refusing(move |asked| (asked.method == method).then(|| Answer::new(503, "")));
        let failure = place.push(&name, &format!("{}/app:1", server.name())).unwrap_err();
        assert_eq!(failure.code(), "E_REGISTRY", "{method}: {failure}");
        assert!(failure.to_string().contains("giving up after 5 tries"), "{method}: {failure}");
        assert_eq!(shelf.document("app", "1"), None, "{method}");
    }
}

#[test]
fn a_lost_answer_to_the_last_request_is_found_out() {
    let image = Image::simple(SIZE);
    let (place, name) = place_with(&image);
    let (shelf, server) =
        shelf_with(
            |asked, answer| {
                if is_upload(asked, "PUT") && answer.status == 201 { answer.fault(Fault::HangUp) } else { answer }
            },
        );
    place.push(&name, &format!("{}/app:1", server.name())).unwrap();
    assert_complete(&shelf, &image);
    assert_eq!(server.asked().iter().filter(|asked| asked.method == "PATCH").count(), 1, "nothing is sent twice");
}

#[test]
fn a_token_that_ends_on_the_way_is_renewed() {
    let image = Image::simple(SIZE);
    let (mut place, name) = place_with(&image);
    place.access.credential = Some(Credential::password("user", "hunter2"));
    let shelf = Shelf::default();
    let (inner, patches) = (shelf.clone(), AtomicUsize::new(0));
    let address: Arc<std::sync::OnceLock<String>> = Arc::default();
    let realm = Arc::clone(&address);
    let server = Faulty::start(move |asked| {
        let challenge = || {
            let header = format!(r#"Bearer realm="{}/token",service="s""#, realm.get().unwrap());
            Answer::new(401, "").header("WWW-Authenticate", header)
        };
        match asked.header("authorization") {
            _ if asked.path == "/v2/" => Answer::new(200, "{}"),
            _ if asked.path.starts_with("/token") => Answer::new(200, format!(r#"{{"token":"t{}"}}"#, asked.earlier)),
            Some("Bearer t0") if asked.method == "PATCH" => {
                patches.fetch_add(1, Ordering::SeqCst);
                challenge()
            }
            Some(header) if header.starts_with("Bearer t") => inner.answer(asked),
            _ => challenge(),
        }
    });
    address.set(server.url()).unwrap();
    place.push(&name, &format!("{}/app:1", server.name())).unwrap();
    assert_complete(&shelf, &image);
    let tokens: Vec<Asked> = server.asked().into_iter().filter(|asked| asked.path.starts_with("/token")).collect();
    assert_eq!(tokens.len(), 2);
    assert!(tokens[0].path.contains("scope=repository%3Aapp%3Apull%2Cpush"), "{}", tokens[0].path);
}

#[test]
fn what_is_too_large_for_a_proxy_is_sent_in_parts() {
    let image = Image::simple(SIZE);
    for (limit, is_enough) in [(800_000, true), (100_000, false)] {
        let (place, name) = place_with(&image);
        let (shelf, server) =
            shelf_refusing(move |asked| (asked.body.len() > limit).then(|| Answer::new(413, "too large")));
        let outcome = place.push(&name, &format!("{}/app:1", server.name()));
        if is_enough {
            outcome.unwrap();
            assert_complete(&shelf, &image);
        } else {
            let failure = outcome.unwrap_err();
            assert!(failure.to_string().contains("413") && failure.hint().unwrap().contains("limit"), "{failure}");
            assert_eq!(shelf.document("app", "1"), None);
        }
    }
}

#[test]
fn parts_have_the_length_that_the_registry_wants() {
    let image = Image::simple(SIZE);
    let (place, name) = place_with(&image);
    let shelf = Shelf::default();
    let inner = shelf.clone();
    let server = Faulty::start(move |asked| {
        if asked.body.len() > 2_000_000 {
            return Answer::new(413, "");
        }
        let answer = inner.answer(asked);
        if asked.method == "POST" { answer.header("OCI-Chunk-Min-Length", "1500000") } else { answer }
    });
    place.push(&name, &format!("{}/app:1", server.name())).unwrap();
    assert_complete(&shelf, &image);
    let lengths: Vec<usize> =
        server.asked().iter().filter(|asked| asked.method == "PATCH").map(|asked| asked.body.len()).collect();
    assert_eq!(lengths[1..lengths.len() - 1], [1_500_000, 1_500_000], "{lengths:?}");
}

#[test]
fn an_acknowledgement_of_something_else_is_a_failure() {
    let image = Image::simple(SIZE);
    for part in ["/uploads/", "/manifests/"] {
        let (place, name) = place_with(&image);
        let (_, server) = shelf_with(move |asked, answer| {
            let other = Digest::of(b"something else").to_string();
            if asked.method == "PUT" && asked.path.contains(part) {
                answer.header("Docker-Content-Digest", other)
            } else {
                answer
            }
        });
        let failure = place.push(&name, &format!("{}/app:1", server.name())).unwrap_err();
        assert_eq!(failure.code(), "E_DIGEST_MISMATCH", "{part}: {failure}");
    }
}

#[test]
fn credentials_do_not_follow_an_upload_elsewhere() {
    const BASIC: &str = "Basic dXNlcjpodW50ZXIy";
    let image = Image::simple(SIZE);
    for by_redirect in [false, true] {
        let (mut place, name) = place_with(&image);
        place.access.credential = Some(Credential::password("user", "hunter2"));
        let shelf = Shelf::default();
        let inner = shelf.clone();
        let store = Faulty::start_on("127.0.0.2", None, move |asked| inner.answer(asked));
        let (inner, elsewhere) = (shelf.clone(), store.url());
        let server = Faulty::start(move |asked| match asked.header("authorization") {
            _ if asked.path == "/v2/" => Answer::new(200, "{}"),
            Some(BASIC) if by_redirect && is_upload(asked, "PATCH") => {
                Answer::redirect(format!("{elsewhere}{}", asked.path))
            }
            Some(BASIC) if !by_redirect && asked.method == "POST" => {
                let answer = inner.answer(asked);
                let location = answer.headers.iter().find(|(key, _)| key == "Location").unwrap().1.clone();
                answer.header("Location", format!("{}{location}", elsewhere.replace("//", "//me:secret@")))
            }
            Some(BASIC) => inner.answer(asked),
            _ => Answer::new(401, "").header("WWW-Authenticate", "Basic"),
        });
        place.push(&name, &format!("{}/app:1", server.name())).unwrap();
        assert_complete(&shelf, &image);
        let there = store.asked();
        assert!(there.iter().any(|asked| asked.method == "PATCH"), "{by_redirect}");
        assert!(there.iter().all(|asked| asked.header("authorization").is_none()), "{by_redirect}");
    }
}

#[test]
fn uploads_are_led_neither_in_circles_nor_to_services_of_the_link() {
    let image = Image::simple(SIZE);
    type Script = fn(&Asked, Answer) -> Answer;
    let cases: [(Script, &str); 5] = [
        (
            |asked, answer| if is_upload(asked, "PATCH") { Answer::redirect(asked.path.clone()) } else { answer },
            "E_REDIRECT",
        ),
        (
            |asked, answer| if asked.method == "POST" { Answer::redirect(asked.path.clone()) } else { answer },
            "E_REDIRECT",
        ),
        (
            |asked, answer| match asked.method.as_str() {
                "POST" => answer.header("Location", "http://169.254.169.254/latest"),
                _ => answer,
            },
            "E_REDIRECT",
        ),
        (
            |asked, answer| if asked.method == "POST" { answer.header("Location", "file:///etc/x") } else { answer },
            "E_REDIRECT",
        ),
        (
            |asked, answer| match asked.method.as_str() {
                // Everybody makes a GET of this one.
                "PATCH" => Answer { status: 303, ..Answer::redirect(asked.path.clone()) },
                _ => answer,
            },
            "E_REGISTRY",
        ),
    ];
    for (number, (script, code)) in cases.into_iter().enumerate() {
        let (place, name) = place_with(&image);
        let (shelf, server) = shelf_with(script);
        let failure = place.push(&name, &format!("{}/app:1", server.name())).unwrap_err();
        assert_eq!(failure.code(), code, "case {number}: {failure}");
        assert_eq!(shelf.document("app", "1"), None, "case {number}");
        assert!(server.asked().len() < 40, "case {number}");
    }
}

#[test]
fn refusals_say_what_to_do() {
    let image = Image::simple(100_000);
    let cases: [(&str, u16, &str, &str, &str); 5] = [
        ("POST", 403, "E_AUTH", "does not let anonymous users push to app", "coracle login"),
        ("POST", 405, "E_AUTH", "takes no uploads", "another"),
        ("PUT /manifests", 412, "E_REGISTRY", "412", "another tag"),
        ("PUT /manifests", 400, "E_REGISTRY", "the tag is immutable", ""),
        ("POST", 404, "E_NOTFOUND", "does not exist", "name"),
    ];
    for (stage, status, code, words, hint) in cases {
        let (place, name) = place_with(&image);
        let (method, part) = stage.split_once(' ').unwrap_or((stage, "/"));
        let (shelf, server) = shelf_refusing(move |asked| {
            let refusal = r#"{"errors":[{"code":"DENIED","message":"the tag is immutable"}]}"#;
            (asked.method == method && asked.path.contains(part)).then(|| Answer::new(status, refusal))
        });
        let failure = place.push(&name, &format!("{}/app:1", server.name())).unwrap_err();
        assert_eq!(failure.code(), code, "{stage} {status}: {failure}");
        assert!(failure.to_string().contains(words), "{stage} {status}: {failure}");
        assert!(failure.hint().unwrap_or_default().contains(hint), "{stage} {status}: {:?}", failure.hint());
        assert_eq!(shelf.document("app", "1"), None);
    }
}

#[test]
fn a_server_that_stops_reading_is_left() {
    let image = Image::simple(20_000_000);
    let (place, name) = place_with(&image);
    let shelf = Shelf::default();
    let (inner, stalls) = (shelf.clone(), AtomicUsize::new(0));
    let reading = move |asked: &Asked| match asked.method.as_str() {
        "PATCH" if asked.broken_off || stalls.fetch_add(1, Ordering::SeqCst) == 0 => BodyRead::StallAfter(1_000_000),
        _ => BodyRead::Whole,
    };
    let server = Faulty::start_reading(reading, move |asked| inner.answer(asked));
    place.push(&name, &format!("{}/app:1", server.name())).unwrap();
    assert_complete(&shelf, &image);
    let parts: Vec<_> = server.asked().into_iter().filter(|asked| asked.method == "PATCH").collect();
    assert!(parts.len() == 2 && parts[1].header("content-range").unwrap().starts_with("1000000-"), "{}", parts.len());
}

#[test]
fn a_mount_saves_the_upload() {
    let image = Image::simple(SIZE);
    let shelf = Shelf::default();
    let inner = shelf.clone();
    let server = Faulty::start(move |asked| inner.answer(asked));
    let (place, name) = place_with(&image);
    place.push(&name, &format!("{}/first:1", server.name())).unwrap();
    let first = format!("{}/first:1", server.name());
    place.pull(&first).unwrap();
    server.forget();
    place.push(&first, &format!("{}/app:1", server.name())).unwrap();
    assert_complete(&shelf, &image);
    assert_eq!(server.asked().iter().filter(|asked| asked.method == "PATCH" || is_upload(asked, "PUT")).count(), 0);
    assert!(
        server.asked().iter().any(|asked| asked.path.contains("mount=sha256%3A") && asked.path.contains("from=first"))
    );
}

#[test]
fn a_mount_that_is_refused_becomes_the_upload() {
    let image = Image::simple(SIZE);
    let shelf = Shelf::default();
    let (inner, wanted) = (shelf.clone(), AtomicUsize::new(0));
    let server = Faulty::start(move |asked| {
        let without_mount = Asked { path: asked.path.split('?').next().unwrap().to_owned(), ..asked.clone() };
        match asked.method.as_str() {
            "POST" if asked.path.contains("mount=") && wanted.fetch_add(1, Ordering::SeqCst) == 0 => {
                Answer::new(403, "")
            }
            "POST" => inner.answer(&without_mount),
            _ => inner.answer(asked),
        }
    });
    let (place, name) = place_with(&image);
    let first = format!("{}/first:1", server.name());
    place.push(&name, &first).unwrap();
    place.pull(&first).unwrap();
    server.forget();
    place.push(&first, &format!("{}/app:1", server.name())).unwrap();
    assert_complete(&shelf, &image);
    // One mount was refused outright, and its blob needed a session; the other's answer was the session.
    assert_eq!(server.asked().iter().filter(|asked| asked.method == "POST").count(), 3);
}

#[test]
fn a_blob_that_is_damaged_or_gone_is_not_pushed() {
    let image = Image::simple(SIZE);
    for (damage, code) in [(true, "E_STORE_CORRUPT"), (false, "E_NOTFOUND")] {
        let (place, name) = place_with(&image);
        let hex = Digest::of(&image.layers[0].1).hex().to_owned();
        let blob = place.files(&["blobs"]).into_iter().find(|path| path.ends_with(&hex)).unwrap();
        if damage {
            let mut bytes = fs::read(&blob).unwrap();
            bytes[SIZE / 2] ^= 1;
            fs::set_permissions(&blob, fs::Permissions::from_mode(0o600)).unwrap();
            fs::write(&blob, bytes).unwrap();
        } else {
            fs::remove_file(&blob).unwrap();
        }
        let (shelf, server) = shelf_with(|_, answer| answer);
        let failure = place.push(&name, &format!("{}/app:1", server.name())).unwrap_err();
        assert_eq!(failure.code(), code, "{failure}");
        assert!(failure.hint().unwrap().contains("pull the image again"), "{:?}", failure.hint());
        assert_eq!((shelf.document("app", "1"), shelf.blob("app", &Digest::of(&image.layers[0].1))), (None, None));
        let cancelled = server.asked().iter().filter(|asked| asked.method == "DELETE").count();
        assert_eq!(cancelled, usize::from(damage), "an upload that begun is ended");
    }
}

#[test]
fn a_digest_is_no_destination() {
    let (place, name) = place_with(&Image::simple(1000));
    let digest = Digest::of(b"x");
    let failure = place.push(&name, &format!("127.0.0.1:1/app@{digest}")).unwrap_err();
    assert_eq!(failure.code(), "E_CONFIG");
}

#[test]
fn layers_are_compressed_anew_only_if_asked_and_always_alike() {
    let files = tar(&[("file", &noise(7, 400_000)), ("text", &b"words ".repeat(50_000))]);
    let plain = tar(&[("other", &noise(8, 90_000))]);
    let image = Image::new(&[(TAR_GZIP, gzip(&files), files.clone()), (TAR, plain.clone(), plain)]);
    let (place, name) = place_with(&image);
    let (shelf, server) = shelf_with(|_, answer| answer);
    let push = |tag: &str, encoding: Encoding, extent: Extent| {
        let change = Change { recompression: Some(Recompression { encoding, extent }), format: None };
        let destination = format!("{}/app:{tag}", server.name());
        place.push_as(&name, &destination, Members::Own, change).unwrap().digest
    };
    let zstd = push("zstd", Encoding::Zstd(3), Extent::Others);
    assert_eq!(zstd, push("again", Encoding::Zstd(3), Extent::Others));
    assert_ne!(zstd, push("better", Encoding::Zstd(19), Extent::All));
    let kept = image.layers[0].1.clone();
    push("gzip", Encoding::Gzip(6), Extent::Others);
    assert!(shelf.blob("app", &Digest::of(&kept)).is_some(), "what has the wanted compression stays as it is");
    push("all", Encoding::Gzip(9), Extent::All);

    let original = place.store().images().resolve(&name.parse().unwrap()).unwrap().unwrap().record;
    for (tag, kind) in [("zstd", "+zstd"), ("better", "+zstd"), ("gzip", "+gzip"), ("all", "+gzip")] {
        let there = Place::new();
        let report = there.pull(&format!("{}/app:{tag}", server.name())).unwrap();
        let record = there.store().images().get(&report.image).unwrap().unwrap();
        assert_eq!(record.id, original.id, "{tag}: the configuration is the same");
        assert!(record.layers.iter().all(|layer| layer.descriptor.media_type.ends_with(kind)), "{tag}");
        assert_eq!(there.read(&report, 0, "file"), noise(7, 400_000), "{tag}");
    }
    assert_eq!(place.files(&["blobs"]).len(), 4, "nothing of it stays in the store");
}

#[test]
fn annotations_of_a_layer_go_with_the_bytes_that_they_describe() {
    let files = tar(&[("file", &noise(7, 400_000)), ("zeroes", &[0; 50_000]), ("small", b"x")]);
    let image = Image::new(&[(TAR_GZIP, gzip(&files), files)]);
    let (place, name) = place_with(&image);
    let (shelf, server) = shelf_with(|_, answer| answer);
    let push = |place: &Place, image: &str, tag: &str, encoding: Encoding| {
        let change = Change { recompression: Some(Recompression { encoding, extent: Extent::Others }), format: None };
        let digest =
            place.push_as(image, &format!("{}/app:{tag}", server.name()), Members::Own, change).unwrap().digest;
        let manifest: Value = serde_json::from_slice(&shelf.document("app", tag).unwrap()).unwrap();
        (digest, manifest["layers"][0].clone())
    };
    let (chunked, layer) = push(&place, &name, "chunked", Encoding::ZstdChunked(3));
    assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar+zstd");
    let annotation = |key: &str| layer["annotations"][format!("io.github.containers.zstd-chunked.{key}")].as_str();
    let position = annotation("manifest-position").unwrap();
    let numbers: Vec<usize> = position.split(':').map(|number| number.parse().unwrap()).collect();
    let blob = shelf.blob("app", &layer["digest"].as_str().unwrap().parse().unwrap()).unwrap();
    let table = &blob[numbers[0]..numbers[0] + numbers[1]];
    assert_eq!(annotation("manifest-checksum").unwrap(), Digest::of(table).to_string());

    let there = Place::new();
    let its_name = format!("{}/app:chunked", server.name());
    let report = there.pull(&its_name).unwrap();
    assert_eq!(there.read(&report, 0, "file"), noise(7, 400_000));
    // Such a layer is zstd, too, and keeps its table; gzip has none.
    assert_eq!(push(&there, &its_name, "again", Encoding::ZstdChunked(9)).0, chunked);
    assert_eq!(push(&there, &its_name, "zstd", Encoding::Zstd(9)).0, chunked);
    assert_eq!(push(&there, &its_name, "gzip", Encoding::Gzip(6)).1["annotations"], Value::Null);
    // Zstd without a table gets one.
    let plain = format!("{}/app:plain", server.name());
    push(&place, &name, "plain", Encoding::Zstd(3));
    there.pull(&plain).unwrap();
    assert_eq!(push(&there, &plain, "table", Encoding::ZstdChunked(3)).0, chunked);
}

#[test]
fn a_push_that_was_killed_is_taken_up_by_the_next() {
    let first = tar(&[("first", &noise(1, 2_000_000))]);
    let second = tar(&[("second", &noise(2, 2_000_000))]);
    let image = Image::new(&[(TAR_GZIP, gzip(&first), first), (TAR_GZIP, gzip(&second), second)]);
    let (place, name) = place_with(&image);
    let shelf = Shelf::default();
    let broken = Arc::new(AtomicUsize::new(1));
    let (inner, still) = (shelf.clone(), Arc::clone(&broken));
    let last = Digest::of(&image.layers[1].1).to_string().replace(':', "%3A");
    let server = Faulty::start(move |asked| {
        if is_upload(asked, "PUT") && asked.path.contains(&last) && still.load(Ordering::SeqCst) == 1 {
            return Answer::new(201, "never").fault(Fault::HangUp);
        }
        inner.answer(asked)
    });
    let destination = format!("{}/app:1", server.name());
    let mut child = Command::new(env!("CARGO_BIN_EXE_coracle"))
        .args([
            "--root",
            place.layout().data().to_str().unwrap(),
            "--runroot",
            place.layout().runtime().to_str().unwrap(),
        ])
        .args(["push", "-q", "--retry", "1000", "--retry-delay", "10ms", &name, &destination])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (one, config) = (Digest::of(&image.layers[0].1), Digest::of(&image.config_bytes()));
    while shelf.blob("app", &one).is_none() || shelf.blob("app", &config).is_none() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(shelf.document("app", "1"), None);
    broken.store(0, Ordering::SeqCst);
    server.forget();
    place.push(&name, &destination).unwrap();
    assert_complete(&shelf, &image);
    let posts = server.asked().iter().filter(|asked| asked.method == "POST").count();
    assert_eq!(posts, 1, "only what was not there yet is sent");
}
