//! Options that few command lines have.
//!
//! To describe an option to the parser takes longer than to read it, and `run` has well over a hundred. So a command line is
//! first read by a parser that does not know the rare ones ([`without`]); what that one refuses is read by the whole one.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};

use clap::{ArgMatches, Args, Command, FromArgMatches};

thread_local! {
    static LEFT_OUT: Cell<bool> = const { Cell::new(false) };
}

/// What `parse` does with parsers that do not know rare options.
pub fn without<T>(parse: impl FnOnce() -> T) -> T {
    LEFT_OUT.set(true);
    let parsed = parse();
    LEFT_OUT.set(false);
    parsed
}

/// Rare options, flattened into others; none of them flattened into these, since then clap's group of them is empty. What they are
/// where none of them is given is their `Default`.
#[derive(Clone, Debug, Default)]
pub struct Rare<T>(T);

impl<T> Rare<T> {
    /// The options.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Rare<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Rare<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Args + Default> Args for Rare<T> {
    fn augment_args(command: Command) -> Command {
        if LEFT_OUT.get() { command } else { T::augment_args(command) }
    }

    fn augment_args_for_update(command: Command) -> Command {
        T::augment_args_for_update(command)
    }
}

impl<T: Args + Default> FromArgMatches for Rare<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Self::from_arg_matches_mut(&mut matches.clone())
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, clap::Error> {
        let is_given = T::group_id().is_some_and(|id| matches.try_contains_id(id.as_str()).unwrap_or(false));
        Ok(Self(if is_given { T::from_arg_matches_mut(matches)? } else { T::default() }))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::log_flags::LogFlags;
    use crate::cli::registry_flags::PlatformFlags;
    use crate::cli::run::devices::DeviceFlags;
    use crate::cli::run::health::HealthFlags;
    use crate::cli::run::process::ProcessFlags;
    use crate::cli::run::refused::RefusedFlags;
    use crate::cli::run::resources::{LimitFlags, ResourceFlags};

    fn check<T: Args + Default + std::fmt::Debug>() {
        let command = T::augment_args(Command::new("any"));
        let of_groups: Vec<_> = command.get_groups().flat_map(clap::ArgGroup::get_args).collect();
        assert_eq!(of_groups.len(), command.get_arguments().count(), "{of_groups:?}");
        assert_eq!(command.get_groups().map(clap::ArgGroup::get_id).collect::<Vec<_>>(), [&T::group_id().unwrap()]);
        let parsed = T::from_arg_matches(&command.get_matches_from(["any"])).unwrap();
        assert_eq!(format!("{parsed:?}"), format!("{:?}", T::default()));
    }

    #[test]
    fn what_is_left_out_is_what_the_parser_makes_of_nothing() {
        check::<HealthFlags>();
        check::<ProcessFlags>();
        check::<DeviceFlags>();
        check::<RefusedFlags>();
        check::<LimitFlags>();
        check::<ResourceFlags>();
        check::<LogFlags>();
        check::<PlatformFlags>();
    }

    #[test]
    fn what_is_given_is_known_to_the_whole_parser_only() {
        type Options = Rare<HealthFlags>;
        let line = ["any", "--health-cmd", "true"];
        let brief = without(|| Options::augment_args(Command::new("any"))).try_get_matches_from(line);
        assert!(brief.is_err());
        let whole = Options::augment_args(Command::new("any")).try_get_matches_from(line).unwrap();
        assert!(format!("{:?}", Options::from_arg_matches(&whole).unwrap()).contains("true"));
        let none = without(|| Options::augment_args(Command::new("any"))).try_get_matches_from(["any"]).unwrap();
        assert_eq!(format!("{:?}", Options::from_arg_matches(&none).unwrap()), format!("{:?}", Options::default()));
    }
}
