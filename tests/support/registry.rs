//! Images for registry tests, a store to pull them into, and the real registry server.
#![allow(dead_code, reason = "each test program uses its own part of this")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]
#![allow(clippy::disallowed_methods, reason = "PATH is asked for programs that tests need, not by coracle")]

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use coracle::container::request::PullPolicy;
use coracle::failure::Failure;
use coracle::image::progress::{LayerEvent, Progress};
use coracle::image::pull::{self, Report, Request};
use coracle::image::push::{self, Members};
use coracle::image::reform::Change;
use coracle::oci::digest::Digest;
use coracle::oci::media_type;
use coracle::registry::{Access, RetryPolicy};
use coracle::state::layout::Layout;
use coracle::store::Store;
use serde_json::{Value, json};

use super::faulty::{Answer, Asked};

pub const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
pub const TAR_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub const TAR_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// A tar of regular files.
pub fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_entry_type(tar::EntryType::Regular);
        builder.append_data(&mut header, name, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Bytes that do not compress, always the same for one `seed`.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// `{"mediaType", "digest", "size"}` of `bytes`.
pub fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Digest::of(bytes).to_string(), "size": bytes.len()})
}

/// Everything that a registry has of one image.
#[derive(Clone)]
pub struct Image {
    /// Media type and bytes of each layer's blob.
    pub layers: Vec<(String, Vec<u8>)>,
    pub config: Value,
    pub manifest: Value,
}

