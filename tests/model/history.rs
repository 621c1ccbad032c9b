//! Whether what came of several operations at once can have come of their steps one after the other.

use std::collections::{BTreeSet, HashSet};

use crate::oracle::{Phase, State};
use crate::verb::Operation;

/// All states in which the operations, begun in one of `before`, may have left the containers: none if there is no order of
/// their steps in which each has the outcome that it had.
pub fn explain(before: &BTreeSet<State>, history: &[Operation]) -> BTreeSet<State> {
    let mut after = BTreeSet::new();
    let mut seen = HashSet::new();
    let begun = vec![Phase::Begun; history.len()];
    let mut pending: Vec<_> = before.iter().map(|state| (state.clone(), begun.clone())).collect();
    while let Some((state, phases)) = pending.pop() {
        if !seen.insert((state.clone(), phases.clone())) {
            continue;
        }
        if phases.iter().all(|phase| *phase == Phase::Done) {
            after.insert(state.settled());
        }
        pending.extend(state.by_itself().into_iter().map(|next| (next, phases.clone())));
        for (number, operation) in history.iter().enumerate() {
            if phases[number] == Phase::Begun && !may_begin(operation, history, &phases) {
                continue;
            }
            for (next, phase) in operation.steps(&state, &phases[number]) {
                let mut phases = phases.clone();
                phases[number] = phase;
                pending.push((next, phases));
            }
        }
    }
    after
}

/// What had ended before it was begun comes first.
fn may_begin(operation: &Operation, history: &[Operation], phases: &[Phase]) -> bool {
    let mut earlier = history.iter().zip(phases).filter(|(other, _)| other.ended < operation.begun);
    earlier.all(|(_, phase)| *phase == Phase::Done)
}
