//! certs.d and `--cert-dir`: authorities of a registry's own, and certificates that show it who we are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::User;
use crate::faulty::{Answer, Faulty};
use crate::images::{Image, RealRegistry, installed, run, tar, umoci_layout};

/// An authority, and what it vouches for.
pub struct Authority {
    directory: tempfile::TempDir,
}

impl Authority {
    /// `None` where openssl is not installed.
    pub fn new() -> Option<Self> {
        installed("openssl").then(|| {
            let authority = Self { directory: tempfile::tempdir().unwrap() };
            let (key, certificate) = (authority.path("ca.key"), authority.certificate());
            run(openssl_request("/CN=authority").arg("-x509").arg("-keyout").arg(key).arg("-out").arg(certificate));
            authority
        })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn certificate(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// Makes `NAME.cert` and `NAME.key`, for 127.0.0.1 and for clients.
    pub fn vouch_for(&self, name: &str) -> (PathBuf, PathBuf) {
        let [key, request, certificate] = ["key", "request", "cert"].map(|end| self.path(&format!("{name}.{end}")));
        run(openssl_request(&format!("/CN={name}")).arg("-keyout").arg(&key).arg("-out").arg(&request));
        let extensions = self.path("extensions");
        fs::write(&extensions, "subjectAltName=IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n").unwrap();
        run(Command::new("openssl")
            .args(["x509", "-req", "-days", "2", "-CAcreateserial", "-in"])
            .arg(&request)
            .arg("-CA")
            .arg(self.certificate())
            .arg("-CAkey")
            .arg(self.path("ca.key"))
            .arg("-extfile")
            .arg(&extensions)
            .arg("-out")
            .arg(&certificate));
        (certificate, key)
    }

    /// A server that it vouches for; one that `wants_clients` to be vouched for speaks with nobody else.
    fn server(&self, wants_clients: bool) -> Arc<ServerConfig> {
        let (certificate, key) = self.vouch_for("server");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = if wants_clients {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(self.certificate()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
        Arc::new(builder.with_single_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap())
    }
}

fn openssl_request(subject: &str) -> Command {
    let mut command = Command::new("openssl");
    command.args([
        "req",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
        "-subj",
        subject,
    ]);
    command
}

fn serve(authority: &Authority, wants_clients: bool, image: &Image) -> Faulty {
    let image = image.clone();
    Faulty::start_on("127.0.0.1", Some(authority.server(wants_clients)), move |asked| image.answer(asked))
}

fn copy(from: &Path, directory: &Path, name: &str) {
    fs::create_dir_all(directory).unwrap();
    fs::copy(from, directory.join(name)).unwrap();
}

#[test]
fn an_authority_of_the_registrys_own() {
    let (Some(authority), Some(stranger)) = (Authority::new(), Authority::new()) else { return };
    let server = serve(&authority, false, &Image::simple(1000));
    let name = format!("{}/app", server.name());
    let user = User::with("");
    user.coracle(["pull", &name]).refused(125, "E_TLS").says("certs.d/HOST");
    let directory = user.configure(&format!("certs.d/{}/README", server.name()), "").parent().unwrap().to_owned();
    copy(&stranger.certificate(), &directory, "stranger.crt");
    user.coracle(["pull", &name]).refused(125, "E_TLS");
    copy(&authority.certificate(), &user.lab.root().join("config/containers/certs.d/127.0.0.1"), "other-port.crt");
    user.coracle(["pull", &name]).refused(125, "E_TLS");
    assert!(server.asked().is_empty(), "nothing is said to a stranger");
    copy(&authority.certificate(), &directory, "authority.crt");
    user.coracle(["pull", &name]).ok();
    user.coracle(["search", &format!("{}/", server.name())]).says("_catalog");
    fs::write(directory.join("broken.crt"), "no certificate").unwrap();
    user.coracle(["pull", &name]).refused(125, "E_CONFIG").says("broken.crt");
    // Another directory stands in for all others.
    let other = user.lab.path("other");
    copy(&authority.certificate(), &other, "a.crt");
    user.coracle(["pull", "--cert-dir", other.to_str().unwrap(), &name]).ok();
    user.coracle(["pull", "--cert-dir", user.lab.path("missing").to_str().unwrap(), &name]).refused(125, "E_CONFIG");
}

#[test]
fn a_registry_that_wants_to_see_our_certificate() {
    let (Some(authority), Some(stranger)) = (Authority::new(), Authority::new()) else { return };
    let server = serve(&authority, true, &Image::simple(1000));
    let name = format!("{}/app", server.name());
    let user = User::with("");
    let directory = user.configure(&format!("certs.d/{}/README", server.name()), "").parent().unwrap().to_owned();
    copy(&authority.certificate(), &directory, "authority.crt");
    user.coracle(["pull", &name]).refused(125, "E_TLS").says("wants to see a certificate of ours");
    // Of the same name as the right one, as after an authority was made anew.
    let (certificate, key) = stranger.vouch_for("me");
    copy(&certificate, &directory, "me.cert");
    user.coracle(["pull", &name]).refused(125, "E_CONFIG").says("me.key is missing beside it");
    copy(&key, &directory, "me.key");
    user.coracle(["pull", &name]).refused(125, "E_TLS").says("wants to see a certificate of ours");
    assert!(server.asked().is_empty());
    let (certificate, key) = authority.vouch_for("me");
    copy(&certificate, &directory, "me.cert");
    copy(&key, &directory, "me.key");
    user.coracle(["pull", &name]).ok();
    fs::write(directory.join("me.key"), "no key").unwrap();
    user.coracle(["pull", &name]).refused(125, "E_CONFIG").says("me.cert");
}

// SECURITY.md R13: who we are is told to the registry, and not to those to whom it sends us.
#[test]
fn our_certificate_is_for_the_registry_only() {
    let Some(authority) = Authority::new() else { return };
    let image = Image::simple(1000);
    let elsewhere = |wants_clients| serve(&authority, wants_clients, &image);
    for (storage, code) in [(elsewhere(false), None), (elsewhere(true), Some("E_TLS"))] {
        let (good, layer, target) = (image.clone(), image.layer_path(0), format!("https://{}", storage.name()));
        let server = Faulty::start_on("127.0.0.1", Some(authority.server(true)), move |asked| match &asked.path {
            path if *path == layer => Answer::redirect(format!("{target}{path}")),
            _ => good.answer(asked),
        });
        let user = User::with("");
        let directory = user.lab.path("certificates");
        let (certificate, key) = authority.vouch_for("me");
        copy(&authority.certificate(), &directory, "authority.crt");
        copy(&certificate, &directory, "me.cert");
        copy(&key, &directory, "me.key");
        let name = format!("{}/app", server.name());
        let pulled = user.coracle(["pull", "--retry=0", "--cert-dir", directory.to_str().unwrap(), &name]);
        match code {
            None => pulled.ok(),
            Some(code) => pulled.refused(125, code),
        };
    }
}

#[test]
fn a_real_registry_with_an_authority_and_passwords() {
    if !["docker-registry", "skopeo", "umoci", "htpasswd"].into_iter().all(installed) {
        return;
    }
    let Some(authority) = Authority::new() else { return };
    let (certificate, key) = authority.vouch_for("server");
    let passwords = authority.path("htpasswd");
    run(Command::new("htpasswd").arg("-Bbc").arg(&passwords).args(["user", "hunter2"]));
    let extra = format!("auth: {{htpasswd: {{realm: r, path: {}}}}}\n", passwords.display());
    let environment =
        [("REGISTRY_HTTP_TLS_CERTIFICATE", certificate.as_path()), ("REGISTRY_HTTP_TLS_KEY", key.as_path())];
    let registry = RealRegistry::start_with(&extra, &environment);
    let (layer, layout) = (registry.path("layer.tar"), registry.path("layout"));
    fs::write(&layer, tar(&[("file", b"content")])).unwrap();
    umoci_layout(&layout, &layer, &["--config.cmd", "/bin/sh"]);
    let source = format!("oci:{}:latest", layout.display());
    registry.copy(&source, "team/app:1", &["--dest-creds", "user:hunter2"]);
    registry.copy(&source, "team/app:2", &["--dest-creds", "user:hunter2"]);

    let user = User::with("");
    let name = registry.image("team/app:1");
    let host = registry.image("").trim_end_matches('/').to_owned();
    let login = |password: &str| {
        user.coracle_with_input(["login", "-u", "user", "--password-stdin", "-v", &host], &format!("{password}\n"))
    };
    login("hunter2").refused(125, "E_TLS");
    copy(&authority.certificate(), &user.lab.root().join("config/containers/certs.d").join(&host), "ca.crt");
    login("wrong").refused(125, "E_AUTH").says("does not let the user \"user\" log in");
    let auth = user.lab.root().join("runtime/containers/auth.json");
    assert!(!auth.exists(), "what was refused is not kept");
    user.coracle(["pull", &name]).refused(125, "E_AUTH").says(&format!("coracle login {host}"));
    assert_eq!(login("hunter2").ok().text(), format!("Used: {}\nLogin Succeeded!", auth.display()));
    user.coracle(["pull", &name]).ok();
    assert_eq!(
        user.coracle(["search", "--format", "{{.Name}}", &format!("{host}/app")]).ok().text(),
        registry.image("team/app")
    );
    let tags = user.coracle(["search", "--list-tags", "--format", "{{.Tag}}", &registry.image("team/app")]);
    let mut tags: Vec<String> = tags.ok().text().lines().map(str::to_owned).collect();
    tags.sort();
    assert_eq!(tags, ["1", "2"]);
    // skopeo reads what we wrote.
    let to = format!("docker://{name}");
    run(registry.skopeo().args(["inspect", "--tls-verify=false", "--authfile"]).arg(&auth).arg(&to));
    user.coracle(["logout", &host]).ok();
    user.coracle(["pull", &name]).refused(125, "E_AUTH");
    user.coracle(["logout", &host]).refused(125, "E_AUTH").says("not logged in");
}