impl Image {
    /// An image for this machine of these layers: media type, blob, tar.
    pub fn new(layers: &[(&str, Vec<u8>, Vec<u8>)]) -> Self {
        let diff_ids: Vec<String> = layers.iter().map(|(_, _, tar)| Digest::of(tar).to_string()).collect();
        let host = coracle::oci::platform::Platform::host();
        let config = json!({
            "architecture": host.architecture, "os": "linux", "config": {"Cmd": ["/bin/true"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let layers = layers.iter().map(|(media_type, blob, _)| ((*media_type).to_owned(), blob.clone())).collect();
        let mut image = Self { layers, config, manifest: Value::Null };
        image.describe();
        image
    }

    /// One layer of about `size` bytes, gzip.
    pub fn simple(size: usize) -> Self {
        let tar = tar(&[("file", &noise(size as u64, size))]);
        Self::new(&[(TAR_GZIP, gzip(&tar), tar)])
    }

    /// Makes the manifest match the configuration and the layers.
    pub fn describe(&mut self) {
        let layers: Vec<Value> = self.layers.iter().map(|(media_type, blob)| descriptor(media_type, blob)).collect();
        self.manifest = json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
            "config": descriptor(media_type::OCI_CONFIG, &self.config_bytes()), "layers": layers,
        });
    }

    pub fn config_bytes(&self) -> Vec<u8> {
        self.config.to_string().into_bytes()
    }

    pub fn manifest_bytes(&self) -> Vec<u8> {
        self.manifest.to_string().into_bytes()
    }

    pub fn manifest_digest(&self) -> Digest {
        Digest::of(&self.manifest_bytes())
    }

    /// Path of the blob of layer `position` in the repository `app`.
    pub fn layer_path(&self, position: usize) -> String {
        format!("/v2/app/blobs/{}", Digest::of(&self.layers[position].1))
    }

    pub fn config_path(&self) -> String {
        format!("/v2/app/blobs/{}", Digest::of(&self.config_bytes()))
    }

    /// What a good registry answers for the repository `app`, in which the image is tagged `latest`.
    pub fn answer(&self, asked: &Asked) -> Answer {
        if asked.path == "/v2/" {
            return Answer::new(200, "{}");
        }
        let manifest = self.manifest_bytes();
        let digest = Digest::of(&manifest).to_string();
        if [format!("/v2/app/manifests/{digest}"), "/v2/app/manifests/latest".into()].contains(&asked.path) {
            return document(&manifest, self.manifest["mediaType"].as_str().unwrap_or_default());
        }
        let config = self.config_bytes();
        let mut blobs = self.layers.iter().map(|(_, blob)| blob).chain([&config]);
        match blobs.find(|blob| asked.path == format!("/v2/app/blobs/{}", Digest::of(blob))) {
            Some(blob) => blob_answer(blob, asked),
            None => Answer::new(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#),
        }
    }
}

/// A manifest or an index, with the headers that belong to it.
pub fn document(bytes: &[u8], media_type: &str) -> Answer {
    let digest = Digest::of(bytes).to_string();
    Answer::new(200, bytes).header("Content-Type", media_type).header("Docker-Content-Digest", digest)
}

/// A blob, or the part of it that is asked for.
pub fn blob_answer(blob: &[u8], asked: &Asked) -> Answer {
    match asked.range() {
        None => Answer::new(200, blob),
        Some(start) if start >= blob.len() => Answer::new(416, ""),
        Some(start) => {
            let range = format!("bytes {start}-{}/{}", blob.len() - 1, blob.len());
            Answer::new(206, &blob[start..]).header("Content-Range", range)
        }
    }
}

/// A store of its own, and pulls into it.
pub struct Place {
    root: tempfile::TempDir,
    pub access: Access,
    pub policy: PullPolicy,
    pub platform: Option<String>,
    pub told: Told,
}

/// What a pull has told.
#[derive(Default)]
pub struct Told {
    pub messages: Mutex<Vec<String>>,
    pub layers: Mutex<Vec<(usize, String)>>,
}

impl Progress for Told {
    fn message(&self, line: &str) {
        self.messages.lock().unwrap().push(line.to_owned());
    }

    fn layer(&self, position: usize, event: LayerEvent<'_>) {
        let event = match event {
            LayerEvent::Found { size, .. } => format!("found {size}"),
            LayerEvent::AlreadyPresent => "present".into(),
            LayerEvent::Moved(_) => return,
            LayerEvent::Unpacking => "unpacking".into(),
            LayerEvent::Done => "done".into(),
        };
        self.layers.lock().unwrap().push((position, event));
    }
}

impl Place {
    /// An empty store; impatient, so that tests of failures are short.
    pub fn new() -> Self {
        let root = tempfile::Builder::new().prefix("place.").tempdir().unwrap();
        let (first_delay, stall) = (Duration::from_millis(5), Duration::from_millis(1500));
        let retry = RetryPolicy { tries: 5, first_delay, stall, ..RetryPolicy::default() };
        let authfile = Some(root.path().join("auth.json"));
        let access = Access { retry, authfile, ..Access::default() };
        Self { root, access, policy: PullPolicy::Always, platform: None, told: Told::default() }
    }

    /// Writes the authentication file.
    pub fn write_auth(&self, content: &Value) {
        fs::write(self.root.path().join("auth.json"), content.to_string()).unwrap();
    }

    pub fn layout(&self) -> Layout {
        Layout::discover(Some(self.root.path().join("data")), Some(self.root.path().join("run"))).unwrap()
    }

    pub fn store(&self) -> Store {
        Store::open(self.layout()).unwrap().with_program(env!("CARGO_BIN_EXE_coracle").into())
    }

    pub fn pull(&self, reference: &str) -> Result<Report, Failure> {
        let request = Request {
            reference: reference.parse().unwrap(),
            platform: self.platform.as_ref().map(|text| text.parse().unwrap()),
            policy: self.policy,
            access: self.access.clone(),
        };
        pull::execute(&self.store(), &request, &self.told).map_err(Failure::from)
    }

    /// Pushes an image of the store.
    pub fn push(&self, image: &str, destination: &str) -> Result<push::Report, Failure> {
        self.push_as(image, destination, Members::Own, Change::default())
    }

    pub fn push_as(
        &self,
        image: &str,
        destination: &str,
        members: Members,
        change: Change,
    ) -> Result<push::Report, Failure> {
        let request = push::Request {
            image: image.parse().unwrap(),
            destination: Some(destination.parse().unwrap()),
            members,
            change,
            access: self.access.clone(),
        };
        push::execute(&self.store(), &request, &self.told, &mut |_| {})
    }

    /// Pulls what must be refused with `code`; nothing may stay behind. Returns the message.
    #[track_caller]
    pub fn refused(&self, reference: &str, code: &str) -> String {
        let failure = self.pull(reference).expect_err("the pull should have failed");
        assert_eq!(failure.code(), code, "{failure}");
        let left = self.files(&["blobs", "refs", "images", "layers"]);
        assert!(left.is_empty(), "left behind: {left:?}");
        assert_eq!(self.unfinished(), Vec::<PathBuf>::new());
        failure.to_string()
    }

    /// What is being written, locks left out.
    pub fn unfinished(&self) -> Vec<PathBuf> {
        let is_lock = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("pull.");
        self.files(&["tmp"]).into_iter().filter(|path| !is_lock(path)).collect()
    }

    /// All files below these directories of the store.
    pub fn files(&self, directories: &[&str]) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut open: Vec<PathBuf> = directories.iter().map(|name| self.root.path().join("data").join(name)).collect();
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() { open.push(path) } else { found.push(path) }
            }
        }
        found
    }

