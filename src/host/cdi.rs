//! Which devices the machine's and the user's specifications of the Container Device Interface know.

use std::path::{Path, PathBuf};

use super::config::containers::ContainersConf;
use super::env;
use crate::failure::Explain;
use crate::name::device::{CdiName, is_kind};
use crate::oci::cdi::{Edits, Specification};

/// Where specifications are; what a later directory says wins (SPEC.md, "Conflict resolution").
const DIRECTORIES: &[&str] = &["/etc/cdi", "/var/run/cdi"];

/// A specification is a few kilobytes.
const MAX_SIZE: u64 = 4 << 20;

/// Why a device is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum CdiError {
    /// No specification has it.
    #[error("there is no device {name}: {known}")]
    Unknown {
        /// The device.
        name: CdiName,
        /// What there is.
        known: String,
        /// Where specifications are looked for.
        directories: String,
    },
    /// Two specifications say different things about it.
    #[error("the device {name} is specified twice: in {} and in {}", one.display(), other.display())]
    Conflict {
        /// The device.
        name: CdiName,
        /// A file.
        one: PathBuf,
        /// Another.
        other: PathBuf,
    },
    /// A file that cannot be read, or means nothing, where the device may be.
    #[error("the device {name} may be in {}, which is no specification of devices: {why}", path.display())]
    Damaged {
        /// The device.
        name: CdiName,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl Explain for CdiError {
    fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "E_NOTFOUND",
            _ => "E_CONFIG",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { directories, .. } => Some(format!(
                "specifications are JSON and YAML files in {directories}; for NVIDIA's: nvidia-ctk cdi generate --output \
                 ~/.config/cdi/nvidia.yaml"
            )),
            Self::Conflict { .. } => Some("remove one of the two".into()),
            Self::Damaged { .. } => Some("repair the file, or remove it".into()),
        }
    }
}

/// All specifications.
pub struct Devices {
    /// With the number of the directory: what has a higher one wins.
    good: Vec<(usize, PathBuf, Specification)>,
    bad: Vec<(PathBuf, String)>,
    directories: String,
}

impl Devices {
    /// Reads them.
    pub fn read() -> Self {
        let conf = ContainersConf::here();
        if conf.has("cdi_spec_dirs") {
            let directories: Vec<PathBuf> = conf.list("cdi_spec_dirs").iter().map(PathBuf::from).collect();
            return Self::in_directories(&directories);
        }
        let own = env::get_absolute(&env::XDG_CONFIG_HOME)
            .or_else(|| env::get_absolute(&env::HOME).map(|home| home.join(".config")))
            .map(|config| config.join("cdi"));
        let directories: Vec<PathBuf> = DIRECTORIES.iter().map(PathBuf::from).chain(own).collect();
        Self::in_directories(&directories)
    }

    fn in_directories(directories: &[PathBuf]) -> Self {
        let names: Vec<_> = directories.iter().map(|directory| directory.display().to_string()).collect();
        let mut devices = Self { good: Vec::new(), bad: Vec::new(), directories: names.join(", ") };
        for (number, directory) in directories.iter().enumerate() {
            let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
            let mut paths: Vec<PathBuf> = files.map(|file| file.path()).collect();
            paths.sort();
            for path in paths {
                let extension = path.extension().and_then(|extension| extension.to_str());
                let read = match extension {
                    Some("json") => read(&path, |text| serde_json::from_str(text).map_err(|error| error.to_string())),
                    Some("yaml" | "yml") => {
                        read(&path, |text| serde_saphyr::from_str(text).map_err(|error| error.to_string()))
                    }
                    _ => continue,
                };
                match read {
                    Ok(specification) => devices.good.push((number, path, specification)),
                    Err(why) => devices.bad.push((path, why)),
                }
            }
        }
        devices
    }

    /// What the device means: the edits of its specification, and its own.
    pub fn find(&self, name: &CdiName) -> Result<[&Edits; 2], CdiError> {
        let of_kind = self.good.iter().filter(|(_, _, specification)| specification.kind == name.kind);
        let mut found: Vec<_> = of_kind
            .flat_map(|(number, path, specification)| {
                let device = specification.devices.iter().find(|device| device.name == name.device);
                device.map(|device| (number, path, [&specification.container_edits, &device.container_edits]))
            })
            .collect();
        found.sort_by_key(|(number, ..)| std::cmp::Reverse(**number));
        match found[..] {
            [(number, one, _), (same, other, _), ..] if number == same => {
                Err(CdiError::Conflict { name: name.clone(), one: one.clone(), other: other.clone() })
            }
            [(_, _, edits), ..] => Ok(edits),
            [] => Err(self.missing(name)),
        }
    }

