//! How the ids of a container are made: chosen once, when it is made or started, because a system call filter is for good.

use super::table;
use crate::host::kernel::KernelVersion;
use crate::name::ids::IdsMode;

use crate::sys::process;

/// WAIT_KILLABLE_RECV: without it Go's programs never come to an end.
const LEAST_KERNEL: KernelVersion = KernelVersion { major: 5, minor: 19 };

/// How they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// Many ids of the caller's are the container's, by the kernel.
    Range,
    /// One id of the caller's is the container's user.
    Native,
    /// One id, and all others are virtual.
    Emulate,
    /// One id, and calls for others only seem to succeed.
    Fake,
}

impl Ids {
    /// The word for it.
    pub fn mode(self) -> IdsMode {
        match self {
            Self::Range => IdsMode::Range,
            Self::Native => IdsMode::Native,
            Self::Emulate => IdsMode::Emulate,
            Self::Fake => IdsMode::Fake,
        }
    }
}

/// What the choice depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whether the caller may map many ids.
    pub has_ranges: bool,
    /// Whether the container's user is 0.
    pub runs_as_root: bool,
    /// Whether its files are a directory of the caller's.
    pub is_directory: bool,
    /// Whether anybody but root owns something in the image, or has an account.
    pub has_others: bool,
    /// What keeps ids from being emulated here.
    pub obstacle: Option<&'static str>,
}

/// What was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// How they are made.
    pub ids: Ids,
    /// Why.
    pub reason: &'static str,
    /// What keeps ids from being emulated, where they would have been.
    pub obstacle: Option<&'static str>,
}

impl Choice {
    /// Why, in full.
    pub fn reason(&self) -> String {
        match self.obstacle {
            None => self.reason.into(),
            Some(obstacle) => format!("{}, but ids cannot be emulated here: {obstacle}", self.reason),
        }
    }
}

/// What keeps ids from being emulated here.
pub fn obstacle(kernel: KernelVersion) -> Option<&'static str> {
    let (soft, hard) = process::rlimit(table::RESOURCE).ok()?;
    match () {
        () if kernel < LEAST_KERNEL => Some("it takes Linux 5.19"),
        () if table::is_carried(soft) => Some("ids are emulated here already, which can be done once"),
        () if hard < table::LEAST_LIMIT => Some("the hard limit on file locks is too low (ulimit -H -x)"),
        () => None,
    }
}

/// What is chosen for an image of several users where nothing is asked for.
pub fn usual(kernel: KernelVersion, has_ranges: bool) -> Choice {
    let facts =
        Facts { has_ranges, runs_as_root: true, is_directory: false, has_others: true, obstacle: obstacle(kernel) };
    chosen(facts)
}

/// Why what was asked for cannot be had.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IdsError {
    /// Who has no privilege has one id.
    #[error("--ids=range: only root, or who has CAP_SETUID and CAP_SETGID, has more than one id to give")]
    NoRange,
    /// Something is missing.
    #[error("--ids=emulate: {0}")]
    NoEmulation(&'static str),
}

impl crate::failure::Explain for IdsError {
    fn code(&self) -> &'static str {
        "E_IDS"
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoRange => "leave --ids out: other ids are then emulated where the image has any".into(),
            Self::NoEmulation(_) => "--ids=native gives the container one id, --ids=fake pretends to change ids".into(),
        })
    }
}

/// Chooses.
pub fn choose(asked: IdsMode, facts: Facts) -> Result<Choice, IdsError> {
    let choice = |ids, reason| Ok(Choice { ids, reason, obstacle: None });
    const ASKED: &str = "asked for";
    match asked {
        IdsMode::Range if facts.has_ranges => choice(Ids::Range, ASKED),
        IdsMode::Range => Err(IdsError::NoRange),
        IdsMode::Native => choice(Ids::Native, ASKED),
        IdsMode::Fake => choice(Ids::Fake, ASKED),
        IdsMode::Emulate => match facts.obstacle {
            None => choice(Ids::Emulate, ASKED),
            Some(obstacle) => Err(IdsError::NoEmulation(obstacle)),
        },
        IdsMode::Auto => Ok(chosen(facts)),
    }
}

/// Chooses where nothing is asked for.
fn chosen(facts: Facts) -> Choice {
    let choice = |ids, reason| Choice { ids, reason, obstacle: None };
    const OTHERS: &str = "the image has other users than root";
    match facts {
        Facts { has_ranges: true, .. } => choice(Ids::Range, "the caller may map many ids"),
        Facts { runs_as_root: false, .. } => choice(Ids::Native, "the container's user is not root"),
        Facts { is_directory: true, .. } => {
            choice(Ids::Native, "its files are a directory of the caller's, where nothing is recorded unasked")
        }
        Facts { has_others: false, .. } => {
            choice(Ids::Native, "nobody but root owns anything in the image or has an account")
        }
        Facts { obstacle: None, .. } => choice(Ids::Emulate, OTHERS),
        Facts { obstacle, .. } => Choice { ids: Ids::Native, reason: OTHERS, obstacle },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: Facts =
        Facts { has_ranges: false, runs_as_root: true, is_directory: false, has_others: true, obstacle: None };

    fn auto(facts: Facts) -> Ids {
        choose(IdsMode::Auto, facts).unwrap().ids
    }

    #[test]
    fn what_needs_no_other_ids_gets_none() {
        assert_eq!(auto(DEBIAN), Ids::Emulate);
        assert_eq!(choose(IdsMode::Emulate, DEBIAN).map(|choice| choice.ids), Ok(Ids::Emulate));
        let nested = choose(IdsMode::Auto, Facts { obstacle: Some("no listener"), ..DEBIAN }).unwrap();
        assert_eq!(nested.ids, Ids::Native);
        assert!(nested.reason().ends_with("cannot be emulated here: no listener"));
        assert_eq!(auto(Facts { runs_as_root: false, ..DEBIAN }), Ids::Native);
        assert_eq!(auto(Facts { has_others: false, ..DEBIAN }), Ids::Native);
        assert_eq!(auto(Facts { is_directory: true, ..DEBIAN }), Ids::Native);
        assert_eq!(auto(Facts { has_ranges: true, ..DEBIAN }), Ids::Range);
    }

    #[test]
    fn what_is_asked_for_is_had_or_refused() {
        assert_eq!(choose(IdsMode::Range, DEBIAN), Err(IdsError::NoRange));
        let nested = Facts { obstacle: Some("no listener"), ..DEBIAN };
        assert_eq!(choose(IdsMode::Emulate, nested), Err(IdsError::NoEmulation("no listener")));
        for (asked, ids) in [(IdsMode::Native, Ids::Native), (IdsMode::Fake, Ids::Fake)] {
            assert_eq!(choose(asked, nested).map(|choice| choice.ids), Ok(ids));
        }
        let root = Facts { has_ranges: true, ..DEBIAN };
        assert_eq!(choose(IdsMode::Native, root).map(|choice| choice.ids), Ok(Ids::Native));
    }
}