    /// Content of a file of the image's layer `position`.
    pub fn read(&self, report: &Report, position: usize, file: &str) -> Vec<u8> {
        let store = self.store();
        let record = store.images().get(&report.image).unwrap().unwrap();
        fs::read(store.layers().path(&record.layers[position].diff_id).join(file)).unwrap()
    }

    pub fn messages(&self) -> String {
        self.told.messages.lock().unwrap().join("\n")
    }
}

/// Whether a program is installed; says so if it is not.
pub fn installed(program: &str) -> bool {
    let found = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).chain(["/usr/sbin".into()]).any(|directory| directory.join(program).exists())
    });
    if !found {
        println!("SKIPPED: {program} is not installed");
        // tests/run shows these, and CI fails on them.
        if let Some(path) = std::env::var_os("CORACLE_SKIPPED") {
            let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
            writeln!(file, "registry tests: {program} is not installed").unwrap();
        }
    }
    found
}

/// Debian's docker-registry, on a port of its own. Ends with the value.
pub struct RealRegistry {
    server: Child,
    root: tempfile::TempDir,
    port: u16,
}

impl RealRegistry {
    /// `extra` is added to the configuration, YAML; `storage:` or `http:` at its beginning replaces the usual one.
    pub fn start(extra: &str) -> Self {
        Self::start_with(extra, &[])
    }

    /// The same with variables that override the configuration, as `REGISTRY_HTTP_TLS_KEY`.
    pub fn start_with(extra: &str, environment: &[(&str, &Path)]) -> Self {
        let root = tempfile::Builder::new().prefix("registry.").tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let usual = [
            ("storage:", "storage: {filesystem: {rootdirectory: ROOT/storage}}\n"),
            ("http:", "http: {addr: \"ADDRESS\"}\n"),
        ];
        let usual: String =
            usual.into_iter().filter(|(key, _)| !extra.starts_with(key)).map(|(_, line)| line).collect();
        let config = format!("version: 0.1\nlog: {{level: error}}\n{usual}{extra}")
            .replace("ROOT", root.path().to_str().unwrap())
            .replace("ADDRESS", &format!("127.0.0.1:{port}"));
        let path = root.path().join("config.yml");
        fs::write(&path, config).unwrap();
        let server = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Self { server, root, port };
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "docker-registry does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        registry
    }

    /// A directory of the test's own, gone with the registry.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// `127.0.0.1:PORT/NAME`.
    pub fn image(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.port)
    }

    /// `skopeo copy OPTIONS FROM docker://127.0.0.1:PORT/NAME`.
    pub fn copy(&self, from: &str, name: &str, options: &[&str]) {
        let to = format!("docker://{}", self.image(name));
        let mut command = self.skopeo();
        command.args(["copy", "-q", "--insecure-policy", "--dest-tls-verify=false"]).args(options).args([from, &to]);
        run(&mut command);
    }

    /// skopeo with a home of its own: no cache and no credentials of whoever runs the tests.
    pub fn skopeo(&self) -> Command {
        let mut command = Command::new("skopeo");
        command
            .env("HOME", self.path("home"))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env_remove("REGISTRY_AUTH_FILE");
        command
    }
}

impl Drop for RealRegistry {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Runs a program that must succeed.
#[track_caller]
pub fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}{}", said(&output.stdout), said(&output.stderr));
    output.stdout
}

/// An OCI layout with one image of one layer, made by umoci; the layer is `tar`.
pub fn umoci_layout(layout: &Path, tar: &Path, configuration: &[&str]) {
    let image = format!("{}:latest", layout.display());
    run(Command::new("umoci").arg("init").arg("--layout").arg(layout));
    run(Command::new("umoci").args(["new", "--image", &image]));
    run(Command::new("umoci").args(["raw", "add-layer", "--image", &image]).arg(tar));
    run(Command::new("umoci").args(["config", "--image", &image]).args(configuration));
}