    fn missing(&self, name: &CdiName) -> CdiError {
        if let Some((path, why)) = self.bad.first() {
            return CdiError::Damaged { name: name.clone(), path: path.clone(), why: why.clone() };
        }
        let names: Vec<String> = self.names().collect();
        let known = match names.is_empty() {
            true => "no specification of devices was found".to_owned(),
            false => format!("those that are known are {}", names.join(", ")),
        };
        CdiError::Unknown { name: name.clone(), known, directories: self.directories.clone() }
    }

    /// The names of all devices.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.good.iter().flat_map(|(_, _, specification)| {
            specification.devices.iter().map(|device| format!("{}={}", specification.kind, device.name))
        })
    }

    /// Whether there is a device of this kind.
    pub fn has_kind(&self, kind: &str) -> bool {
        self.good.iter().any(|(_, _, specification)| specification.kind == kind && !specification.devices.is_empty())
    }
}

fn read(path: &Path, parse: impl Fn(&str) -> Result<Specification, String>) -> Result<Specification, String> {
    use std::io::Read;
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(MAX_SIZE).read_to_string(&mut text).map_err(|error| error.to_string())?;
    let specification = parse(&text)?;
    match specification.cdi_version.starts_with("0.") || specification.cdi_version.starts_with("1.") {
        false => Err(format!("its cdiVersion is {:?}", specification.cdi_version)),
        true if !is_kind(&specification.kind) => Err(format!("its kind is {:?}", specification.kind)),
        true => Ok(specification),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"cdiVersion":"0.6.0","kind":"a.com/dev","devices":[{"name":"one","containerEdits":
        {"deviceNodes":[{"path":"/dev/one","hostPath":"/dev/null"}]}}],"containerEdits":{"env":["A=json"]}}"#;
    const YAML: &str = "cdiVersion: 0.5.0\nkind: a.com/dev\ncontainerEdits:\n  env:\n  - A=yaml\ndevices:\n- name: one\n  \
                        containerEdits:\n    mounts:\n    - hostPath: /a\n      containerPath: /b\n      options: [ro]\n- name: \
                        \"2\"\n";

    #[test]
    fn both_formats_and_the_order_of_directories() {
        let root = tempfile::tempdir().unwrap();
        let directories = ["a", "b"].map(|name| root.path().join(name));
        for directory in &directories {
            std::fs::create_dir(directory).unwrap();
        }
        let name = |text: &str| text.parse::<CdiName>().unwrap();
        std::fs::write(directories[0].join("x.json"), JSON).unwrap();
        let devices = Devices::in_directories(&directories);
        assert_eq!(devices.find(&name("a.com/dev=one")).unwrap()[0].env, ["A=json"]);
        std::fs::write(directories[1].join("x.yaml"), YAML).unwrap();
        let devices = Devices::in_directories(&directories);
        let [shared, own] = devices.find(&name("a.com/dev=one")).unwrap();
        assert_eq!((shared.env[0].as_str(), own.mounts[0].options[0].as_str()), ("A=yaml", "ro"));
        assert!(devices.find(&name("a.com/dev=2")).is_ok() && devices.has_kind("a.com/dev"));
        let unknown = devices.find(&name("a.com/dev=three")).unwrap_err();
        assert!(unknown.to_string().contains("a.com/dev=one"), "{unknown}");
        std::fs::write(directories[1].join("y.json"), JSON).unwrap();
        let conflict = Devices::in_directories(&directories).find(&name("a.com/dev=one")).map(drop).unwrap_err();
        assert!(matches!(conflict, CdiError::Conflict { .. }), "{conflict}");
        std::fs::write(directories[1].join("z.json"), "{").unwrap();
        let damaged = Devices::in_directories(&directories).find(&name("b.com/dev=one")).map(drop).unwrap_err();
        assert!(damaged.to_string().contains("z.json"), "{damaged}");
    }
}
