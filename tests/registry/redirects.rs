//! Redirections: followed where they are harmless, and never with a secret.

use serde_json::json;

use crate::faulty::{Answer, Faulty};
use crate::support::{Image, Place, blob_answer};
use coracle::registry::Credential;

const PASSWORD: &str = "hunter2";

/// A place whose user has a password for every registry.
fn known() -> Place {
    let mut place = Place::new();
    place.access.credential = Some(Credential::password("user", PASSWORD));
    place
}

/// A registry that wants a password for everything, and redirects the layer to `target`.
fn redirecting(image: &Image, target: impl Fn() -> String + Send + Sync + 'static) -> Faulty {
    let (image, layer) = (image.clone(), image.layer_path(0));
    Faulty::start(move |asked| match asked.header("authorization") {
        None => Answer::new(401, "").header("WWW-Authenticate", r#"Basic realm="r""#),
        Some(_) if asked.path == layer => Answer::redirect(target()),
        Some(_) => image.answer(asked),
    })
}

#[test]
fn no_secret_follows_a_redirection() {
    let image = Image::simple(100_000);
    for host in ["127.0.0.1", "127.0.0.2"] {
        let blob = image.layers[0].1.clone();
        let storage = Faulty::start_on(host, None, move |asked| match asked.earlier {
            0 => blob_answer(&blob, asked).fault(crate::faulty::Fault::CutAfter(50_000)),
            _ => blob_answer(&blob, asked),
        });
        let target = format!("{}/storage?signature=secret", storage.url());
        let server = redirecting(&image, move || target.clone());
        known().pull(&format!("{}/app", server.name())).unwrap();
        let asked = storage.asked();
        assert_eq!(asked.len(), 2, "the rest is asked for after the break");
        assert_eq!(asked[1].range(), Some(50_000));
        for request in asked {
            assert_eq!(request.header("authorization"), None);
            assert_eq!((request.header("cookie"), request.header("referer")), (None, None));
        }
    }
}

#[test]
fn a_redirection_within_the_registry_keeps_the_secret() {
    let image = Image::simple(1000);
    let (good, layer) = (image.clone(), image.layer_path(0));
    let server = Faulty::start(move |asked| match asked.header("authorization") {
        None => Answer::new(401, "").header("WWW-Authenticate", "Basic"),
        Some(_) if asked.path == layer => Answer::redirect("/moved"),
        Some(_) if asked.path == "/moved" => Answer::new(200, good.layers[0].1.clone()),
        Some(_) => good.answer(asked),
    });
    known().pull(&format!("{}/app", server.name())).unwrap();
    assert_eq!(server.count("/moved"), 1);
}

#[test]
fn a_stranger_who_asks_for_a_password_gets_none() {
    let image = Image::simple(1000);
    let stranger = Faulty::start_on("127.0.0.2", None, |_| {
        Answer::new(401, "").header("WWW-Authenticate", r#"Basic realm="your password, please""#)
    });
    let target = format!("{}/blob", stranger.url());
    let server = redirecting(&image, move || target.clone());
    known().refused(&format!("{}/app", server.name()), "E_REGISTRY");
    assert_eq!(stranger.asked().len(), 1);
    assert_eq!(stranger.asked()[0].header("authorization"), None);
}

#[test]
fn loops_and_long_chains_end() {
    let image = Image::simple(1000);
    let layer = image.layer_path(0);
    let server = redirecting(&image, move || layer.clone());
    let message = known().refused(&format!("{}/app", server.name()), "E_REDIRECT");
    assert!(message.contains("more than 5 times"), "{message}");

    for (hops, succeeds) in [(5, true), (6, false)] {
        let image = Image::simple(1000);
        let (good, layer) = (image.clone(), image.layer_path(0));
        let server = Faulty::start(move |asked| {
            let hop: Option<usize> = asked.path.strip_prefix("/hop/").map(|number| number.parse().unwrap());
            match hop {
                Some(last) if last == hops => Answer::new(200, good.layers[0].1.clone()),
                Some(hop) => Answer::redirect(format!("/hop/{}", hop + 1)),
                None if asked.path == layer => Answer::redirect("/hop/1"),
                None => good.answer(asked),
            }
        });
        let outcome = Place::new().pull(&format!("{}/app", server.name()));
        assert_eq!(outcome.is_ok(), succeeds, "{hops} hops: {outcome:?}");
    }
}

#[test]
fn a_redirection_leads_to_the_web_or_nowhere() {
    for target in ["file:///etc/passwd", "unix:/run/docker.sock", "ssh://127.0.0.1/", "http://", "data:,x"] {
        let image = Image::simple(1000);
        let server = redirecting(&image, move || target.into());
        known().refused(&format!("{}/app", server.name()), "E_REDIRECT");
    }
    let image = Image::simple(1000);
    let (good, layer) = (image.clone(), image.layer_path(0));
    let server = Faulty::start(move |asked| match asked.path == layer {
        true => Answer::new(307, ""),
        false => good.answer(asked),
    });
    Place::new().refused(&format!("{}/app", server.name()), "E_REDIRECT");
}

#[test]
fn a_redirected_blob_must_be_the_right_one() {
    let image = Image::simple(1000);
    let storage = Faulty::start(|_| Answer::new(200, "x".repeat(7)));
    let target = storage.url();
    let server = redirecting(&image, move || target.clone());
    known().refused(&format!("{}/app", server.name()), "E_SIZE_MISMATCH");
}

#[test]
fn addresses_are_shown_without_their_secrets() {
    let image = Image::simple(1000);
    let storage = Faulty::start(|_| Answer::new(500, json!({}).to_string()));
    let target = format!("http://user:{PASSWORD}@{}/blob?signature={PASSWORD}", storage.name());
    let server = redirecting(&image, move || target.clone());
    let place = known();
    let message = place.refused(&format!("{}/app", server.name()), "E_REGISTRY");
    assert!(message.contains("/blob answered 500"), "{message}");
    assert!(!format!("{message}{}", place.messages()).contains(PASSWORD));
    assert!(storage.asked().iter().all(|asked| asked.header("authorization").is_none()));
}
