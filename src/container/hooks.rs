//! OCI hooks: programs of the user's or the machine's that are executed at certain moments of a container's life, with its
//! state on standard input (OCI runtime specification, "Hooks"; oci-hooks(5)).
//!
//! They are executed by the monitor, as the user, in the host's namespaces. Those before the start run while the container is
//! ready, and its program waits: its namespaces and mounts are there, and its root directory is `/proc/PID/root`.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use regex_lite::Regex;
use serde::Deserialize;
use serde_json::json;

use super::devices;
use super::request::{DeviceRequest, Request};
use crate::failure::Failure;
use crate::oci::cdi;
use crate::state::layout::Layout;
use crate::state::schema::container::ContainerRecord;

/// Where hooks are looked for, if nothing else is said; one of a later directory replaces one of the same name.
const DIRECTORIES: &[&str] = &["/usr/share/containers/oci/hooks.d", "/etc/containers/oci/hooks.d"];

/// A description is a few lines.
const MAX_SIZE: u64 = 1 << 20;

/// When a hook is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Before the container's program is executed.
    BeforeStart,
    /// After it was.
    AfterStart,
    /// After it has ended.
    AfterEnd,
}

impl Stage {
    fn of(name: &str) -> Option<Self> {
        match name {
            "prestart" | "createRuntime" | "createContainer" => Some(Self::BeforeStart),
            "poststart" => Some(Self::AfterStart),
            "poststop" => Some(Self::AfterEnd),
            _ => None,
        }
    }
}

/// A program to be executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    stage: Stage,
    /// As the description calls it.
    stage_name: String,
    path: PathBuf,
    args: Vec<String>,
    env: Vec<String>,
    timeout: Option<Duration>,
}

/// The format 1.0.0 of a description (oci-hooks(5)).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    version: String,
    hook: Program,
    #[serde(default)]
    when: When,
    stages: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Program {
    path: String,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: Vec<String>,
    timeout: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct When {
    always: Option<bool>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    commands: Vec<String>,
    has_bind_mounts: Option<bool>,
}

/// What decides whether a hook is meant.
pub struct Facts<'a> {
    /// The program.
    pub command: &'a str,
    /// Annotations.
    pub annotations: &'a BTreeMap<String, String>,
    /// Whether the user mounts something of the host.
    pub has_bind_mounts: bool,
}

/// All hooks of a container: those that are meant, then those of its devices.
pub fn of(request: &Request, record: &ContainerRecord) -> Result<Vec<Hook>, Failure> {
    let process = &record.process;
    let facts = Facts {
        command: process.entrypoint.iter().chain(&process.command).next().map_or("", String::as_str),
        annotations: &annotations(record),
        has_bind_mounts: record.mounts.iter().any(|mount| mount.kind == "bind"),
    };
    let mut hooks = find(&request.hooks_dirs, &facts)?;
    if request.devices.iter().any(|device| !matches!(device, DeviceRequest::Path(_))) {
        hooks.extend(devices::resolve(request)?.hooks);
    }
    Ok(hooks)
}

/// Whether there are hooks of a stage.
pub fn has(hooks: &[Hook], stage: Stage) -> bool {
    hooks.iter().any(|hook| hook.stage == stage)
}

/// The hooks that are meant: those of these directories, or of the usual ones where there are none.
pub fn find(directories: &[PathBuf], facts: &Facts<'_>) -> Result<Vec<Hook>, Failure> {
    let usual: Vec<PathBuf> = DIRECTORIES.iter().map(PathBuf::from).collect();
    let is_asked_for = !directories.is_empty();
    let mut files: BTreeMap<std::ffi::OsString, PathBuf> = BTreeMap::new();
    for directory in if is_asked_for { directories } else { &usual } {
        let entries = match std::fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(cause) if !is_asked_for && cause.kind() == std::io::ErrorKind::NotFound => continue,
            Err(cause) => {
                let code = if cause.kind() == std::io::ErrorKind::NotFound { "E_NOTFOUND" } else { "E_DIR" };
                let failure = Failure::new(code, format!("reading the hooks in {}: {cause}", directory.display()));
                return Err(failure.with_hint("--hooks-dir names a directory with files like trace.json"));
            }
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_some_and(|extension| extension == "json") {
                files.insert(path.file_name().unwrap_or_default().to_owned(), path);
            }
        }
    }
    let mut hooks = Vec::new();
    for path in files.values() {
        hooks.extend(read(path, facts).map_err(|why| {
            let failure = Failure::new("E_CONFIG", format!("the hook {}: {why}", path.display()));
            failure.with_hint(
                r#"for example {"version":"1.0.0","hook":{"path":"/usr/bin/logger"},"when":{"always":true},"stages":["poststop"]}"#,
            )
        })?);
    }
    Ok(hooks)
}

