//! What the tests of the real binary share: a hermetic lab per test, outputs that explain themselves, a terminal.
//!
//! `tests/run` sets the environment these read (see `tests/as-user`). A bare `cargo test` works for what needs neither
//! fixtures nor the registry.
#![allow(dead_code, unused_imports, reason = "each test program uses its own part of this")]
#![allow(clippy::disallowed_methods, reason = "the tests' environment is set by tests/run, not by coracle's user")]

pub mod output;
pub mod terminal;

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub use output::Output;
pub use terminal::Terminal;

/// How long one command may take. The machine may be slow and busy; nothing that works comes near.
pub const LIMIT: Duration = Duration::from_secs(60);

/// The binary under test.
pub fn coracle_path() -> PathBuf {
    std::env::var_os("CORACLE").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_coracle")), PathBuf::from)
}

/// Whether it is a release build: its size and memory have bounds of their own.
pub fn is_release() -> bool {
    std::env::var_os("CORACLE_RELEASE").is_some()
}

/// A file or directory that `tests/fixtures.sh` made.
pub fn fixture(name: &str) -> PathBuf {
    let root =
        std::env::var_os("CORACLE_FIXTURES").expect("CORACLE_FIXTURES is not set: start the tests with tests/run");
    Path::new(&root).join(name)
}

/// The busybox tree, owned by who runs the tests.
pub fn busybox_tree() -> PathBuf {
    let root = std::env::var_os("CORACLE_ROOTFS").expect("CORACLE_ROOTFS is not set: start the tests with tests/run");
    Path::new(&root).join("busybox")
}

/// `NAME:latest` in the registry that `tests/run` started.
pub fn image(name: &str) -> String {
    let registry =
        std::env::var("CORACLE_REGISTRY").expect("CORACLE_REGISTRY is not set: start the tests with tests/run");
    format!("{registry}/{name}:latest")
}

/// Reports that a check cannot be made here. `tests/run` prints it; CI fails on it.
#[allow(clippy::print_stdout, reason = "it is for the tester")]
pub fn skip(test: &str, reason: &str) {
    println!("SKIPPED {test}: {reason}");
    let Some(path) = std::env::var_os("CORACLE_SKIPPED") else { return };
    let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    writeln!(file, "{test}: {reason}").unwrap();
}

/// Waits until `condition` holds; fails after [`LIMIT`].
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process exists and is not a zombie.
pub fn is_running(pid: i32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    !stat[stat.rfind(')').unwrap()..].starts_with(") Z")
}

