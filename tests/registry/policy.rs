//! When the registry is asked at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::faulty::{Answer, Faulty};
use crate::support::{Image, Place};
use coracle::container::request::PullPolicy;
use coracle::image::fetch::Status;

#[test]
fn missing_asks_once_and_never_asks_nobody() {
    let image = Image::simple(1000);
    let server = Faulty::start(move |asked| image.answer(asked));
    let name = format!("{}/app", server.name());
    let mut place = Place::new();
    place.policy = PullPolicy::Never;
    assert!(place.refused(&name, "E_NOTFOUND").contains("not to be pulled"));
    assert!(server.asked().is_empty());
    place.policy = PullPolicy::Missing;
    assert_eq!(place.pull(&name).unwrap().status, Status::Downloaded);
    server.forget();
    for policy in [PullPolicy::Missing, PullPolicy::Never] {
        place.policy = policy;
        assert_eq!(place.pull(&name).unwrap().status, Status::AlreadyPresent);
    }
    assert!(server.asked().is_empty());
    place.platform = Some("linux/s390x".into());
    place.policy = PullPolicy::Never;
    assert!(place.pull(&name).unwrap_err().to_string().contains("not for linux/s390x"));
    place.policy = PullPolicy::Missing;
    assert_eq!(place.pull(&name).unwrap_err().code(), "E_NOTFOUND", "there is none for this platform");
}

#[test]
fn newer_compares_digests_and_settles_for_what_is_there() {
    let (old, new) = (Image::simple(1000), Image::simple(2000));
    let (moved, down) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (is_moved, is_down) = (Arc::clone(&moved), Arc::clone(&down));
    let (first, second) = (old.clone(), new.clone());
    let server = Faulty::start(move |asked| match is_moved.load(Ordering::Relaxed) {
        _ if is_down.load(Ordering::Relaxed) => Answer::new(503, ""),
        false => first.answer(asked),
        true => second.answer(asked),
    });
    let name = format!("{}/app", server.name());
    let mut place = Place::new();
    place.policy = PullPolicy::Newer;
    down.store(true, Ordering::Relaxed);
    place.refused(&name, "E_REGISTRY");
    down.store(false, Ordering::Relaxed);
    assert_eq!(place.pull(&name).unwrap().status, Status::Downloaded);

    server.forget();
    assert_eq!(place.pull(&name).unwrap().status, Status::AlreadyPresent);
    let methods: Vec<_> = server.asked().into_iter().filter(|a| a.path != "/v2/").map(|a| a.method).collect();
    assert_eq!(methods, ["HEAD"], "which costs nothing where pulls are counted");

    down.store(true, Ordering::Relaxed);
    let kept = place.pull(&name).unwrap();
    assert_eq!((kept.status, &kept.manifest_digest), (Status::AlreadyPresent, &old.manifest_digest()));
    assert!(place.messages().contains("keeping the image that is in the store"), "{}", place.messages());

    down.store(false, Ordering::Relaxed);
    moved.store(true, Ordering::Relaxed);
    let updated = place.pull(&name).unwrap();
    assert_eq!((updated.status, updated.manifest_digest), (Status::Downloaded, new.manifest_digest()));
}

#[test]
fn always_needs_the_registry() {
    let image = Image::simple(1000);
    let down = Arc::new(AtomicBool::new(false));
    let is_down = Arc::clone(&down);
    let server = Faulty::start(move |asked| match is_down.load(Ordering::Relaxed) {
        false => image.answer(asked),
        true => Answer::new(503, ""),
    });
    let name = format!("{}/app", server.name());
    let place = Place::new();
    place.pull(&name).unwrap();
    down.store(true, Ordering::Relaxed);
    assert_eq!(place.pull(&name).unwrap_err().code(), "E_REGISTRY");
}