fn read(path: &Path, facts: &Facts<'_>) -> Result<Vec<Hook>, String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(MAX_SIZE).read_to_string(&mut text).map_err(|error| error.to_string())?;
    let description: Description = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    if description.version != "1.0.0" {
        return Err(format!("its version is {:?}, and not 1.0.0", description.version));
    }
    if !description.when.matches(facts)? {
        return Ok(Vec::new());
    }
    let Program { path, args, env, timeout } = description.hook;
    description.stages.iter().map(|stage| Hook::new(stage, &path, &args, &env, timeout)).collect()
}

impl When {
    /// One of the conditions is enough (oci-hooks(5)).
    fn matches(&self, facts: &Facts<'_>) -> Result<bool, String> {
        let regex = |text: &str| Regex::new(text).map_err(|error| format!("{text:?} is no pattern: {error}"));
        let mut matches = self.always == Some(true) || self.has_bind_mounts == Some(true) && facts.has_bind_mounts;
        for (key, value) in &self.annotations {
            let (key, value) = (regex(key)?, regex(value)?);
            matches |= facts.annotations.iter().any(|(name, text)| key.is_match(name) && value.is_match(text));
        }
        for command in &self.commands {
            matches |= regex(command)?.is_match(facts.command);
        }
        Ok(matches)
    }
}

impl Hook {
    fn new(stage: &str, path: &str, args: &[String], env: &[String], timeout: Option<u64>) -> Result<Self, String> {
        if stage == "startContainer" {
            return Err(
                "a program of the image is not executed outside of the container's limits (startContainer)".into()
            );
        }
        let known = "prestart, createRuntime, createContainer, poststart or poststop";
        Ok(Self {
            stage: Stage::of(stage).ok_or_else(|| format!("{stage:?} is no stage: expected {known}"))?,
            stage_name: stage.to_owned(),
            path: Path::new(path)
                .is_absolute()
                .then(|| path.into())
                .ok_or_else(|| format!("{path:?} is not absolute"))?,
            args: args.to_vec(),
            env: env.to_vec(),
            timeout: timeout.filter(|&seconds| seconds > 0).map(Duration::from_secs),
        })
    }

    /// That of a specification of devices.
    pub fn of_cdi(hook: &cdi::Hook) -> Result<Self, String> {
        let made = Self::new(&hook.hook_name, &hook.path, &hook.args, &hook.env, hook.timeout);
        made.map_err(|why| format!("a hook that cannot be executed: {why}"))
    }
}

/// What hooks are told of a container: its state (OCI runtime specification, "State").
pub struct State<'a> {
    /// Where things are.
    pub layout: &'a Layout,
    /// The container.
    pub record: &'a ContainerRecord,
    /// Its process, outside; 0 if there is none.
    pub pid: i32,
}

/// Executes the hooks of a stage, in their order. The first that fails ends it.
pub fn run(hooks: &[Hook], stage: Stage, state: &State<'_>) -> Result<(), Failure> {
    let mut described = None;
    for hook in hooks.iter().filter(|hook| hook.stage == stage) {
        let text = match &mut described {
            Some(text) => text,
            none => none.insert(describe(state, stage)?),
        };
        hook.run(text).map_err(|why| {
            let what = format!("the hook {} ({}) {why}", hook.path.display(), hook.stage_name);
            Failure::new("E_HOOK", what).with_hint("the container is not started if a hook before its start fails")
        })?;
    }
    Ok(())
}

