//! What is asked of coracle, and what came of it.

use std::time::Instant;

use crate::support::{Lab, Output, image};

/// One of a handful of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(pub usize);

/// All of them, but for what makes them this test's own.
const NAMES: [&str; 3] = ["a", "b", "c"];

impl Name {
    pub fn all() -> impl Iterator<Item = Self> + Clone {
        (0..NAMES.len()).map(Self)
    }
}

/// A command about containers. All of them run `sleep`, which as pid 1 is ended by SIGKILL alone, their stop signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Create(Name),
    /// `run -d`.
    Run(Name),
    /// `run --rm` of what ends at once.
    RunOnce(Name),
    Start(Name),
    Stop(Name),
    Restart(Name),
    Kill(Name),
    Remove(Name),
    /// `rm --force`.
    RemoveAnyway(Name),
    Pause(Name),
    Unpause(Name),
    Rename(Name, Name),
    /// Tells whether the container's first process stands still.
    Exec(Name),
    Wait(Name),
    CopyOut(Name),
    CopyIn(Name),
    Commit(Name),
    Inspect(Name),
    List,
}

/// A row of `ps -a`: name, state, exit code where it has ended.
pub type Row = (Name, String, Option<i32>);

/// What a command printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Nothing,
    Text(String),
    Rows(Vec<Row>),
}

/// A command that has ended.
#[derive(Clone, Debug)]
pub struct Operation {
    pub verb: Verb,
    pub begun: Instant,
    pub ended: Instant,
    pub code: i32,
    /// The stable code of what it said went wrong.
    pub error: Option<String>,
    pub said: Said,
    /// Standard error, for the tester.
    pub errors: String,
}

/// Where it all happens, and the number by which all its processes can be told from others.
pub struct World {
    pub lab: Lab,
    pub tag: String,
    image: String,
}

impl World {
    pub fn new() -> Self {
        let lab = Lab::new();
        lab.pull("busybox");
        lab.write("file", "copied");
        // `sleep` takes it for seconds: a year and more.
        Self { tag: format!("9{:07}", std::process::id()), image: image("busybox"), lab }
    }

    fn name(&self, name: Name) -> String {
        format!("{}-{}", NAMES[name.0], self.tag)
    }

    fn named(&self, text: &str) -> Name {
        let known = Name::all().find(|name| self.name(*name) == text);
        known.unwrap_or_else(|| panic!("a container has the name {text:?}, which nobody gave it"))
    }

    fn arguments(&self, verb: Verb) -> Vec<String> {
        let new = ["--stop-signal", "KILL", "--name"];
        let name = |name| self.name(name);
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let (image, tag) = (self.image.as_str(), self.tag.as_str());
        match verb {
            Verb::Create(it) => [words(&["create"]), words(&new), words(&[&name(it), image, "sleep", tag])].concat(),
            Verb::Run(it) => [words(&["run", "-d"]), words(&new), words(&[&name(it), image, "sleep", tag])].concat(),
            Verb::RunOnce(it) => words(&["run", "--rm", "--name", &name(it), image, "true"]),
            Verb::Start(it) => words(&["start", &name(it)]),
            Verb::Stop(it) => words(&["stop", &name(it)]),
            Verb::Restart(it) => words(&["restart", &name(it)]),
            Verb::Kill(it) => words(&["kill", &name(it)]),
            Verb::Remove(it) => words(&["rm", &name(it)]),
            Verb::RemoveAnyway(it) => words(&["rm", "--force", &name(it)]),
            Verb::Pause(it) => words(&["pause", &name(it)]),
            Verb::Unpause(it) => words(&["unpause", &name(it)]),
            Verb::Rename(it, new) => words(&["rename", &name(it), &name(new)]),
            Verb::Exec(it) => words(&["exec", &name(it), "sed", "-n", r"s/^State:\t\(.\).*/\1/p", "/proc/1/status"]),
            Verb::Wait(it) => words(&["wait", &name(it)]),
            Verb::CopyOut(it) => words(&["cp", &format!("{}:/etc/os-release", name(it)), "/dev/null"]),
            Verb::CopyIn(it) => words(&["cp", "file", &format!("{}:/copied", name(it))]),
            Verb::Commit(it) => words(&["commit", "-q", &name(it), "localhost/model"]),
            Verb::Inspect(it) => words(&["container", "inspect", "--format", "{{.State.Status}}", &name(it)]),
            Verb::List => words(&["ps", "-a", "--format", "json"]),
        }
    }

    /// Does it.
    pub fn execute(&self, verb: Verb) -> Operation {
        let begun = Instant::now();
        let output = self.lab.coracle(self.arguments(verb));
        let ended = Instant::now();
        assert!(!output.errors().contains("panicked"), "{output:?}");
        let (error, said) = (error_code(&output), self.said(verb, &output));
        Operation { verb, begun, ended, code: output.code, error, said, errors: output.errors() }
    }

    fn said(&self, verb: Verb, output: &Output) -> Said {
        match verb {
            Verb::Exec(_) | Verb::Wait(_) | Verb::Inspect(_) => Said::Text(output.text()),
            Verb::List => {
                let rows = output.ok().json();
                let row = |row: &serde_json::Value| {
                    let state = row["State"].as_str().unwrap().to_owned();
                    let code = (state == "exited").then(|| row["ExitCode"].as_i64().unwrap() as i32);
                    (self.named(row["Names"][0].as_str().unwrap()), state, code)
                };
                let mut rows: Vec<Row> = rows.as_array().unwrap().iter().map(row).collect();
                rows.sort();
                Said::Rows(rows)
            }
            _ => Said::Nothing,
        }
    }
}

fn error_code(output: &Output) -> Option<String> {
    let errors = output.errors();
    let (_, rest) = errors.rsplit_once(" [E_")?;
    Some(format!("E_{}", rest.split(']').next()?))
}
