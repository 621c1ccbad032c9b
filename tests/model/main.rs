//! Random verbs on a handful of containers, from one process and from several at once, against an oracle that knows nothing
//! but what each verb does to a name and a state.
//!
//! Each outcome (exit code, stable error code, what is told) and the containers that `ps` shows afterwards must be explained by
//! an order of the verbs' atomic steps in which each step comes between its verb's beginning and end: exactly, and from one
//! round to the next (`history::explain`). Two or more states can explain a round: all of them are kept.
//!
//! `CORACLE_MODEL_STEPS=5000 tests/run --test model` for more than the few seconds of an ordinary run; the seed is printed,
//! and `CORACLE_MODEL_SEED` repeats its verbs.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::disallowed_methods, reason = "the tests' environment is set by tests/run, not by coracle's user")]

#[path = "../support/mod.rs"]
mod support;

mod history;
mod oracle;
mod verb;

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use history::explain;
use oracle::State;
use support::wait_until;
use verb::{Name, Operation, Said, Verb, World};

/// Verbs of each test in an ordinary run.
const STEPS: u64 = 120;
/// Processes at once.
const WORKERS: usize = 4;
/// Verbs of each of them between two looks at all containers.
const VERBS: usize = 2;
/// How long verbs may stand still before somebody resumes, and then removes, what they may be waiting for.
const PATIENCE: Duration = Duration::from_millis(500);

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Numbers that a seed decides (SplitMix64).
struct Random(u64);

impl Random {
    /// Those of a test, whose seed is printed.
    #[allow(clippy::print_stdout, reason = "it is for the tester")]
    fn of_test() -> Self {
        let now = || std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
        let seed = setting("CORACLE_MODEL_SEED").unwrap_or_else(|| now().into());
        println!("CORACLE_MODEL_SEED={seed}");
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn one_of<T: Copy>(&mut self, things: &[T]) -> T {
        things[(self.next() % things.len() as u64) as usize]
    }

    fn verb(&mut self) -> Verb {
        let names: Vec<Name> = Name::all().collect();
        let (it, other) = (self.one_of(&names), self.one_of(&names));
        let make = [Verb::Create(it), Verb::Run(it), Verb::Run(it), Verb::RunOnce(it)];
        let live = [Verb::Start(it), Verb::Start(it), Verb::Stop(it), Verb::Restart(it), Verb::Kill(it)];
        let pause = [Verb::Pause(it), Verb::Unpause(it), Verb::Rename(it, other), Verb::Exec(it)];
        let look = [Verb::CopyOut(it), Verb::CopyIn(it), Verb::Commit(it), Verb::Inspect(it), Verb::List];
        let end = [Verb::Remove(it), Verb::RemoveAnyway(it), Verb::Wait(it)];
        self.one_of(&[&make[..], &live, &pause, &look, &end].concat())
    }
}

/// Fails the test unless what came of the operations has an explanation; the states that they may have left.
fn explained(before: &BTreeSet<State>, history: &[Operation]) -> BTreeSet<State> {
    let after = explain(before, history);
    let first = history.iter().map(|operation| operation.begun).min().unwrap();
    let tell = |operation: &Operation| {
        let at = |time: Instant| (time - first).as_secs_f64() * 1000.0;
        let Operation { verb, begun, ended, code, said, errors, .. } = operation;
        format!("{:8.1} {:8.1} ms  {verb:?}: {code} {said:?} {errors:?}\n", at(*begun), at(*ended))
    };
    let story: String = history.iter().map(tell).collect();
    assert!(!after.is_empty(), "no order of these explains what came of them:\n{story}before: {before:#?}");
    after
}

/// What is on the disk belongs to the containers that were listed.
fn assert_tidy(world: &World, listed: &Operation) {
    let Said::Rows(rows) = &listed.said else { panic!("not a list: {listed:?}") };
    let count = |name: &str| fs::read_dir(world.lab.store().join(name)).unwrap().count();
    assert_eq!((count("containers"), count("names")), (rows.len(), rows.len()), "{rows:?}");
    let processes = world.lab.root().join("runtime/coracle/containers");
    for entry in fs::read_dir(processes).into_iter().flatten() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let id = name.split('.').next().unwrap();
        assert!(world.lab.store().join("containers").join(id).exists(), "{name} is of a container that is gone");
    }
}

/// Nothing is left once the containers are removed: no process, no file.
fn assert_nothing_is_left(world: &World) {
    world.lab.coracle(["rm", "--force", "--all"]).ok();
    world.lab.assert_clean();
    let journal = fs::read_to_string(world.lab.root().join("runtime/coracle/events.jsonl")).unwrap();
    let event = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let id = |line: &str| event(line)["ID"].as_str().or(event(line)["id"].as_str()).map(|id| id[..12].to_owned());
    let mut marks: BTreeSet<String> = journal.lines().filter_map(id).collect();
    assert!(!marks.is_empty(), "the journal names no container");
    marks.insert(world.tag.clone());
    let is_ours = |line: &str| marks.iter().any(|mark| line.contains(mark));
    wait_until("no process is left", || !command_lines().iter().any(|line| is_ours(line)));
}

/// The command lines of all processes.
fn command_lines() -> Vec<String> {
    let lines = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let bytes = fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&bytes).replace('\0', " "))
    });
    lines.collect()
}

