//! What the verbs do, one after the other: a container is a name and a state.
//!
//! A verb is a few atomic steps: it finds out which container a name means, and then does something with that one. Of several
//! verbs at once, the steps may come in any order, but none before its verb was begun or after it has ended.

use std::collections::{BTreeMap, BTreeSet};

use crate::verb::{Name, Operation, Row, Said, Verb};

/// What a container does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// Made, and never started.
    Created,
    /// Being started by somebody: others wait for the end of that.
    Creating,
    Running,
    Paused,
    /// Killed, and not gone yet; whether it was paused.
    Dying(bool),
    Exited(i32),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Container {
    name: Name,
    status: Status,
    /// Counts what has happened to it, so that whoever looks twice knows whether anything has.
    changes: u32,
    /// Whether it ends by itself, and is gone then.
    once: bool,
    /// How it ended last.
    code: Option<i32>,
}

/// All containers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct State {
    containers: BTreeMap<usize, Container>,
    /// How those that are gone ended.
    gone: BTreeMap<usize, Option<i32>>,
    made: usize,
}

/// How far a verb has come.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    Begun,
    /// It knows which container is meant.
    Found(usize),
    /// It starts a container.
    Starting(usize),
    /// It has ended the container, and will start it.
    Restarting(usize),
    /// It does something in or with a container that had changed so often.
    Using(usize, u32),
    /// It lists: what there was, what of that it has met, which of its rows these were.
    Listing(BTreeSet<usize>, BTreeSet<usize>, BTreeSet<usize>),
    Done,
}

/// A state and a phase that may come next.
type Step = (State, Phase);

impl State {
    /// The same state as any other in which the same can happen from now on.
    pub fn settled(&self) -> Self {
        let mut containers: Vec<_> = self.containers.values().cloned().collect();
        containers.sort_by_key(|container| container.name);
        containers.iter_mut().for_each(|container| container.changes = 0);
        let made = containers.len();
        Self { containers: containers.into_iter().enumerate().collect(), gone: BTreeMap::new(), made }
    }

    fn find(&self, name: Name) -> Option<usize> {
        self.containers.iter().find(|(_, container)| container.name == name).map(|(id, _)| *id)
    }

    fn with(&self, id: usize, status: Status) -> Self {
        let mut next = self.clone();
        if let Some(container) = next.containers.get_mut(&id) {
            container.status = status;
            container.changes += 1;
        }
        next
    }

    fn made(&self, name: Name, status: Status, once: bool) -> (Self, usize) {
        let (mut next, id) = (self.clone(), self.made);
        next.made += 1;
        next.containers.insert(id, Container { name, status, changes: 0, once, code: None });
        (next, id)
    }

    fn removed(&self, id: usize) -> Self {
        let mut next = self.clone();
        let code = next.containers.remove(&id).and_then(|container| container.code);
        next.gone.insert(id, code);
        next
    }

    fn ended(&self, id: usize, code: i32) -> Self {
        let mut next = self.with(id, Status::Exited(code));
        let Some(container) = next.containers.get_mut(&id) else { return next };
        container.code = Some(code);
        if container.once { next.removed(id) } else { next }
    }

    /// What may happen without anybody's doing.
    pub fn by_itself(&self) -> Vec<Self> {
        let next = |(id, container): (&usize, &Container)| match container.status {
            // A signal may come when it has just ended by itself.
            Status::Dying(_) if container.once => vec![self.ended(*id, 137), self.ended(*id, 0)],
            Status::Dying(_) => vec![self.ended(*id, 137)],
            Status::Running if container.once => vec![self.ended(*id, 0)],
            _ => Vec::new(),
        };
        self.containers.iter().flat_map(next).collect()
    }
}

