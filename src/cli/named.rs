//! What verbs of networks, secrets and volumes have in common: things of the user's that have names.

use std::time::Duration;

use serde_json::Value;

use super::dispatch::Users;
use super::error;
use super::render::format::{Format, Header};
use super::render::output;
use super::rm::Removals;
use super::stop::patience;
use crate::failure::{EXIT_OWN_FAILURE, Failure};

/// What the exit status of `exists` says.
pub const EXISTS_EXIT_STATUS: &[(&str, &str)] = &[("0", "It exists."), ("1", "It does not."), ("125", "A failure.")];

/// What is done about what is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfMissing {
    /// It is a failure.
    Fail,
    /// It is none.
    Ignore,
}

/// Shows everything about `found` and about what has these names, as JSON or by the user's template. What cannot be shown is
/// reported, and the others are shown all the same.
pub fn inspect(
    format: Option<&str>,
    mut found: Vec<Value>,
    names: &[String],
    look_up: impl Fn(&str) -> Result<Value, Failure>,
) -> Result<u8, Failure> {
    let format = format.map(Format::parse).transpose()?.unwrap_or(Format::Json);
    let mut exit_code = 0;
    for name in names {
        match look_up(name) {
            Ok(shown) => found.push(shown),
            Err(failure) => {
                error::report(&failure);
                exit_code = EXIT_OWN_FAILURE;
            }
        }
    }
    output::write(&format.list(&found, &found, &[], Header::Shown)?)?;
    Ok(exit_code)
}

/// The exit status that says whether something was found.
pub fn exists<T>(found: Result<T, Failure>) -> Result<u8, Failure> {
    match found {
        Ok(_) => Ok(0),
        Err(failure) if failure.code() == "E_NOTFOUND" => Ok(1),
        Err(failure) => Err(failure),
    }
}

/// What `--force` means, and `--time` with it: who uses a thing is removed first, and that it is not there is no failure.
pub fn forced(force: bool, time: Option<i64>) -> (Users, IfMissing) {
    match force {
        true => (Users::Remove(patience(time).unwrap_or(Duration::ZERO)), IfMissing::Ignore),
        false => (Users::Spare, IfMissing::Fail),
    }
}

/// Removes what has these names, and prints what `remove` calls each.
pub fn remove(
    names: &[String],
    if_missing: IfMissing,
    remove: impl Fn(&str) -> Result<String, Failure>,
) -> Result<u8, Failure> {
    let mut removals = Removals::default();
    for name in names {
        match remove(name) {
            Ok(removed) => output::write(&format!("{removed}\n"))?,
            Err(failure) if failure.code() == "E_NOTFOUND" && if_missing == IfMissing::Ignore => {}
            Err(failure) => removals.failed(&failure),
        }
    }
    Ok(removals.exit_code())
}