#[test]
fn one_after_the_other_verbs_do_what_the_oracle_says() {
    let (world, mut random) = (World::new(), Random::of_test());
    let mut states = BTreeSet::from([State::default()]);
    for _ in 0..setting("CORACLE_MODEL_STEPS").unwrap_or(STEPS) {
        // What never ends is for several at once.
        let verb = random.verb();
        if matches!(verb, Verb::Wait(_)) && explain(&states, &[told(verb, 0, "137")]).is_empty() {
            continue;
        }
        let history = [world.execute(verb), world.execute(Verb::List)];
        states = explained(&states, &history);
        assert_tidy(&world, &history[1]);
    }
    assert_nothing_is_left(&world);
}

/// The operations of a round: each worker's verbs one after the other, and those that keep them from waiting for ever.
fn round(world: &World, plans: &[Vec<Verb>]) -> Vec<Operation> {
    let (history, working) = (Mutex::new(Vec::new()), AtomicUsize::new(plans.len()));
    let execute = |verb| {
        let operation = world.execute(verb);
        history.lock().unwrap().push(operation);
    };
    std::thread::scope(|scope| {
        for plan in plans {
            let (execute, working) = (&execute, &working);
            scope.spawn(move || {
                plan.iter().for_each(|verb| execute(*verb));
                working.fetch_sub(1, Ordering::Relaxed);
            });
        }
        let mut helps = Name::all().map(Verb::Unpause).chain(Name::all().map(Verb::RemoveAnyway)).cycle();
        let mut last = Instant::now();
        while working.load(Ordering::Relaxed) > 0 {
            std::thread::sleep(Duration::from_millis(1));
            if last.elapsed() > PATIENCE {
                Name::all().for_each(|_| execute(helps.next().unwrap()));
                last = Instant::now();
            }
        }
    });
    history.into_inner().unwrap()
}

#[test]
fn of_several_at_once_some_order_explains_what_came() {
    let (world, mut random) = (World::new(), Random::of_test());
    let mut states = BTreeSet::from([State::default()]);
    for _ in 0..setting("CORACLE_MODEL_STEPS").unwrap_or(STEPS) / (WORKERS * VERBS) as u64 + 1 {
        let plans: Vec<Vec<Verb>> = (0..WORKERS).map(|_| (0..VERBS).map(|_| random.verb()).collect()).collect();
        let mut history = round(&world, &plans);
        history.push(world.execute(Verb::List));
        states = explained(&states, &history);
        assert_tidy(&world, &history[history.len() - 1]);
    }
    assert_nothing_is_left(&world);
}

/// An operation that never was, after all others that are told.
fn told(verb: Verb, code: i32, text: &str) -> Operation {
    let begun = Instant::now();
    let error = text.starts_with("E_").then(|| text.to_owned());
    let said = if error.is_some() { Said::Nothing } else { Said::Text(text.into()) };
    while Instant::now() == begun {}
    Operation { verb, begun, ended: Instant::now(), code, error, said, errors: String::new() }
}

fn listed(rows: &[(Name, &str)]) -> Operation {
    let row = |(name, state): &(Name, &str)| (*name, (*state).to_owned(), None);
    Operation { said: Said::Rows(rows.iter().map(row).collect()), ..told(Verb::List, 0, "") }
}

/// The same operations, as if all had been begun at once and had ended at once.
fn at_once(history: &[Operation]) -> Vec<Operation> {
    let (begun, ended) = (history[0].begun, history[history.len() - 1].ended);
    history.iter().map(|operation| Operation { begun, ended, ..operation.clone() }).collect()
}

#[test]
fn what_cannot_have_happened_is_not_explained() {
    let nothing = BTreeSet::from([State::default()]);
    let [a, b] = [Name(0), Name(1)];
    let is_possible = |history: &[Operation]| !explain(&nothing, history).is_empty();
    assert!(is_possible(&[told(Verb::Create(a), 0, ""), listed(&[(a, "created")])]));
    assert!(!is_possible(&[told(Verb::Create(a), 0, ""), listed(&[])]), "it was made");
    assert!(!is_possible(&[told(Verb::Create(a), 0, ""), listed(&[(a, "running")])]), "nobody started it");
    assert!(!is_possible(&[told(Verb::Create(a), 0, ""), told(Verb::Create(a), 0, "")]), "one name, two containers");
    let twice = [told(Verb::Create(a), 125, "E_EXISTS"), told(Verb::Create(a), 0, "")];
    assert!(!is_possible(&twice), "the first was refused before there was a second");
    assert!(is_possible(&at_once(&twice)));
    let removed = [told(Verb::Create(a), 0, ""), told(Verb::Remove(a), 0, ""), told(Verb::Remove(a), 0, "")];
    assert!(!is_possible(&at_once(&removed)), "one container was removed twice");
    let renamed =
        [told(Verb::Run(a), 0, ""), told(Verb::Rename(a, b), 0, ""), listed(&[(a, "running"), (b, "running")])];
    assert!(!is_possible(&at_once(&renamed)), "one container was shown twice");
    assert!(!is_possible(&[told(Verb::Run(a), 0, ""), told(Verb::Exec(a), 0, "T")]), "nobody paused it");
    assert!(!is_possible(&[told(Verb::Run(a), 0, ""), told(Verb::Stop(a), 0, ""), told(Verb::Exec(a), 0, "S")]));
    assert!(is_possible(&[told(Verb::Run(a), 0, ""), told(Verb::Stop(a), 0, ""), told(Verb::Wait(a), 0, "137")]));
    assert!(!is_possible(&[told(Verb::Run(a), 0, ""), told(Verb::Stop(a), 0, ""), told(Verb::Wait(a), 0, "0")]));
}
