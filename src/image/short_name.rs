//! Short names: which complete names are tried for one, and what becomes of the user's choice.

use super::progress::Progress;
use crate::host::config::registries::{self, Choice, Registries, RegistriesRefused};
use crate::name::reference::Reference;

/// The names to try for what a user typed.
pub(super) struct Names {
    /// In this order; never empty.
    pub(super) references: Vec<Reference>,
    /// The short name, if the user chose its meaning just now.
    chosen_for: Option<Reference>,
}

/// What `reference` may stand for. Asks the user where several registries may have it. No configuration is read for a
/// name that is complete.
pub(super) fn resolve(reference: &Reference, progress: &dyn Progress) -> Result<Names, RegistriesRefused> {
    if !reference.is_short() {
        return Ok(Names { references: vec![reference.clone()], chosen_for: None });
    }
    let configured = Registries::discover();
    configured.all_were_read()?;
    let short = reference.short_name();
    let candidates = configured.candidates(reference, &|warning| progress.message(warning));
    let candidates = candidates.ok_or_else(|| RegistriesRefused::NoCandidate(short.into()))?;
    let references = candidates.references;
    if candidates.choice == Choice::First {
        return Ok(Names { references, chosen_for: None });
    }
    match (progress.choose(short, &references), candidates.choice) {
        (Chosen::One(position), _) if position < references.len() => {
            let chosen = references.into_iter().nth(position).into_iter().collect();
            Ok(Names { references: chosen, chosen_for: Some(reference.clone()) })
        }
        (Chosen::CannotAsk, Choice::Offered) => Ok(Names { references, chosen_for: None }),
        _ => Err(RegistriesRefused::Ambiguous { short: short.into(), candidates: references }),
    }
}

impl Names {
    /// Notes the user's choice, now that it has turned out to be a good one.
    pub(super) fn remember(&self, progress: &dyn Progress) {
        let (Some(short), Some(reference)) = (&self.chosen_for, self.references.first()) else { return };
        if let Err(broken) = registries::remember(short, reference) {
            progress.message(&format!("what {short:?} stands for is not remembered: {broken}"));
        }
    }
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// The one at this position, counted from 0.
    One(usize),
    /// None of them.
    Nothing,
    /// Nobody is there who could be asked.
    CannotAsk,
}
