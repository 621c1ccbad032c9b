//! Who we say we are, to whom, and to whom not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::faulty::{Answer, Asked, Fault, Faulty};
use crate::support::{Image, Place, TAR_GZIP, gzip, noise, tar};
use coracle::registry::{Credential, Secret};

const PASSWORD: &str = "hunter2";
/// `user:hunter2` as RFC 7617 has it.
const BASIC: &str = "Basic dXNlcjpodW50ZXIy";

fn known() -> Place {
    let mut place = Place::new();
    place.access.credential = Some(Credential::password("user", PASSWORD));
    place
}

/// A registry that lets in who `knows`, and sends everybody else to `challenge`.
fn guarded(
    image: &Image,
    challenge: impl Into<String>,
    knows: impl Fn(&Asked) -> bool + Send + Sync + 'static,
) -> Faulty {
    let (image, challenge) = (image.clone(), challenge.into());
    Faulty::start(move |asked| match asked.path.as_str() {
        "/v2/" => Answer::new(200, "{}"),
        _ if knows(asked) => image.answer(asked),
        _ => Answer::new(401, r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#).header("WWW-Authenticate", challenge.clone()),
    })
}

fn bearer(realm: &str) -> String {
    format!(r#"Bearer realm="{realm}",service="the service",scope="repository:app:pull,push""#)
}

#[test]
fn a_password_is_sent_when_it_is_asked_for() {
    let image = Image::simple(1000);
    let server = guarded(&image, r#"Basic realm="r""#, |asked| asked.header("authorization") == Some(BASIC));
    known().pull(&format!("{}/app", server.name())).unwrap();
    let refused = server.asked().iter().filter(|a| a.path != "/v2/" && a.header("authorization").is_none()).count();
    assert_eq!(refused, 1, "asked for once, then remembered");

    let message = Place::new().refused(&format!("{}/app", server.name()), "E_AUTH");
    assert!(message.contains("does not let anonymous users pull app"), "{message}");
}

#[test]
fn a_wrong_password_is_tried_once() {
    let image = Image::simple(1000);
    let server = guarded(&image, "Basic", |_| false);
    let place = known();
    let message = place.refused(&format!("{}/app", server.name()), "E_AUTH");
    assert!(message.contains("\"user\"") && !message.contains(PASSWORD), "{message}");
    assert_eq!(server.count("/manifests/"), 2);
}

#[test]
fn the_authentication_file_is_read_when_a_registry_asks() {
    let image = Image::simple(1000);
    let server = guarded(&image, "Basic", |asked| asked.header("authorization") == Some(BASIC));
    let place = Place::new();
    let auth = BASIC.strip_prefix("Basic ").unwrap();
    place.write_auth(&json!({"auths": {server.name(): {"auth": "d3Jvbmc6d3Jvbmc="}, format!("{}/app", server.name()): {"auth": auth}}}));
    place.pull(&format!("{}/app", server.name())).unwrap();
}

#[test]
fn a_broken_authentication_file_does_not_matter_to_public_images() {
    let image = Image::simple(1000);
    let good = image.clone();
    let open = Faulty::start(move |asked| good.answer(asked));
    let place = Place::new();
    place.write_auth(&json!("not an object"));
    place.pull(&format!("{}/app", open.name())).unwrap();
    assert_eq!(place.messages(), "");
    let server = guarded(&image, "Basic", |_| false);
    let failure = place.pull(&format!("{}/app", server.name())).unwrap_err();
    assert_eq!(failure.code(), "E_AUTH");
    assert!(place.messages().contains("passing over the authentication file"), "{}", place.messages());
}

#[test]
fn a_failing_helper_leaves_us_anonymous() {
    let image = Image::simple(1000);
    let token = r#"{"token":"anonymous"}"#;
    let place = Place::new();
    let tokens = Faulty::start(move |_| Answer::new(200, token));
    let server =
        guarded(&image, bearer(&tokens.url()), |asked| asked.header("authorization") == Some("Bearer anonymous"));
    let closed = guarded(&image, "Basic", |_| false);
    let other = json!({"auth": "b3RoZXI6b3RoZXI="});
    place.write_auth(&json!({"credsStore": "surely-not-installed", "auths": {"docker.io": other}}));
    place.pull(&format!("{}/app", server.name())).unwrap();
    assert!(tokens.asked().iter().all(|asked| asked.header("authorization").is_none()));

    let failure = place.pull(&format!("{}/app", closed.name())).unwrap_err();
    assert_eq!(failure.code(), "E_AUTH_HELPER");
    assert!(failure.to_string().contains("docker-credential-surely-not-installed"), "{failure}");
    assert!(closed.asked().iter().all(|asked| asked.header("authorization").is_none()));
}

/// A token server that counts its tokens, and a registry that takes the newest ones.
struct TokenPair {
    tokens: Faulty,
    registry: Faulty,
}

fn token_pair(image: &Image, expires_in: u64, accepts: impl Fn(usize) -> bool + Send + Sync + 'static) -> TokenPair {
    let given = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&given);
    let tokens = Faulty::start(move |_| {
        let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
        Answer::new(200, json!({"token": format!("token-{number}"), "expires_in": expires_in}).to_string())
    });
    let registry = guarded(image, bearer(&format!("{}/token?x=1", tokens.url())), move |asked| {
        let number = asked.header("authorization").and_then(|value| value.strip_prefix("Bearer token-"));
        number.is_some_and(|number| accepts(number.parse().unwrap()))
    });
    TokenPair { tokens, registry }
}

fn four_layers() -> Image {
    let tars: Vec<_> = (0..4).map(|number| tar(&[("noise", &noise(number, 20_000))])).collect();
    Image::new(&tars.iter().map(|tar| (TAR_GZIP, gzip(tar), tar.clone())).collect::<Vec<_>>())
}

#[test]
fn one_token_serves_all_requests() {
    let image = four_layers();
    let pair = token_pair(&image, 300, |_| true);
    known().pull(&format!("{}/app", pair.registry.name())).unwrap();
    let asked = pair.tokens.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].header("authorization"), Some(BASIC));
    assert_eq!(asked[0].path, "/token?x=1&scope=repository%3Aapp%3Apull&client_id=coracle&service=the+service");
    assert!(pair.registry.asked().iter().all(|asked| asked.header("authorization") != Some(BASIC)));
}