impl Container {
    /// How `ps` and `inspect` call it, in one of two words while it dies.
    fn is_shown_as(&self, word: &str) -> bool {
        match self.status {
            Status::Created | Status::Creating => word == "created",
            Status::Running => word == "running",
            Status::Paused => word == "paused",
            Status::Dying(was_paused) => word == "running" || (was_paused && word == "paused"),
            Status::Exited(_) => word == "exited",
        }
    }
}

impl Operation {
    fn is(&self, code: i32, error: Option<&str>) -> bool {
        self.code == code && self.error.as_deref() == error
    }

    /// Done, if that was its outcome.
    fn ends(&self, state: State, code: i32, error: Option<&str>) -> Vec<Step> {
        if self.is(code, error) { vec![(state, Phase::Done)] } else { Vec::new() }
    }

    fn text(&self) -> &str {
        if let Said::Text(text) = &self.said { text } else { "" }
    }

    fn subject(&self) -> Option<Name> {
        match self.verb {
            Verb::List => None,
            Verb::Create(name) | Verb::Run(name) | Verb::RunOnce(name) | Verb::Start(name) | Verb::Stop(name) => {
                Some(name)
            }
            Verb::Restart(name) | Verb::Kill(name) | Verb::Remove(name) | Verb::RemoveAnyway(name) => Some(name),
            Verb::Pause(name) | Verb::Unpause(name) | Verb::Rename(name, _) | Verb::Exec(name) => Some(name),
            Verb::Wait(name) | Verb::CopyOut(name) | Verb::CopyIn(name) | Verb::Commit(name) => Some(name),
            Verb::Inspect(name) => Some(name),
        }
    }

    /// What this operation may do next.
    pub fn steps(&self, state: &State, phase: &Phase) -> Vec<Step> {
        match phase {
            Phase::Begun => self.begin(state),
            Phase::Found(id) => match state.containers.get(id) {
                Some(container) => self.act(state, *id, container),
                None => self.miss(state, *id),
            },
            Phase::Starting(id) => match self.verb {
                Verb::RunOnce(_) if state.containers.get(id).is_some_and(|it| it.status == Status::Creating) => {
                    vec![(state.with(*id, Status::Running), phase.clone())]
                }
                // It stays until the end.
                Verb::RunOnce(_) => match state.gone.get(id) {
                    Some(Some(code)) => self.ends(state.clone(), *code, None),
                    _ => Vec::new(),
                },
                _ => self.ends(state.with(*id, Status::Running), 0, None),
            },
            Phase::Restarting(id) => self.start(state, *id),
            Phase::Using(id, changes) => self.finish(state, *id, *changes),
            Phase::Listing(first, met, rows) => self.list(state, first, met, rows),
            Phase::Done => Vec::new(),
        }
    }

    fn begin(&self, state: &State) -> Vec<Step> {
        let Some(name) = self.subject() else {
            let first = state.containers.keys().copied().collect();
            return vec![(state.clone(), Phase::Listing(first, BTreeSet::new(), BTreeSet::new()))];
        };
        let found = state.find(name);
        let make = |status, once| match found {
            Some(_) => (state.clone(), None),
            None => {
                let (next, id) = state.made(name, status, once);
                (next, Some(id))
            }
        };
        match self.verb {
            Verb::Create(_) => match make(Status::Created, false) {
                (state, Some(_)) => self.ends(state, 0, None),
                (state, None) => self.ends(state, 125, Some("E_EXISTS")),
            },
            Verb::Run(_) | Verb::RunOnce(_) => match make(Status::Creating, matches!(self.verb, Verb::RunOnce(_))) {
                (state, Some(id)) => vec![(state, Phase::Starting(id))],
                (state, None) => self.ends(state, 125, Some("E_EXISTS")),
            },
            _ => match found {
                Some(id) => vec![(state.clone(), Phase::Found(id))],
                None => self.unknown(state),
            },
        }
    }