/// The parent of a process.
pub fn parent(pid: i32) -> Option<i32> {
    fs::read_to_string(format!("/proc/{pid}/stat")).ok()?.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// All processes below `pid`, nearest first.
pub fn descendants(pid: i32) -> Vec<i32> {
    let mut found = vec![pid];
    let mut next = 0;
    while next < found.len() {
        let path = format!("/proc/{0}/task/{0}/children", found[next]);
        let text = std::fs::read_to_string(path).unwrap_or_default();
        found.extend(text.split_whitespace().map(|pid| pid.parse::<i32>().unwrap()));
        next += 1;
    }
    found.remove(0);
    found
}

/// Directories of one test: a home, a store, a runtime directory. Gone with the value.
pub struct Lab {
    root: tempfile::TempDir,
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

/// Containers live on without the command that started them.
impl Drop for Lab {
    fn drop(&mut self) {
        if fs::read_dir(self.store().join("containers")).is_ok_and(|mut containers| containers.next().is_some()) {
            let _ = self.command(["rm", "--force", "--all"]).output();
        }
    }
}

impl Lab {
    /// An empty home and an empty store.
    pub fn new() -> Self {
        let root = tempfile::Builder::new().prefix("lab.").tempdir().unwrap();
        for name in ["home", "data", "config", "cache", "runtime", "work"] {
            let path = root.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        }
        Self { root }
    }

    /// The directory that holds all others.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// A path in the directory where commands are started.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join("work").join(name)
    }

    /// The same, as text for a command line.
    pub fn arg(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Writes a file into the directory where commands are started.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// coracle's data directory.
    pub fn store(&self) -> PathBuf {
        self.root.path().join("data/coracle")
    }

    /// Any program, in the lab's environment and nothing of ours.
    pub fn program(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        for (variable, directory) in [
            ("HOME", "home"),
            ("XDG_DATA_HOME", "data"),
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_CACHE_HOME", "cache"),
            ("XDG_RUNTIME_DIR", "runtime"),
        ] {
            command.env(variable, self.root.path().join(directory));
        }
        command.env("LANG", "C.UTF-8").current_dir(self.root.path().join("work"));
        command
    }

    /// coracle, to be changed or spawned by the test.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.program(coracle_path());
        command.args(arguments);
        command
    }

    /// Runs coracle to its end, without input.
    pub fn coracle<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Output {
        output::run(&mut self.command(arguments), &[], LIMIT)
    }

    /// Runs coracle to its end with this on its standard input.
    pub fn coracle_with_input<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>, input: &[u8]) -> Output {
        output::run(&mut self.command(arguments), input, LIMIT)
    }

    /// Starts coracle with pipes for its output; the guard kills it.
    pub fn spawn<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Running {
        Running::start(&mut self.command(arguments))
    }

    /// `run --rm FLAGS` of the busybox tree with a throw-away overlay: no image, no store.
    pub fn busybox(&self, flags: &[&str], command: &[&str]) -> Output {
        self.coracle(busybox_arguments(flags, command))
    }

    /// The same for a shell script. Fails the test unless it succeeds; returns its output without the last newline.
    pub fn sh(&self, flags: &[&str], script: &str) -> String {
        self.busybox(flags, &["sh", "-c", script]).ok().text()
    }

    /// `run --rm FLAGS IMAGE COMMAND`.
    pub fn run_image(&self, name: &str, flags: &[&str], command: &[&str]) -> Output {
        let image = image(name);
        let mut arguments = vec!["run", "--rm"];
        arguments.extend(flags);
        arguments.push(&image);
        arguments.extend(command);
        self.coracle(&arguments)
    }

    /// `pull -q`.
    pub fn pull(&self, name: &str) -> String {
        self.coracle(["pull", "-q", &image(name)]).ok().text()
    }

    /// The rows of `ps -a --format json`.
    pub fn containers(&self) -> Vec<serde_json::Value> {
        self.coracle(["ps", "-a", "--format", "json"]).ok().json().as_array().unwrap().clone()
    }

    /// The first object that `inspect` prints.
    pub fn inspect(&self, name: &str) -> serde_json::Value {
        self.coracle(["inspect", name]).ok().json()[0].clone()
    }

    /// What should be in the store for as long as a container or a command lives: containers, their names, unfinished files.
    pub fn leftovers(&self) -> Vec<PathBuf> {
        let directories = ["containers", "names", "tmp"].map(|name| self.store().join(name));
        let entries = directories.iter().filter_map(|path| fs::read_dir(path).ok()).flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Fails the test if anything is left of containers and commands when the next command has ended.
    #[track_caller]
    pub fn assert_clean(&self) {
        self.coracle(["ps", "-a"]).ok();
        assert_eq!(self.leftovers(), Vec::<PathBuf>::new());
    }
}

/// Arguments of `run --rm FLAGS --rootfs BUSYBOX:O COMMAND`; without a network unless the flags say something about it: most
/// tests need none, and what connects one takes its time.
pub fn busybox_arguments(flags: &[&str], command: &[&str]) -> Vec<String> {
    let rootfs = format!("{}:O", busybox_tree().display());
    let mut arguments: Vec<String> = ["run", "--rm"].into_iter().map(String::from).collect();
    let is_about_network =
        |flag: &&str| flag.starts_with("--net") || flag.starts_with("--publish") || flag.starts_with("-p");
    if !flags.iter().any(is_about_network) {
        arguments.extend(["--network", "none"].map(String::from));
    }
    arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
    arguments.extend(["--rootfs".to_owned(), rootfs]);
    arguments.extend(command.iter().map(|word| (*word).to_owned()));
    arguments
}

/// A started coracle. Killed when dropped.
pub struct Running {
    child: Child,
    seen: Vec<u8>,
}

impl Running {
    /// Starts `command` in a process group of its own, with pipes.
    pub fn start(command: &mut Command) -> Self {
        use std::os::unix::process::CommandExt;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let child = command.spawn().unwrap_or_else(|error| panic!("starting {command:?}: {error}"));
        output::set_nonblocking(child.stdout.as_ref().unwrap());
        output::set_nonblocking(child.stderr.as_ref().unwrap());
        Self { child, seen: Vec::new() }
    }

    /// Process id.
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Sends a signal to this one process.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// Waits until standard output has had `text`.
    pub fn expect(&mut self, text: &str) {
        use std::io::Read;
        let deadline = Instant::now() + LIMIT;
        loop {
            let mut buffer = [0; 4096];
            match self.child.stdout.as_mut().unwrap().read(&mut buffer) {
                Ok(count) if count > 0 => self.seen.extend_from_slice(&buffer[..count]),
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}"),
            }
            if String::from_utf8_lossy(&self.seen).contains(text) {
                return;
            }
            if Instant::now() > deadline || self.child.try_wait().unwrap().is_some() {
                let mut errors = Vec::new();
                let _ = self.child.stderr.as_mut().unwrap().read_to_end(&mut errors);
                let (seen, errors) = (String::from_utf8_lossy(&self.seen), String::from_utf8_lossy(&errors));
                panic!("expected {text:?} on standard output; saw {seen:?}; standard error: {errors}");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// What [`Running::expect`] has seen of standard output.
    pub fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    /// Writes to its standard input.
    pub fn write(&mut self, bytes: &[u8]) {
        self.child.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// Waits for its end. What [`Running::expect`] saw is part of the output.
    pub fn wait(mut self) -> Output {
        let mut output = output::collect(&mut self.child, &[], LIMIT);
        let rest = std::mem::take(&mut output.stdout);
        output.stdout = std::mem::take(&mut self.seen);
        output.stdout.extend(rest);
        output
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A container made by `run -d`. Removed when dropped.
pub struct Detached<'a> {
    lab: &'a Lab,
    /// Its full id.
    pub id: String,
}

impl<'a> Detached<'a> {
    /// `run -d FLAGS` of the busybox tree.
    pub fn start(lab: &'a Lab, flags: &[&str], command: &[&str]) -> Self {
        let mut arguments = busybox_arguments(flags, command);
        arguments[1] = "-d".to_owned();
        let id = lab.coracle(&arguments).ok().text();
        Self { lab, id }
    }

    /// Process id of its first process, in our pid namespace.
    pub fn pid(&self) -> i32 {
        let pid = self.lab.inspect(&self.id)["State"]["Pid"].as_i64().unwrap();
        i32::try_from(pid).unwrap()
    }
}

impl Drop for Detached<'_> {
    fn drop(&mut self) {
        let _ = output::run(&mut self.lab.command(["rm", "-f", &self.id]), &[], LIMIT);
    }
}

/// A directory that nothing may change, and what it looked like.
pub struct Canary {
    path: PathBuf,
    before: String,
}

impl Canary {
    /// Remembers everything about `path`.
    pub fn watch(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let before = Self::look(&path);
        Self { path, before }
    }

    fn look(path: &Path) -> String {
        let script = r#"find "$1" -printf '%p %y %m %U %G %s %T@ %n %l\n' | sort; find "$1" -type f -exec sha256sum {} + | sort"#;
        let output = Command::new("/bin/sh").args(["-c", script, "sh"]).arg(path).output().unwrap();
        assert!(output.status.success(), "looking at {}", path.display());
        String::from_utf8(output.stdout).unwrap()
    }

    /// Fails if anything is different now.
    pub fn assert_unchanged(&self) {
        assert_eq!(self.before, Self::look(&self.path), "{} was changed", self.path.display());
    }
}
