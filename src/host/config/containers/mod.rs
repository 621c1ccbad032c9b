//! `containers.conf` (containers.conf(5)): what containers are by default.
//!
//! All files are merged, later ones win. What cannot be used in one is left out, and told: no file stops a command.

mod keys;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use self::keys::{Key, Kind};
use super::{Broken, parse_toml, read_if_there, user_directory};
use crate::host::env;

/// What the files say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainersConf {
    /// Files that were read, in order.
    pub files: Vec<PathBuf>,
    /// What in them cannot be used.
    pub broken: Vec<Broken>,
    values: BTreeMap<&'static str, Value>,
}

/// The value of a key.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Flag(bool),
    Number(i64),
    Text(String),
    /// A list, and whether what later files have is added to it.
    List(Vec<String>, bool),
}

/// Directories of files for everybody, weakest first.
const SYSTEM: [&str; 2] = ["/usr/share/containers", "/etc/containers"];

impl ContainersConf {
    /// The files of this machine and user. Costs a few attempts to open what is not there.
    pub fn read() -> Self {
        let mut conf = Self::default();
        let given = |variable| env::get(variable).map(PathBuf::from);
        match given(&env::CONTAINERS_CONF) {
            Some(file) => conf.take_wanted(&file),
            None => {
                for directory in SYSTEM.iter().map(PathBuf::from).chain(user_directory()) {
                    conf.take(&directory.join("containers.conf"));
                    for file in drop_ins(&directory.join("containers.conf.d")) {
                        conf.take(&file);
                    }
                }
            }
        }
        if let Some(file) = given(&env::CONTAINERS_CONF_OVERRIDE) {
            conf.take_wanted(&file);
        }
        conf
    }

    /// A file that is named by a variable: that it is not there is told.
    fn take_wanted(&mut self, path: &Path) {
        match path.exists() {
            true => self.take(path),
            false => self.broken.push(Broken::unreadable(path, &std::io::ErrorKind::NotFound.into())),
        }
    }

    fn take(&mut self, path: &Path) {
        match read_if_there(path) {
            Ok(None) => {}
            Ok(Some(text)) => {
                self.files.push(path.into());
                self.merge(path, &text);
            }
            Err(broken) => self.broken.push(broken),
        }
    }

    fn merge(&mut self, path: &Path, text: &str) {
        // Most of what distributions install is comments, which are read several times faster by us than by the parser of TOML.
        let said = without_comments(text);
        if said.lines().map(str::trim_start).all(|line| line.is_empty() || line.starts_with('[')) {
            return;
        }
        // Only in a text of several lines a line may begin with # and be none.
        let is_simple = !said.contains("\"\"\"") && !said.contains("'''");
        let document = is_simple.then(|| toml::from_str::<toml::Table>(&said).ok()).flatten();
        // The places of what is wrong are those of the whole text.
        let document = match document.map_or_else(|| parse_toml(path, text), Ok) {
            Ok(document) => document,
            Err(broken) => return self.broken.push(broken),
        };
        for key in keys::ALL {
            let Some(value) = document.get(key.section).and_then(|section| section.get(key.name)) else { continue };
            match Value::of(key.kind, value) {
                Ok(value) => self.set(key.name, value),
                Err(expected) => self.broken.push(misplaced(path, text, key, expected)),
            }
        }
    }

    fn set(&mut self, name: &'static str, value: Value) {
        let value = match (self.values.remove(name), value) {
            (Some(Value::List(mut former, true)), Value::List(more, _)) => {
                former.extend(more);
                Value::List(former, true)
            }
            // What a file says with append=true is added to what is there, and later files are, too.
            (Some(Value::List(mut former, false)), Value::List(more, true)) => {
                former.extend(more);
                Value::List(former, true)
            }
            (_, value) => value,
        };
        self.values.insert(name, value);
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// A key that is on or off.
    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.values.get(name) {
            Some(Value::Flag(on)) => Some(*on),
            _ => None,
        }
    }

    /// A key with a number or a text, as text; none if that is empty.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.values.get(name) {
            Some(Value::Text(text)) if !text.is_empty() => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        }
    }

    /// A key with a list; empty if it is absent.
    pub fn list(&self, name: &str) -> &[String] {
        match self.values.get(name) {
            Some(Value::List(list, _)) => list,
            _ => &[],
        }
    }

    /// Whether a key is there at all: an empty list says something, too.
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }
}