/// Writes the bundle that the state names, which says where the container's root is; the state.
fn describe(state: &State<'_>, stage: Stage) -> Result<String, Failure> {
    let failed = |cause: std::io::Error| Failure::new("E_IO", format!("telling hooks of the container: {cause}"));
    let bundle = state.layout.container_bundle(&state.record.id);
    let process = &state.record.process;
    let config = json!({
        "ociVersion": "1.2.0",
        "hostname": state.record.hostname,
        "root": { "path": format!("/proc/{}/root", state.pid), "readonly": state.record.read_only },
        "process": {
            "args": process.entrypoint.iter().chain(&process.command).collect::<Vec<_>>(),
            "env": process.env,
            "cwd": process.workdir,
            "user": { "uid": process.ids.0, "gid": process.ids.1 },
        },
        "annotations": annotations(state.record),
    });
    std::fs::create_dir_all(&bundle).map_err(failed)?;
    std::fs::write(bundle.join("config.json"), config.to_string()).map_err(failed)?;
    let status = match stage {
        Stage::BeforeStart => "created",
        Stage::AfterStart => "running",
        Stage::AfterEnd => "stopped",
    };
    let mut told = json!({
        "ociVersion": "1.2.0",
        "id": state.record.id.as_str(),
        "status": status,
        "bundle": bundle.display().to_string(),
        "annotations": annotations(state.record),
    });
    if state.pid > 0 {
        told["pid"] = json!(state.pid);
    }
    Ok(told.to_string())
}

/// What a hook may decide by: labels stand for annotations, as with podman's.
pub fn annotations(record: &ContainerRecord) -> BTreeMap<String, String> {
    record.labels.clone()
}

/// Between two looks at a hook that has a time limit.
const PAUSE: Duration = Duration::from_millis(5);

impl Hook {
    fn run(&self, state: &str) -> Result<(), String> {
        let mut command = Command::new(&self.path);
        // The first argument is the name, as for execve(2).
        command.args(self.args.iter().skip(1)).env_clear();
        if let Some(name) = self.args.first() {
            std::os::unix::process::CommandExt::arg0(&mut command, name);
        }
        command.envs(self.env.iter().filter_map(|variable| variable.split_once('=')));
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|cause| format!("cannot be executed: {cause}"))?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that does not read it does not need it.
            let _ = stdin.write_all(state.as_bytes());
        }
        if let Some(timeout) = self.timeout {
            await_end(&mut child, timeout)?;
        }
        let output = child.wait_with_output().map_err(|cause| format!("could not be waited for: {cause}"))?;
        let said: String = String::from_utf8_lossy(&output.stderr).trim().chars().take(400).collect();
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("has failed ({}): {said}", output.status)),
        }
    }
}

fn await_end(child: &mut Child, timeout: Duration) -> Result<(), String> {
    let deadline = Instant::now() + timeout;
    while let Ok(None) = child.try_wait() {
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("has not ended after {} seconds", timeout.as_secs()));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(annotations: &BTreeMap<String, String>) -> Facts<'_> {
        Facts { command: "/bin/sh", annotations, has_bind_mounts: true }
    }

    #[test]
    fn conditions() {
        let annotations = BTreeMap::from([("io.example.gpu".to_owned(), "yes".to_owned())]);
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.json");
        let hooks = |when: &str, stage: &str| {
            let text = format!(
                r#"{{"version":"1.0.0","hook":{{"path":"/x","args":["x","a"]}},"when":{when},"stages":["{stage}"]}}"#
            );
            std::fs::write(&path, text).unwrap();
            find(&[root.path().to_owned()], &facts(&annotations)).map(|hooks| hooks.len())
        };
        for (when, expected) in [
            (r#"{"always":true}"#, 1),
            (r#"{"always":false}"#, 0),
            (r#"{"commands":["^/bin/.*sh$"]}"#, 1),
            (r#"{"commands":["^/usr"]}"#, 0),
            (r#"{"hasBindMounts":true}"#, 1),
            (r#"{"annotations":{"gpu$":"^yes$"}}"#, 1),
            (r#"{"annotations":{"gpu$":"^no$"}}"#, 0),
        ] {
            assert_eq!(hooks(when, "prestart").unwrap(), expected, "{when}");
        }
        for (when, stage, part) in [
            (r#"{"commands":["("]}"#, "prestart", "no pattern"),
            (r#"{"sometimes":true}"#, "prestart", "sometimes"),
            (r#"{"always":true}"#, "later", "later"),
            (r#"{"always":true}"#, "startContainer", "startContainer"),
        ] {
            let failure = hooks(when, stage).unwrap_err();
            assert!(failure.to_string().contains(part) && failure.to_string().contains("a.json"), "{failure}");
        }
        assert_eq!(find(&["/no/such".into()], &facts(&annotations)).unwrap_err().code(), "E_NOTFOUND");
    }
}
