//! `storage.conf` (containers-storage.conf(5)), `STORAGE_DRIVER` and `STORAGE_OPTS`: how root file systems are to be made.
//!
//! The store is our own, so most of what the file says is about another one. What it wishes for root file systems counts; the
//! rest is listed by `info`, with the reason for which it has no effect. No file stops a command.

use std::path::{Path, PathBuf};

use super::{Broken, parse_toml, read_if_there, user_directory};
use crate::host::env;
use crate::name::byte_size::parse_bytes;
use crate::name::storage_driver::Driver;

/// What is wished for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorageConf {
    /// The file that was read, if there is one.
    pub file: Option<PathBuf>,
    /// What in it cannot be used.
    pub broken: Vec<Broken>,
    /// What is tried first.
    pub first: Option<Driver>,
    /// Bytes that a container may write.
    pub size: Option<u64>,
    /// Keys without effect, and why.
    pub without_effect: Vec<(String, &'static str)>,
}

/// An option that was given and cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionRefused {
    /// It is not one.
    #[error("{0:?} is no storage option: expected KEY=VALUE")]
    Malformed(String),
    /// It means nothing here.
    #[error("the storage option {0:?} is not supported: {1}")]
    WithoutEffect(String, &'static str),
    /// Its value is none.
    #[error("the storage option {0:?}: {1}")]
    Value(String, String),
}

impl crate::failure::Explain for OptionRefused {
    fn code(&self) -> &'static str {
        match self {
            Self::WithoutEffect(..) => "E_UNSUPPORTED",
            _ => "E_CONFIG",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(
            "size=SIZE bounds what a container may write, overlay.mount_program=PROGRAM asks for the FUSE overlay"
                .into(),
        )
    }
}

const OWN_STORE: &str = "coracle has a store of its own: see --root and --runroot";
const OTHER_DRIVER: &str = "coracle does not have that driver";
const OTHER_STORES: &str = "images of other stores are not seen: `coracle pull containers-storage:NAME` copies one";
const OWN_PULLS: &str = "coracle decides by itself how layers are fetched and kept";
const OWN_IDS: &str = "ids are chosen by --ids, and no user is looked up for them";

/// Settings of which nothing is lost by leaving them out, or that are not ours to follow: the beginning of the key, and why.
const WITHOUT_EFFECT: [(&str, &str); 24] = [
    ("graphroot", OWN_STORE),
    ("runroot", OWN_STORE),
    ("imagestore", OWN_STORE),
    ("rootless_storage_path", OWN_STORE),
    ("transient_store", "a container lives as long as its record; `run --rm` keeps nothing"),
    ("options.additionalimagestores", OTHER_STORES),
    ("options.additionallayerstores", OTHER_STORES),
    ("options.pull_options", OWN_PULLS),
    ("options.remap-", OWN_IDS),
    ("options.root-auto-userns-user", OWN_IDS),
    ("options.auto-userns-", OWN_IDS),
    ("options.ignore_chown_errors", "owners are recorded, whoever they are"),
    ("options.overlay.ignore_chown_errors", "owners are recorded, whoever they are"),
    ("options.vfs.ignore_chown_errors", "owners are recorded, whoever they are"),
    ("options.disable-volatile", "only what `run --rm` writes is not synced"),
    (
        "options.overlay.mountopt",
        "root file systems are mounted nodev, and by options of the kernel's that cannot be chosen",
    ),
    ("options.mountopt", "root file systems are mounted nodev, and by options of the kernel's that cannot be chosen"),
    ("options.overlay.inodes", "the number of files cannot be bounded"),
    (
        "options.overlay.force_mask",
        "the store is its user's alone, and shown to containers with the image's permissions",
    ),
    ("options.overlay.skip_mount_home", "nothing of the store is mounted on the host"),
    ("options.overlay.use_composefs", OWN_PULLS),
    ("options.btrfs", OTHER_DRIVER),
    ("options.zfs", OTHER_DRIVER),
    ("options.thinpool", OTHER_DRIVER),
];

/// What of a driver's name is wished for.
fn driver_of(name: &str) -> Option<Driver> {
    name.parse().ok()
}

