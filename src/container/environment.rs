//! The container's environment: built from empty, never from ours (SECURITY.md R6).

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::request::{EnvSetting, ProcessRequest};
use crate::host::env;
use crate::name::process::merge::expand;

/// `PATH` where the image has none.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An environment under construction: names in order of first appearance, later values win.
#[derive(Debug, Default)]
pub struct Environment(Vec<(String, OsString)>);

/// The settings with nothing left to be taken from our own environment.
pub fn settled(settings: &[EnvSetting]) -> Vec<EnvSetting> {
    let mut environment = Environment::default();
    environment.add_settings(settings);
    environment.0.into_iter().map(|(name, value)| EnvSetting::Set { name, value }).collect()
}

impl Environment {
    /// Sets `name`.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value.into(),
            None => self.0.push((name.to_owned(), value.into())),
        }
    }

    /// Sets `name` unless it is set.
    pub fn set_default(&mut self, name: &str, value: impl Into<OsString>) {
        if self.get(name).is_none() {
            self.set(name, value);
        }
    }

    /// Takes these away.
    pub fn remove(&mut self, names: &[String]) {
        self.0.retain(|(name, _)| !names.contains(name));
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_os_str())
    }

    /// Adds an image's entries. One without `=` is dropped: it must never stand for our own value (CVE-2026-57231).
    pub fn add_image(&mut self, entries: &[String]) {
        for (name, value) in entries.iter().filter_map(|entry| entry.split_once('=')) {
            if !name.is_empty() && !value.contains('\0') {
                self.set(name, value);
            }
        }
    }

    /// Adds what the user asked for.
    pub fn add_settings(&mut self, settings: &[EnvSetting]) {
        for setting in settings {
            match setting {
                EnvSetting::Set { name, value } => self.set(name, value.clone()),
                EnvSetting::Import(name) => {
                    if let Some(value) = env::get_named(name) {
                        self.set(name, value);
                    }
                }
                EnvSetting::ImportPrefix(prefix) => self.import_prefix(prefix),
            }
        }
    }

    fn import_prefix(&mut self, prefix: &str) {
        let mut matching: Vec<_> = env::all()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with(prefix))
            .collect();
        matching.sort();
        for (name, value) in matching {
            self.set(&name, value);
        }
    }

    /// Changes what is there, as `--env-merge`, `--unsetenv` and `--unsetenv-all` say.
    pub fn rework(&mut self, request: &ProcessRequest) {
        for merge in &request.merges {
            if self.get(&merge.name).is_some() {
                let value = expand(&merge.text, |name| {
                    self.get(name).map(|value| value.to_string_lossy().into_owned()).unwrap_or_default()
                });
                self.set(&merge.name, value);
            }
        }
        self.0.retain(|(name, _)| !request.unset_all && !request.unset.contains(name));
    }

    /// `NAME=value` entries.
    pub fn entries(&self) -> impl Iterator<Item = OsString> {
        self.0.iter().map(|(name, value)| OsString::from_vec([name.as_bytes(), b"=", value.as_bytes()].concat()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(environment: &Environment) -> Vec<String> {
        environment.entries().map(|entry| entry.into_string().unwrap()).collect()
    }

    #[test]
    fn later_values_win_and_bare_names_of_images_are_dropped() {
        let mut environment = Environment::default();
        environment.add_image(&["A=1".into(), "HOME".into(), "=x".into(), "B=a=b".into(), "A=2".into()]);
        environment.set_default("A", "3");
        environment.set_default("C", "4");
        environment.add_settings(&[
            EnvSetting::Set { name: "B".into(), value: "5".into() },
            EnvSetting::Import("CORACLE_TEST_SURELY_UNSET".into()),
        ]);
        assert_eq!(entries(&environment), ["A=2", "B=5", "C=4"]);
    }
}
