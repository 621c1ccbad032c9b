//! `containers.conf` (containers.conf(5)): what containers are by default.
//!
//! All files are merged, later ones win. What cannot be used in one is left out, and told: no file stops a command. What has
//! no meaning here is told, too.

mod keys;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ipnet::Ipv4Net;

pub use self::keys::{Key, Kind};
use super::{Broken, parse_toml, read_if_there, user_directory};
use crate::failure::Explain;
use crate::host::env;

/// What the files say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainersConf {
    /// Files that were read, in order.
    pub files: Vec<PathBuf>,
    /// What in them cannot be used.
    pub broken: Vec<Broken>,
    /// What in them has no meaning here, and why: a line for each.
    pub unused: Vec<String>,
    values: BTreeMap<&'static str, Value>,
}

/// Subnets of one size, of which networks get one each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubnetPool {
    /// All of their addresses.
    pub base: Ipv4Net,
    /// The length of their prefixes; at least that of the base.
    pub size: u8,
}

/// A value that means nothing.
#[derive(Debug, thiserror::Error)]
#[error("containers.conf: {key}: {value:?} is not {expected}")]
pub struct Unusable {
    key: String,
    value: String,
    expected: &'static str,
    files: Vec<PathBuf>,
}

impl Explain for Unusable {
    fn code(&self) -> &'static str {
        "E_CONFIG"
    }

    fn hint(&self) -> Option<String> {
        let files: Vec<_> = self.files.iter().map(|file| file.display().to_string()).collect();
        Some(format!("correct it in {}", files.join(", ")))
    }
}

/// The value of a key.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Flag(bool),
    Number(i64),
    Text(String),
    /// A list, and whether what later files have is added to it.
    List(Vec<String>, bool),
    Table(BTreeMap<String, String>),
    Pools(Vec<SubnetPool>),
}

/// Directories of files for everybody, weakest first.
const SYSTEM: [&str; 2] = ["/usr/share/containers", "/etc/containers"];

/// What was read.
static HERE: OnceLock<ContainersConf> = OnceLock::new();

/// A module that is not there.
#[derive(Debug, thiserror::Error)]
#[error("reading the module {} of containers.conf: there is none", module.display())]
pub struct NoModule {
    module: PathBuf,
    directories: Vec<PathBuf>,
}

impl Explain for NoModule {
    fn code(&self) -> &'static str {
        "E_NOTFOUND"
    }

    fn hint(&self) -> Option<String> {
        let directories: Vec<_> = self.directories.iter().map(|path| path.display().to_string()).collect();
        Some(format!("modules are files in {}, or named by absolute paths", directories.join(", ")))
    }
}

fn find_module(module: &Path) -> Result<PathBuf, NoModule> {
    let directories = user_directory().into_iter().chain(SYSTEM.iter().rev().map(PathBuf::from));
    let directories: Vec<_> = directories.map(|directory| directory.join("containers.conf.modules")).collect();
    let found = directories.iter().map(|directory| directory.join(module)).find(|path| path.is_file());
    found.ok_or_else(|| NoModule { module: module.to_owned(), directories })
}