    /// There is no such container.
    fn unknown(&self, state: &State) -> Vec<Step> {
        match self.verb {
            Verb::Remove(_) => self.ends(state.clone(), 1, Some("E_NOTFOUND")),
            Verb::RemoveAnyway(_) => self.ends(state.clone(), 0, None),
            _ => self.ends(state.clone(), 125, Some("E_NOTFOUND")),
        }
    }

    /// The container that was found is gone.
    fn miss(&self, state: &State, id: usize) -> Vec<Step> {
        let mut steps = self.unknown(state);
        match self.verb {
            // It has ended.
            Verb::Stop(_) => steps.extend(self.ends(state.clone(), 0, None)),
            Verb::Kill(_) | Verb::Exec(_) | Verb::Pause(_) | Verb::Unpause(_) => {
                steps.extend(self.ends(state.clone(), 125, Some("E_STATE")));
            }
            Verb::Wait(_) => {
                let code = state.gone.get(&id).copied().flatten().unwrap_or(-1);
                steps.extend(self.tells_code(state, code));
            }
            Verb::CopyIn(_) | Verb::CopyOut(_) | Verb::Commit(_) => steps.extend(self.fails(state)),
            _ => {}
        }
        steps
    }

    fn tells_code(&self, state: &State, code: i32) -> Vec<Step> {
        if self.text() == code.to_string() { self.ends(state.clone(), 0, None) } else { Vec::new() }
    }

    /// Done, if it failed and said why.
    fn fails(&self, state: &State) -> Vec<Step> {
        if self.code == 125 && self.error.is_some() { vec![(state.clone(), Phase::Done)] } else { Vec::new() }
    }

    fn start(&self, state: &State, id: usize) -> Vec<Step> {
        match state.containers.get(&id).map(|container| container.status) {
            None => self.ends(state.clone(), 125, Some("E_NOTFOUND")),
            Some(Status::Creating) => Vec::new(),
            Some(Status::Created | Status::Exited(_)) => vec![(state.with(id, Status::Creating), Phase::Starting(id))],
            Some(Status::Running | Status::Paused | Status::Dying(_)) => self.ends(state.clone(), 0, None),
        }
    }

    fn act(&self, state: &State, id: usize, container: &Container) -> Vec<Step> {
        let same = || state.clone();
        let refused = || self.ends(same(), 125, Some("E_STATE"));
        match (self.verb, container.status) {
            (Verb::Inspect(_), _) if container.is_shown_as(self.text()) => self.ends(same(), 0, None),
            (Verb::Inspect(_), _) => Vec::new(),
            (Verb::Rename(_, new), _) => match state.find(new) {
                Some(_) => self.ends(same(), 125, Some("E_EXISTS")),
                None => {
                    let mut next = state.with(id, container.status);
                    next.containers.insert(id, Container { name: new, ..container.clone() });
                    self.ends(next, 0, None)
                }
            },
            (Verb::Exec(_), Status::Running | Status::Dying(_)) => vec![(same(), Phase::Using(id, container.changes))],
            (
                Verb::Exec(_) | Verb::Pause(_),
                Status::Created | Status::Creating | Status::Exited(_) | Status::Paused,
            ) => refused(),
            (Verb::Pause(_), Status::Running) => {
                let next = state.with(id, Status::Paused);
                vec![(next, Phase::Using(id, container.changes + 1))]
            }
            (Verb::Pause(_), Status::Dying(_)) => {
                let next = state.with(id, Status::Dying(true));
                [self.ends(next, 0, None), refused()].concat()
            }
            (Verb::Unpause(_), Status::Paused) => self.ends(state.with(id, Status::Running), 0, None),
            (Verb::Unpause(_), Status::Dying(true)) => [self.ends(same(), 0, None), refused()].concat(),
            (Verb::Unpause(_), _) => refused(),
            // Whatever else is asked waits until it is started.
            (_, Status::Creating) => Vec::new(),
            (Verb::Start(_), _) => self.start(state, id),
            (Verb::Wait(_), Status::Exited(code)) => self.tells_code(state, code),
            (Verb::Wait(_), _) => Vec::new(),
            (Verb::CopyIn(_) | Verb::CopyOut(_) | Verb::Commit(_), _) => {
                vec![(same(), Phase::Using(id, container.changes))]
            }
            (Verb::Kill(_), Status::Running) => self.ends(state.with(id, Status::Dying(false)), 0, None),
            (Verb::Kill(_), Status::Paused) => self.ends(state.with(id, Status::Dying(true)), 0, None),
            (Verb::Kill(_), Status::Dying(_)) => [self.ends(same(), 0, None), refused()].concat(),
            (Verb::Kill(_), _) => refused(),
            (Verb::Stop(_), Status::Created | Status::Exited(_)) => self.ends(same(), 0, None),
            (Verb::Stop(_), _) => self.ends(state.ended(id, 137), 0, None),
            (Verb::Restart(_), Status::Created | Status::Exited(_)) => self.start(state, id),
            (Verb::Restart(_), _) => vec![(state.ended(id, 137), Phase::Restarting(id))],
            (Verb::Remove(_) | Verb::RemoveAnyway(_), Status::Created | Status::Exited(_)) => {
                self.ends(state.removed(id), 0, None)
            }
            (Verb::Remove(_), _) => self.ends(same(), 2, Some("E_BUSY")),
            (Verb::RemoveAnyway(_), _) => vec![(state.ended(id, 137), Phase::Found(id))],
            (Verb::Create(_) | Verb::Run(_) | Verb::RunOnce(_) | Verb::List, _) => Vec::new(),
        }
    }