impl Value {
    fn of(kind: Kind, value: &toml::Value) -> Result<Self, &'static str> {
        match (kind, value) {
            (Kind::Flag, toml::Value::Boolean(on)) => Ok(Self::Flag(*on)),
            (Kind::Flag, _) => Err("true or false"),
            (Kind::Number, toml::Value::Integer(number)) => Ok(Self::Number(*number)),
            (Kind::Number, _) => Err("a number"),
            (Kind::Text, toml::Value::String(text)) => Ok(Self::Text(text.clone())),
            // A size may be written as a number.
            (Kind::Text, toml::Value::Integer(number)) => Ok(Self::Number(*number)),
            (Kind::Text, _) => Err("a text in quotes"),
            (Kind::List, toml::Value::Array(items)) => list(items),
            (Kind::List, _) => Err("a list of texts"),
        }
    }
}

/// A list, with `{append=true}` among its items or not.
fn list(items: &[toml::Value]) -> Result<Value, &'static str> {
    let (mut texts, mut appends) = (Vec::new(), false);
    for item in items {
        match item {
            toml::Value::String(text) => texts.push(text.clone()),
            toml::Value::Table(table) => match table.get("append") {
                Some(toml::Value::Boolean(on)) if table.len() == 1 => appends = *on,
                _ => return Err("a list of texts, with {append=true} at most beside them"),
            },
            _ => return Err("a list of texts"),
        }
    }
    Ok(Value::List(texts, appends))
}

/// A value of the wrong kind, where it is: the parser does not tell.
fn misplaced(path: &Path, text: &str, key: &Key, expected: &str) -> Broken {
    let is_its =
        |line: &str| line.trim_start().strip_prefix(key.name).is_some_and(|rest| rest.trim_start().starts_with('='));
    let byte = text.lines().take_while(|line| !is_its(line)).map(|line| line.len() + 1).sum();
    Broken::at(path, text, byte, format!("{}.{} is not {expected}: it is ignored", key.section, key.name))
}

/// The files of a directory, by name.
fn drop_ins(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|ending| ending == "conf")).collect();
    files.sort();
    files
}

/// The lines that do not begin with `#`.
fn without_comments(text: &str) -> String {
    let mut said = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest.as_bytes()).map_or(rest.len(), |at| at + 1);
        let (line, after) = rest.split_at(end);
        if !line.trim_ascii_start().starts_with('#') {
            said.push_str(line);
        }
        rest = after;
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(texts: &[&str]) -> ContainersConf {
        let mut conf = ContainersConf::default();
        for text in texts {
            conf.merge(Path::new("/x.conf"), text);
        }
        conf
    }

    #[test]
    fn later_files_win_and_lists_grow_where_they_say_so() {
        let conf = merged(&[
            "[containers]\numask=\"0027\"\nenv=[\"A=1\"]\npids_limit=10\ninit=true\n[engine]\nstop_timeout=3\n",
            "[containers]\numask=\"0077\"\nenv=[\"B=2\", {append=true}]\n",
            "[containers]\nenv=[\"C=3\"]\n",
        ]);
        assert_eq!((conf.text("umask").as_deref(), conf.text("pids_limit").as_deref()), (Some("0077"), Some("10")));
        assert_eq!((conf.flag("init"), conf.text("stop_timeout").as_deref()), (Some(true), Some("3")));
        assert_eq!(conf.list("env"), ["A=1", "B=2", "C=3"]);
        assert_eq!(merged(&["[containers]\nenv=[\"A=1\"]", "[containers]\nenv=[\"B=2\"]"]).list("env"), ["B=2"]);
        assert!(conf.broken.is_empty() && conf.has("env") && !conf.has("tz"));
    }

    #[test]
    fn what_is_broken_is_told_with_its_place_and_left_out() {
        let conf = merged(&["[containers]\numask = \"7\"\n  init = \"yes\"\ntz = \"UTC\"\nunknown = 3\n"]);
        assert_eq!(conf.text("tz").as_deref(), Some("UTC"));
        assert_eq!(conf.broken.len(), 1);
        assert_eq!(conf.broken[0].place, Some((3, 1)));
        assert!(conf.broken[0].why.contains("containers.init"), "{:?}", conf.broken);
        let conf = merged(&["[containers]\numask = \"7\"\ntz = \n"]);
        assert_eq!((conf.broken.len(), conf.broken[0].place.map(|place| place.0)), (1, Some(3)));
        assert!(conf.is_empty());
    }

    #[test]
    fn comments_are_nothing() {
        assert_eq!(merged(&["# all\n[containers]\n  #umask = \"7\"\n\n[engine]\n"]), ContainersConf::default());
    }
}