impl ContainersConf {
    /// What the files of this machine and user say, read once in the life of a process.
    pub fn here() -> &'static Self {
        HERE.get_or_init(|| Self::read(&[]))
    }

    /// The same, with these modules for the life of the process: nobody has asked before. Relative ones are looked for in the
    /// directories `containers.conf.modules`, strongest first.
    pub fn with_modules(modules: &[PathBuf]) -> Result<&'static Self, NoModule> {
        let files = modules.iter().map(|module| find_module(module)).collect::<Result<Vec<_>, _>>()?;
        Ok(HERE.get_or_init(|| Self::read(&files)))
    }

    /// Costs a few attempts to open what is not there.
    fn read(modules: &[PathBuf]) -> Self {
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
        modules.iter().for_each(|file| conf.take(file));
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
                Ok(value) => self.set(key.id, value),
                Err(expected) => self.broken.push(misplaced(path, text, key, expected)),
            }
        }
        for (section, table) in &document {
            for (name, value) in table.as_table().into_iter().flatten().filter(|(_, value)| says_something(value)) {
                self.unused.extend(without_use(section, name, value).map(|why| format!("{}: {why}", path.display())));
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
            (Some(Value::Table(mut former)), Value::Table(more)) => {
                former.extend(more);
                Value::Table(former)
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

    /// A key with a table; none of its rows if it is absent.
    pub fn table(&self, name: &str) -> BTreeMap<String, String> {
        match self.values.get(name) {
            Some(Value::Table(table)) => table.clone(),
            _ => BTreeMap::new(),
        }
    }

    /// A key with pools of subnets; empty if it is absent.
    pub fn pools(&self, name: &str) -> &[SubnetPool] {
        match self.values.get(name) {
            Some(Value::Pools(pools)) => pools,
            _ => &[],
        }
    }

    /// A key with a text that means something to `parse`.
    pub fn parsed<T>(
        &self,
        name: &'static str,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Unusable> {
        let Some(value) = self.text(name) else { return Ok(None) };
        match parse(&value) {
            Some(parsed) => Ok(Some(parsed)),
            None => Err(self.unusable(name, &value, expected)),
        }
    }

    /// The error about a value of a key.
    pub fn unusable(&self, name: &'static str, value: &str, expected: &'static str) -> Unusable {
        let value = value.chars().take(160).collect();
        Unusable { key: full_name(name), value, expected, files: self.files.clone() }
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
            (Kind::Variables, toml::Value::Array(items)) => match list(items)? {
                Self::List(texts, _) if !texts.iter().all(|text| is_variable(text)) => Err(VARIABLES),
                list => Ok(list),
            },
            (Kind::Variables, _) => Err(VARIABLES),
            (Kind::Table, toml::Value::Table(rows)) => {
                let text = |value: &toml::Value| match value {
                    toml::Value::String(text) => Some(text.clone()),
                    // As podman's volume_plugins may be written: several places, of which the first counts.
                    toml::Value::Array(texts) => Some(texts.first()?.as_str()?.to_owned()),
                    _ => None,
                };
                let rows = rows.iter().map(|(key, value)| Some((key.clone(), text(value)?)));
                rows.collect::<Option<_>>().map(Self::Table).ok_or("a table of texts")
            }
            (Kind::Table, _) => Err("a table of texts"),
            (Kind::Pools, toml::Value::Array(pools)) => {
                let pools = pools.iter().map(pool).collect::<Option<_>>();
                pools.map(Self::Pools).ok_or(POOLS)
            }
            (Kind::Pools, _) => Err(POOLS),
        }
    }
}

const VARIABLES: &str = "a list of variables like \"TMPDIR=/var/tmp\"";

/// Whether a text is `NAME=VALUE`.
fn is_variable(text: &str) -> bool {
    !text.contains('\0') && text.split_once('=').is_some_and(|(name, _)| !name.is_empty())
}

const POOLS: &str = "a list of subnets like {base = \"10.89.0.0/16\", size = 24}";

fn pool(value: &toml::Value) -> Option<SubnetPool> {
    let base: Ipv4Net = value.get("base")?.as_str()?.parse().ok()?;
    let size = u8::try_from(value.get("size")?.as_integer()?).ok()?;
    (base.prefix_len()..=30).contains(&size).then_some(SubnetPool { base: base.trunc(), size })
}

/// With the table that it is in.
fn full_name(id: &str) -> String {
    let key = keys::ALL.iter().find(|key| key.id == id);
    key.map_or_else(|| id.to_owned(), |key| format!("{}.{}", key.section, key.name))
}

/// Whether a value is not empty.
fn says_something(value: &toml::Value) -> bool {
    match value {
        toml::Value::Table(table) => !table.is_empty(),
        toml::Value::Array(items) => !items.is_empty(),
        toml::Value::String(text) => !text.is_empty(),
        _ => true,
    }
}

/// A simple value as it is written, without quotation marks; nothing for others.
fn shown(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Boolean(on) => on.to_string(),
        toml::Value::Integer(number) => number.to_string(),
        _ => String::new(),
    }
}