fn why_without_effect(key: &str) -> Option<&'static str> {
    WITHOUT_EFFECT.iter().find(|(begin, _)| key.starts_with(begin)).map(|&(_, why)| why)
}

impl StorageConf {
    /// What the user's file says, else the machine's, and then `STORAGE_OPTS`.
    pub fn read() -> Self {
        let mut conf = Self::default();
        let wanted = env::get(&env::CONTAINERS_STORAGE_CONF).map(PathBuf::from);
        let usual = ["/etc/containers", "/usr/share/containers"].map(PathBuf::from);
        let usual = user_directory().into_iter().chain(usual).map(|directory| directory.join("storage.conf"));
        let is_wanted = wanted.is_some();
        for path in wanted.into_iter().chain(usual.filter(|_| !is_wanted)) {
            match read_if_there(&path) {
                Ok(None) if is_wanted => {
                    conf.broken.push(Broken::unreadable(&path, &std::io::ErrorKind::NotFound.into()));
                }
                Ok(None) => continue,
                Ok(Some(text)) => conf.take(&path, &text),
                Err(broken) => conf.broken.push(broken),
            }
            break;
        }
        conf
    }

    fn take(&mut self, path: &Path, text: &str) {
        self.file = Some(path.into());
        let document: toml::Table = match parse_toml(path, text) {
            Ok(document) => document,
            Err(broken) => return self.broken.push(broken),
        };
        let Some(storage) = document.get("storage") else { return };
        let mut settings = Vec::new();
        flatten(storage, String::new(), &mut settings);
        let text_of = |wanted: &str| {
            let found = settings.iter().find(|(key, _)| key == wanted);
            found.and_then(|(_, value)| value.as_str()).filter(|text| !text.is_empty())
        };
        let broken = |why: String| Broken { path: path.into(), place: None, why };
        // A driver of others is no error: the file is read by others, too.
        let named = text_of("driver").and_then(driver_of);
        let among = settings.iter().find(|(key, _)| key == "driver_priority").and_then(|(_, value)| value.as_array());
        let among = among.into_iter().flatten().filter_map(toml::Value::as_str).find_map(driver_of);
        self.first = named.or(among);
        if self.first.unwrap_or_default() == Driver::Overlay && text_of("options.overlay.mount_program").is_some() {
            self.first = Some(Driver::Fuse);
        }
        let has_size = ["options.overlay.size", "options.vfs.size", "options.size"].into_iter().find_map(text_of);
        match has_size.map(parse_bytes).transpose() {
            Ok(size) => self.size = size,
            Err(error) => self.broken.push(broken(format!("[storage.options] size: {error}"))),
        }
        for (key, value) in &settings {
            let is_taken = match key.as_str() {
                "driver" => named.is_some(),
                "driver_priority" => among.is_some(),
                "options.overlay.mount_program" | "options.overlay.size" | "options.vfs.size" | "options.size" => true,
                "options.mount_program" => false,
                _ => false,
            };
            let says_nothing = match value {
                toml::Value::String(text) => text.is_empty(),
                toml::Value::Array(list) => list.is_empty(),
                toml::Value::Boolean(flag) => !flag,
                _ => false,
            };
            if !is_taken && !says_nothing {
                let unknown = if key == "driver" { OTHER_DRIVER } else { "coracle does not know it" };
                self.without_effect.push((format!("storage.{key}"), why_without_effect(key).unwrap_or(unknown)));
            }
        }
    }

    /// Takes options as of `--storage-opt` and `STORAGE_OPTS` in the place of those of the file.
    pub fn take_options<'a>(&mut self, options: impl Iterator<Item = &'a str>) -> Result<(), OptionRefused> {
        let mut fresh = Self { first: self.first, ..Self::default() };
        let mut is_any = false;
        for option in options {
            is_any = true;
            let (key, value) = option.split_once('=').ok_or_else(|| OptionRefused::Malformed(option.into()))?;
            let key = key.trim().to_ascii_lowercase();
            match key.as_str() {
                "size" | ".size" | "overlay.size" | "overlay2.size" | "vfs.size" => {
                    let size = parse_bytes(value).map_err(|error| OptionRefused::Value(key, error.to_string()))?;
                    fresh.size = Some(size);
                }
                "overlay.mount_program" | ".mount_program" => fresh.first = Some(Driver::Fuse),
                // Always so.
                "overlay.ignore_chown_errors" | ".ignore_chown_errors" | "vfs.ignore_chown_errors" => {}
                "overlay.mountopt" | ".mountopt" if value.split(',').all(|option| option == "nodev") => {}
                _ => {
                    let why = why_without_effect(&format!("options.{key}")).or_else(|| why_without_effect(&key));
                    let why = why.or_else(|| {
                        key.split_once('.').and_then(|(_, key)| why_without_effect(&format!("options.{key}")))
                    });
                    return Err(OptionRefused::WithoutEffect(key, why.unwrap_or("coracle does not know it")));
                }
            }
        }
        if is_any {
            (self.first, self.size) = (fresh.first, fresh.size);
        }
        Ok(())
    }
}