#[test]
fn a_token_that_is_refused_is_renewed_once() {
    let image = four_layers();
    let requests = AtomicUsize::new(0);
    // The first token is good for two requests.
    let pair = token_pair(&image, 300, move |number| number > 1 || requests.fetch_add(1, Ordering::SeqCst) < 2);
    Place::new().pull(&format!("{}/app", pair.registry.name())).unwrap();
    assert_eq!(pair.tokens.asked().len(), 2, "four layers at once renew it once");

    let pair = token_pair(&image, 300, |_| false);
    Place::new().refused(&format!("{}/app", pair.registry.name()), "E_AUTH");
    assert_eq!(pair.tokens.asked().len(), 1, "a fresh token that is refused is a refusal");
}

#[test]
fn a_token_is_renewed_before_it_expires() {
    let image = Image::simple(1000);
    let pair = token_pair(&image, 0, |_| true);
    Place::new().pull(&format!("{}/app", pair.registry.name())).unwrap();
    let denied =
        pair.registry.asked().iter().filter(|a| a.path != "/v2/" && a.header("authorization").is_none()).count();
    assert_eq!(denied, 1);
    assert!(pair.tokens.asked().len() >= 3, "one for each request");
}

#[test]
fn identity_tokens_are_traded_and_registry_tokens_used() {
    let image = Image::simple(1000);
    let tokens = Faulty::start(|asked| match asked.method.as_str() {
        "POST" => Answer::new(200, r#"{"access_token":"traded"}"#),
        _ => Answer::new(404, ""),
    });
    let server = guarded(&image, bearer(&tokens.url()), |asked| asked.header("authorization") == Some("Bearer traded"));
    let mut place = Place::new();
    place.access.credential = Some(Credential::IdentityToken(Secret::new(PASSWORD)));
    place.pull(&format!("{}/app", server.name())).unwrap();
    let body = String::from_utf8(tokens.asked()[0].body.clone()).unwrap();
    assert!(body.contains("grant_type=refresh_token") && body.contains(&format!("refresh_token={PASSWORD}")), "{body}");

    let server = guarded(&image, bearer(&tokens.url()), |asked| asked.header("authorization") == Some("Bearer ready"));
    place.access.credential = Some(Credential::RegistryToken(Secret::new("ready")));
    place.pull(&format!("{}/app", server.name())).unwrap();
    assert_eq!(tokens.asked().len(), 1);
}

#[test]
fn a_token_server_of_another_domain_gets_no_password() {
    let image = Image::simple(1000);
    let strangers = Faulty::start_on("127.0.0.2", None, |_| Answer::new(200, r#"{"token":"t"}"#));
    let server = guarded(&image, bearer(&strangers.url()), |asked| asked.header("authorization").is_some());
    let place = known();
    place.pull(&format!("{}/app", server.name())).unwrap();
    assert_eq!(strangers.asked().len(), 1);
    assert_eq!(strangers.asked()[0].header("authorization"), None);
    assert!(place.messages().contains("are not sent to its token server"), "{}", place.messages());

    // Unless the user has one for that very server.
    strangers.forget();
    let auth = BASIC.strip_prefix("Basic ").unwrap();
    place.write_auth(&json!({"auths": {strangers.name(): {"auth": auth}}}));
    place.pull(&format!("{}/app", server.name())).unwrap();
    assert_eq!(strangers.asked()[0].header("authorization"), Some(BASIC));
}

#[test]
fn realms_that_lead_astray_are_refused() {
    for realm in [
        "file:///etc/passwd",
        "unix:/run/x",
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/",
        "/token",
        "",
    ] {
        let image = Image::simple(1000);
        let server = guarded(&image, bearer(realm), |_| false);
        let message = known().refused(&format!("{}/app", server.name()), "E_AUTH");
        assert!(message.contains("sends us for a token to"), "{realm}: {message}");
    }
}

#[test]
fn what_a_token_server_answers_must_be_a_token() {
    type Case = (fn() -> Answer, &'static str);
    let cases: [Case; 8] = [
        (|| Answer::new(200, "{}"), "E_AUTH"),
        (|| Answer::new(200, r#"{"token":""}"#), "E_AUTH"),
        (|| Answer::new(200, r#"{"token":"a\r\nX-Header: b"}"#), "E_AUTH"),
        (|| Answer::new(200, "<html>"), "E_AUTH"),
        (|| Answer::new(401, r#"{"details":"incorrect username or password"}"#), "E_AUTH"),
        (|| Answer::redirect("http://127.0.0.2:1/"), "E_REDIRECT"),
        (|| Answer::new(200, "").fault(Fault::Endless), "E_TOO_LARGE"),
        (|| Answer::new(503, ""), "E_REGISTRY"),
    ];
    for (number, (answer, code)) in cases.into_iter().enumerate() {
        let image = Image::simple(1000);
        let tokens = Faulty::start(move |_| answer());
        let server = guarded(&image, bearer(&tokens.url()), |_| false);
        let message = known().refused(&format!("{}/app", server.name()), code);
        assert!(!message.contains(PASSWORD), "case {number}: {message}");
    }
}
