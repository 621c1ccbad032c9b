//! Encryption: asked for first, verified unless told otherwise, never given up on the way.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use crate::faulty::{Answer, Faulty};
use crate::support::{Image, Place, installed, run};
use coracle::registry::TlsVerify;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate for 127.0.0.1 that nobody vouches for.
pub fn self_signed(directory: &Path) -> Arc<rustls::ServerConfig> {
    let (key, certificate) = (directory.join("key.pem"), directory.join("certificate.pem"));
    run(Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=registry", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(certificate).unwrap()],
            PrivateKeyDer::from_pem_file(key).unwrap(),
        );
    Arc::new(config.unwrap())
}

fn encrypted(image: &Image) -> Option<Faulty> {
    if !installed("openssl") {
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let image = image.clone();
    Some(Faulty::start_on("127.0.0.1", Some(self_signed(directory.path())), move |asked| image.answer(asked)))
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused_unless_told_otherwise() {
    let image = Image::simple(100_000);
    let Some(server) = encrypted(&image) else { return };
    let name = format!("{}/app", server.name());
    for tls in [TlsVerify::AsConfigured, TlsVerify::Required] {
        let mut place = Place::new();
        place.access.tls = tls;
        place.refused(&name, "E_TLS");
        assert!(server.asked().is_empty(), "nothing is said to a stranger");
    }
    let mut place = Place::new();
    place.access.tls = TlsVerify::Off;
    place.pull(&name).unwrap();
}

#[test]
fn plain_http_is_for_loopback_and_for_those_who_ask() {
    let image = Image::simple(1000);
    let server = Faulty::start(move |asked| image.answer(asked));
    let name = format!("{}/app", server.name());
    let mut place = Place::new();
    place.access.tls = TlsVerify::Required;
    place.refused(&name, "E_REGISTRY");
    assert!(server.asked().is_empty());
    for tls in [TlsVerify::AsConfigured, TlsVerify::Off] {
        place.access.tls = tls;
        place.pull(&name).unwrap();
    }
    let by_name = format!("localhost:{}/app", server.address.port());
    place.access.tls = TlsVerify::AsConfigured;
    place.pull(&by_name).unwrap();
}

#[test]
fn encryption_is_not_given_up_by_a_redirection() {
    if !installed("openssl") {
        return;
    }
    let image = Image::simple(1000);
    let storage = Faulty::start(|_| Answer::new(200, "x"));
    let (good, layer, target) = (image.clone(), image.layer_path(0), storage.url());
    let directory = tempfile::tempdir().unwrap();
    let server = Faulty::start_on("127.0.0.1", Some(self_signed(directory.path())), move |asked| {
        if asked.path == layer { Answer::redirect(target.clone()) } else { good.answer(asked) }
    });
    let mut place = Place::new();
    place.access.tls = TlsVerify::Off;
    place.refused(&format!("{}/app", server.name()), "E_TLS_DOWNGRADE");
    assert!(storage.asked().is_empty());
}

#[test]
fn an_encrypted_registry_has_an_encrypted_token_server() {
    if !installed("openssl") {
        return;
    }
    let tokens = Faulty::start(|_| Answer::new(200, r#"{"token":"t"}"#));
    let challenge = format!(r#"Bearer realm="{}""#, tokens.url());
    let directory = tempfile::tempdir().unwrap();
    let server = Faulty::start_on("127.0.0.1", Some(self_signed(directory.path())), move |_| {
        Answer::new(401, "").header("WWW-Authenticate", challenge.clone())
    });
    let mut place = Place::new();
    place.access.tls = TlsVerify::Off;
    assert!(place.refused(&format!("{}/app", server.name()), "E_AUTH").contains("not encrypted"));
    assert!(tokens.asked().is_empty());
}

/// Runs one of these tests in a process of its own, with this environment.
fn in_own_process(test: &str, environment: &[(&str, &str)]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--ignored", "--test-threads=1"]).envs(environment.iter().copied());
    run(&mut command);
}

#[test]
fn a_machine_without_certificates_pulls_from_its_own_registry() {
    let none = "/nonexistent";
    in_own_process("tls::without_certificates", &[("SSL_CERT_FILE", none), ("SSL_CERT_DIR", none)]);
}

#[test]
#[ignore = "started by a_machine_without_certificates_pulls_from_its_own_registry"]
fn without_certificates() {
    let image = Image::simple(1000);
    let good = image.clone();
    let server = Faulty::start(move |asked| good.answer(asked));
    Place::new().pull(&format!("{}/app", server.name())).unwrap();
    let Some(server) = encrypted(&image) else { return };
    let message = Place::new().refused(&format!("{}/app", server.name()), "E_TLS");
    assert!(message.contains("no certificate authorities are installed"), "{message}");
}

#[test]
fn certificates_that_the_user_names_are_believed() {
    if !installed("openssl") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let config = self_signed(directory.path());
    let image = Image::simple(1000);
    let server = Faulty::start_on("127.0.0.1", Some(config), move |asked| image.answer(asked));
    let file = directory.path().join("certificate.pem");
    let environment = [("SSL_CERT_FILE", file.to_str().unwrap()), ("REGISTRY", &server.name())];
    in_own_process("tls::with_certificates", &environment);
    assert!(server.count("/blobs/") > 0);
}

#[test]
#[ignore = "started by certificates_that_the_user_names_are_believed"]
#[allow(clippy::disallowed_methods, reason = "the other test's message")]
fn with_certificates() {
    Place::new().pull(&format!("{}/app", std::env::var("REGISTRY").unwrap())).unwrap();
}

#[test]
fn all_threads_are_gone_after_a_pull() {
    if !["docker-registry", "skopeo", "umoci"].into_iter().all(installed) {
        return;
    }
    in_own_process("tls::threads_after_a_pull", &[]);
}

/// A fork follows a pull, and must be made by the only thread.
#[test]
#[ignore = "started by all_threads_are_gone_after_a_pull"]
fn threads_after_a_pull() {
    let registry = crate::support::RealRegistry::start("");
    let (tar, layout) = (registry.path("layer.tar"), registry.path("layout"));
    std::fs::write(&tar, crate::support::tar(&[("file", b"x")])).unwrap();
    crate::support::umoci_layout(&layout, &tar, &[]);
    registry.copy(&format!("oci:{}:latest", layout.display()), "app:latest", &[]);
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let before = threads();
    // A joined thread is counted until the kernel has buried it; one that was not joined would stay.
    let wait_for = |count| {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(2);
        while threads() != count {
            assert!(std::time::Instant::now() < deadline, "{} threads, not {count}", threads());
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    };
    for _ in 0..20 {
        let place = Place::new();
        place.pull(&registry.image("app")).unwrap();
        wait_for(before);
        place.pull(&registry.image("nothing")).unwrap_err();
        wait_for(before);
    }
}