/// Why a key has no meaning here, if it has none.
fn without_use(section: &str, name: &str, value: &toml::Value) -> Option<String> {
    if keys::ALL.iter().any(|key| (key.section, key.name) == (section, name)) {
        return None;
    }
    let is_it =
        |unused: &&keys::Unused| unused.section == section && (unused.names.is_empty() || unused.names.contains(&name));
    match keys::UNUSED.iter().find(is_it) {
        Some(unused) if !unused.usual.is_empty() && shown(value) == unused.usual => None,
        Some(unused) => Some(format!("{section}.{name} has no meaning here: {}", unused.why)),
        None => Some(format!("{section}.{name} is not known")),
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
    fn what_has_no_meaning_here_is_told_with_the_reason() {
        let conf = merged(&["[containers]\nlabel = true\nunknown = 3\n[engine]\nruntime = \"crun\"\nremote = false\n\
                            image_default_transport = \"docker://\"\n[engine.runtimes]\n[machine]\ncpus = 2\n"]);
        let told: Vec<&str> = conf.unused.iter().map(|line| line.split(": ").nth(1).unwrap()).collect();
        let none = "has no meaning here";
        let expected = [
            format!("containers.label {none}"),
            "containers.unknown is not known".to_owned(),
            format!("engine.runtime {none}"),
            format!("machine.cpus {none}"),
        ];
        assert_eq!(told, expected);
        assert!(conf.is_empty() && conf.broken.is_empty());
        for (index, key) in keys::ALL.iter().enumerate() {
            assert!(keys::ALL[..index].iter().all(|other| other.id != key.id), "{}", key.id);
        }
    }

    #[test]
    fn tables_and_pools() {
        let conf = merged(&[
            "[engine]\nenv = [\"A=b\"]\n[engine.volume_plugins]\none = \"/run/one.sock\"\n[secrets]\ndriver = \"shell\"\n\
             [secrets.opts]\nstore = \"cat\"\n",
            "[network]\ndefault_subnet_pools = [{\"base\" = \"10.99.1.2/16\", \"size\" = 25}]\n\
             [engine.volume_plugins]\ntwo = [\"/run/two.sock\"]\n",
        ]);
        assert_eq!(conf.table("volume_plugins").len(), 2);
        assert_eq!(conf.table("volume_plugins")["two"], "/run/two.sock");
        assert_eq!((conf.list("engine.env"), conf.list("env")), (&["A=b".to_owned()][..], &[][..]));
        assert_eq!(conf.text("secrets.driver").as_deref(), Some("shell"));
        assert_eq!(conf.table("secrets.opts")["store"], "cat");
        assert_eq!(
            conf.pools("default_subnet_pools"),
            [SubnetPool { base: "10.99.0.0/16".parse().unwrap(), size: 25 }]
        );
        for text in
            ["default_subnet_pools = [{base = \"10.0.0.0/24\", size = 16}]", "default_subnet_pools = [\"10.0.0.0/8\"]"]
        {
            assert_eq!(merged(&[&format!("[network]\n{text}\n")]).broken.len(), 1, "{text}");
        }
        let odd = merged(&["[network]\ndefault_subnet = \"x\"\n"]);
        let error = odd.parsed("default_subnet", "a subnet", |text| text.parse::<Ipv4Net>().ok()).unwrap_err();
        assert_eq!(error.to_string(), "containers.conf: network.default_subnet: \"x\" is not a subnet");
    }

    #[test]
    fn comments_are_nothing() {
        assert_eq!(merged(&["# all\n[containers]\n  #umask = \"7\"\n\n[engine]\n"]), ContainersConf::default());
    }
}