    /// The end of what takes its time with a container. If anything has happened to that meanwhile, it may have failed for it.
    fn finish(&self, state: &State, id: usize, changes: u32) -> Vec<Step> {
        let container = state.containers.get(&id);
        let is_same = container.is_some_and(|now| now.changes == changes && !matches!(now.status, Status::Dying(_)));
        let may_fail = !is_same;
        match self.verb {
            Verb::Exec(_) if self.code == 0 => match self.text() {
                // It stands still while the container is paused, and at no other time.
                "T" if !may_fail => Vec::new(),
                _ => self.ends(state.clone(), 0, None),
            },
            Verb::Exec(_) | Verb::Pause(_) if may_fail => {
                let ended = if self.is(137, None) { vec![(state.clone(), Phase::Done)] } else { Vec::new() };
                [ended, self.ends(state.clone(), 125, Some("E_STATE")), self.ends(state.clone(), 0, None)].concat()
            }
            _ if may_fail => [self.ends(state.clone(), 0, None), self.fails(state)].concat(),
            _ => self.ends(state.clone(), 0, None),
        }
    }

    /// Each row was true when it was looked at; what was there from the beginning to the end is shown.
    fn list(&self, state: &State, first: &BTreeSet<usize>, met: &BTreeSet<usize>, rows: &BTreeSet<usize>) -> Vec<Step> {
        let Said::Rows(said) = &self.said else { return Vec::new() };
        let is_true = |row: &Row, container: &Container| {
            let code = if let Status::Exited(code) = container.status { Some(code) } else { None };
            row.0 == container.name && container.is_shown_as(&row.1) && row.2 == code
        };
        let unmet = state.containers.iter().filter(|(id, _)| !met.contains(id));
        let mut steps = Vec::new();
        for (id, container) in unmet.clone() {
            for (number, _) in
                said.iter().enumerate().filter(|(number, row)| !rows.contains(number) && is_true(row, container))
            {
                let (mut met, mut rows) = (met.clone(), rows.clone());
                met.insert(*id);
                rows.insert(number);
                steps.push((state.clone(), Phase::Listing(first.clone(), met, rows)));
            }
        }
        if rows.len() == said.len() && unmet.clone().all(|(id, _)| !first.contains(id)) {
            steps.extend(self.ends(state.clone(), 0, None));
        }
        steps
    }
}