/// All settings below a table, by keys with dots.
fn flatten(value: &toml::Value, key: String, into: &mut Vec<(String, toml::Value)>) {
    match value {
        toml::Value::Table(table) if key != "options.pull_options" => {
            for (name, below) in table {
                flatten(below, if key.is_empty() { name.clone() } else { format!("{key}.{name}") }, into);
            }
        }
        other => into.push((key, other.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(text: &str) -> StorageConf {
        let mut conf = StorageConf::default();
        conf.take(Path::new("/s.conf"), text);
        conf
    }

    #[test]
    fn drivers_and_sizes_are_taken() {
        assert_eq!(conf("").first, None);
        assert_eq!(conf("[storage]\ndriver = \"overlay\"").first, Some(Driver::Overlay));
        assert_eq!(conf("[storage]\ndriver = \"vfs\"").first, Some(Driver::Copy));
        assert_eq!(conf("[storage]\ndriver_priority = [\"btrfs\", \"vfs\"]").first, Some(Driver::Copy));
        let text = "[storage]\ndriver = \"overlay\"\n[storage.options.overlay]\nmount_program = \"/usr/bin/fuse-overlayfs\"\nsize = \"10m\"";
        let found = conf(text);
        assert_eq!((found.first, found.size, found.without_effect), (Some(Driver::Fuse), Some(10 << 20), Vec::new()));
    }

    #[test]
    fn what_has_no_effect_is_listed_with_a_reason() {
        let text = "[storage]\ndriver = \"zfs\"\ngraphroot = \"/x\"\nrunroot = \"\"\n[storage.options]\n\
                    additionalimagestores = [\"/y\"]\npull_options = { enable_partial_images = \"true\" }\n[storage.options.overlay]\ninodes = \"5\"\ncolour = \"red\"";
        let found = conf(text);
        assert_eq!(found.first, None);
        let keys: Vec<_> = found.without_effect.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "storage.driver",
                "storage.graphroot",
                "storage.options.additionalimagestores",
                "storage.options.overlay.colour",
                "storage.options.overlay.inodes",
                "storage.options.pull_options"
            ]
        );
        let broken = conf("[storage]\n[storage.options]\nsize = \"many\"");
        assert_eq!((broken.size, broken.broken.len()), (None, 1));
        assert_eq!(conf("[storage\n").broken.len(), 1);
    }

    #[test]
    fn options_given_replace_those_of_the_file() {
        let mut conf = conf("[storage]\ndriver = \"vfs\"\n[storage.options]\nsize = \"1g\"");
        conf.take_options([].into_iter()).unwrap();
        assert_eq!((conf.first, conf.size), (Some(Driver::Copy), Some(1 << 30)));
        conf.take_options(["overlay.size=5m", "overlay.mountopt=nodev"].into_iter()).unwrap();
        assert_eq!((conf.first, conf.size), (Some(Driver::Copy), Some(5 << 20)));
        conf.take_options(["overlay.mount_program=/usr/bin/fuse-overlayfs"].into_iter()).unwrap();
        assert_eq!((conf.first, conf.size), (Some(Driver::Fuse), None));
        for option in
            ["size", "size=x", "overlay.imagestore=/x", "overlay.inodes=3", "overlay.mountopt=volatile", "zfs.fsname=a"]
        {
            assert!(conf.take_options([option].into_iter()).is_err(), "{option}");
        }
    }
}
