//! `login` and `logout`: what changes in authentication files and credential helpers.
//!
//! Whatever else a file holds stays as it is, also what only other tools understand.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Map, Value, json};

use super::{AuthFile, AuthFiles, Format, dockers_name, normalize};
use crate::failure::Explain;
use crate::host::config::base64;
use crate::host::config::credential::Secret;
use crate::host::config::credential_helper::{Helper, HelperFailure};
use crate::host::config::registries::AUTH_FILES;
use crate::host::config::replace;
use crate::name::registry::RegistryName;

/// Where a login is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// In this file.
    File(PathBuf),
    /// By this program.
    Helper(String),
}

/// Why a login could not be kept, or forgotten.
#[derive(Debug, thiserror::Error)]
pub enum AuthRefused {
    /// The file could not be read or written.
    #[error("changing the authentication file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The file is none.
    #[error("changing the authentication file {}: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A credential helper failed.
    #[error(transparent)]
    Helper(#[from] HelperFailure),
    /// Neither a home nor a runtime directory is known.
    #[error("there is no place for an authentication file")]
    NoPlace,
    /// Docker and credential helpers know hosts only.
    #[error("{keeper} cannot keep credentials for {name}, only for all of {}", name.registry())]
    Namespace {
        /// Who.
        keeper: String,
        /// For what.
        name: RegistryName,
    },
}

impl Explain for AuthRefused {
    fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "E_IO",
            Self::Malformed { .. } | Self::NoPlace | Self::Namespace { .. } => "E_CONFIG",
            Self::Helper(failure) => failure.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::File { .. } | Self::NoPlace => Some("name another file with --authfile".into()),
            Self::Malformed { .. } => Some("repair it, or move it out of the way".into()),
            Self::Helper(failure) => failure.hint(),
            Self::Namespace { name, .. } => {
                Some(format!("log in to {}, or name a file with --authfile", name.registry()))
            }
        }
    }
}

impl AuthFiles {
    /// Keeps a name and a password, in place of what is kept for `name` there: with the first helper of registries.conf,
    /// else in the first file that exists, or by the helper that it names.
    pub fn store(&self, name: &RegistryName, user: &str, password: &Secret) -> Result<Kept, AuthRefused> {
        match self.helpers.first().filter(|helper| *helper != AUTH_FILES) {
            Some(helper) => store_with(&Helper::named(helper)?, name, name.registry(), user, password),
            None => {
                let (path, format) = self.target().ok_or(AuthRefused::NoPlace)?;
                store_in(path, format, name, user, password)
            }
        }
    }

    /// The file that a login is written to.
    fn target(&self) -> Option<(&Path, Format)> {
        let writable = || self.files.iter().filter(|(_, format)| *format != Format::Legacy);
        let existing = writable().find(|(path, _)| path.exists());
        let new = self.new.as_deref().map(|path| (path, Format::Containers));
        let target = existing.map(|(path, format)| (path.as_path(), *format)).or(new);
        target.or_else(|| writable().next().map(|(path, format)| (path.as_path(), *format)))
    }

    /// Forgets what is kept for `name`, wherever that is; whether there was something.
    pub fn erase(&self, name: &RegistryName) -> Result<bool, AuthRefused> {
        self.erase_everywhere(&|key| normalize(key) == name.to_string())
    }

    /// Forgets everything; whether there was something.
    pub fn erase_all(&self) -> Result<bool, AuthRefused> {
        self.erase_everywhere(&|_| true)
    }

    /// Goes on after a failure, which is returned at the end: what can be forgotten is.
    fn erase_everywhere(&self, is_meant: &dyn Fn(&str) -> bool) -> Result<bool, AuthRefused> {
        let mut erased = Erased::default();
        for helper in &self.helpers {
            if helper == AUTH_FILES {
                for (path, format) in &self.files {
                    let outcome = erase_in(path, *format, is_meant, &mut erased);
                    erased.note(outcome.map(|()| false));
                }
            } else {
                erase_with(helper, is_meant, &mut erased);
            }
        }
        erased.failure.map_or(Ok(erased.something), Err)
    }
}

/// What has been forgotten so far.
#[derive(Default)]
struct Erased {
    something: bool,
    failure: Option<AuthRefused>,
}

impl Erased {
    fn note(&mut self, outcome: Result<bool, AuthRefused>) {
        match outcome {
            Ok(something) => self.something |= something,
            Err(failure) => drop(self.failure.get_or_insert(failure)),
        }
    }
}

/// Has a helper keep the login under the name that it has for the registry.
fn store_with(
    helper: &Helper,
    name: &RegistryName,
    server: &str,
    user: &str,
    password: &Secret,
) -> Result<Kept, AuthRefused> {
    if name.has_namespace() {
        return Err(AuthRefused::Namespace { keeper: helper.program().into(), name: name.clone() });
    }
    helper.store(server, user, password)?;
    Ok(Kept::Helper(helper.program().into()))
}

fn store_in(
    path: &Path,
    format: Format,
    name: &RegistryName,
    user: &str,
    password: &Secret,
) -> Result<Kept, AuthRefused> {
    let mut kept = Kept::File(path.into());
    change(path, |document| {
        let file = AuthFile::of(document, path)?;
        let own = file.helpers.iter().find(|(key, _)| normalize(key) == name.registry());
        let all = file.store.as_deref().filter(|store| !store.is_empty());
        let dockers = dockers_name(name.registry());
        let entry = match (own, all) {
            (Some((key, helper)), _) => {
                kept = store_with(&Helper::named(helper)?, name, key, user, password)?;
                return Ok(false);
            }
            // docker leaves an empty entry as a mark that there is a login.
            (None, Some(helper)) => {
                kept = store_with(&Helper::named(helper)?, name, dockers, user, password)?;
                json!({})
            }
            (None, None) => json!({ "auth": base64::encode(format!("{user}:{}", password.reveal()).as_bytes()) }),
        };
        let key = match format {
            Format::Docker if name.has_namespace() => {
                let keeper = path.display().to_string();
                return Err(AuthRefused::Namespace { keeper, name: name.clone() });
            }
            Format::Docker => dockers.to_owned(),
            Format::Containers | Format::Legacy => name.to_string(),
        };
        let auths = object(document, "auths", path)?;
        // Other spellings of the same registry would be found in its place.
        auths.retain(|other, _| *other == key || normalize(other) != name.to_string());
        auths.insert(key, entry);
        Ok(true)
    })?;
    Ok(kept)
}

fn erase_in(
    path: &Path,
    format: Format,
    is_meant: &dyn Fn(&str) -> bool,
    erased: &mut Erased,
) -> Result<(), AuthRefused> {
    if !path.exists() {
        return Ok(());
    }
    change(path, |document| {
        let auths = match format {
            Format::Legacy => &mut *document,
            Format::Containers | Format::Docker => {
                let file = AuthFile::of(document, path)?;
                for (key, helper) in file.helpers.iter().filter(|(key, _)| is_meant(key)) {
                    erased.note(
                        Helper::named(helper).map_err(AuthRefused::from).and_then(|helper| erase_one(&helper, key)),
                    );
                }
                if let Some(helper) = file.store.filter(|store| !store.is_empty()) {
                    erase_with(&helper, is_meant, erased);
                }
                object(document, "auths", path)?
            }
        };
        let before = auths.len();
        auths.retain(|key, _| !is_meant(key));
        let changed = auths.len() < before;
        erased.something |= changed;
        Ok(changed)
    })
}

/// Has a helper forget everything that is meant.
fn erase_with(helper: &str, is_meant: &dyn Fn(&str) -> bool, erased: &mut Erased) {
    let listed = Helper::named(helper).and_then(|helper| helper.list().map(|servers| (helper, servers)));
    match listed {
        Ok((helper, servers)) => {
            servers.iter().filter(|server| is_meant(server)).for_each(|server| erased.note(erase_one(&helper, server)));
        }
        Err(failure) => erased.note(Err(failure.into())),
    }
}

/// Helpers do not say whether there was something to forget.
fn erase_one(helper: &Helper, server: &str) -> Result<bool, AuthRefused> {
    if helper.get(server)?.is_none() {
        return Ok(false);
    }
    helper.erase(server)?;
    Ok(true)
}

/// Changes the JSON object in the file at `path`, if `edit` says that it has changed something.
fn change(
    path: &Path,
    edit: impl FnOnce(&mut Map<String, Value>) -> Result<bool, AuthRefused>,
) -> Result<(), AuthRefused> {
    // What goes wrong with the file itself is told with its name, which is not known below.
    enum Failed {
        Io(io::Error),
        Refused(AuthRefused),
    }
    impl From<io::Error> for Failed {
        fn from(cause: io::Error) -> Self {
            Self::Io(cause)
        }
    }
    let changed = replace::replace(path, |before| {
        let before = before.unwrap_or_default();
        let mut document = parsed(&before, path).map_err(Failed::Refused)?;
        let is_changed = edit(&mut document).map_err(Failed::Refused)?;
        Ok(if is_changed { Some(written(&document)?) } else { None })
    });
    changed.map_err(|failed| match failed {
        Failed::Io(cause) => AuthRefused::File { path: path.into(), cause },
        Failed::Refused(refused) => refused,
    })
}

/// The object that the file's text is; an empty text is an empty object. The text itself is not quoted.
fn parsed(text: &[u8], path: &Path) -> Result<Map<String, Value>, AuthRefused> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    serde_json::from_slice(text).map_err(|error| AuthRefused::Malformed {
        path: path.into(),
        why: format!("malformed JSON at line {} column {}", error.line(), error.column()),
    })
}

/// With tabs, as podman and docker write it.
fn written(document: &Map<String, Value>) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    document.serialize(&mut Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b"\t")))?;
    text.push(b'\n');
    Ok(text)
}

/// The object under `key`, made if it is missing.
fn object<'d>(
    document: &'d mut Map<String, Value>,
    key: &str,
    path: &Path,
) -> Result<&'d mut Map<String, Value>, AuthRefused> {
    let value = document.entry(key).or_insert_with(|| json!({}));
    let malformed = || AuthRefused::Malformed { path: path.into(), why: format!("its {key:?} is not an object") };
    value.as_object_mut().ok_or_else(malformed)
}

impl AuthFile {
    fn of(document: &Map<String, Value>, path: &Path) -> Result<Self, AuthRefused> {
        // The error would quote what it does not understand.
        serde_json::from_value(Value::Object(document.clone()))
            .map_err(|_| AuthRefused::Malformed { path: path.into(), why: "it is not an authentication file".into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::config::credential::Credential;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn name(text: &str) -> RegistryName {
        text.parse().unwrap()
    }

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("auth.json")
        }

        fn files(&self) -> AuthFiles {
            AuthFiles::discover(Some(self.path()), vec![AUTH_FILES.into()])
        }

        fn docker(&self) -> AuthFiles {
            AuthFiles::compatible(self.path())
        }

        fn document(&self) -> Value {
            serde_json::from_slice(&fs::read(self.path()).unwrap()).unwrap()
        }
    }

    fn login(files: &AuthFiles, registry: &str) -> Result<Kept, AuthRefused> {
        files.store(&name(registry), "user", &Secret::new("hunter2"))
    }

    #[test]
    fn a_login_is_found_again_and_only_the_user_can_read_it() {
        let place = Place::new();
        assert_eq!(login(&place.files(), "r.io").unwrap(), Kept::File(place.path()));
        assert_eq!(place.files().find("r.io", "a").credential, Some(Credential::password("user", "hunter2")));
        assert_eq!(fs::metadata(place.path()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(place.document(), json!({"auths": {"r.io": {"auth": "dXNlcjpodW50ZXIy"}}}));
    }

    #[test]
    fn what_others_wrote_stays() {
        let place = Place::new();
        let before = json!({
            "HttpHeaders": {"x": "y"}, "auths": {"q.io": {"auth": "YQ==", "email": "e"}, "r.io/team": {"auth": "Yg=="}},
            "credHelpers": {"h.io": "surely-not-installed"}, "detachKeys": "ctrl-e",
        });
        fs::write(place.path(), before.to_string()).unwrap();
        login(&place.files(), "r.io").unwrap();
        let mut expected = before.clone();
        expected["auths"]["r.io"] = json!({"auth": "dXNlcjpodW50ZXIy"});
        assert_eq!(place.document(), expected);
        let keys: Vec<String> = place.document().as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["HttpHeaders", "auths", "credHelpers", "detachKeys"], "in their order");
        assert!(place.files().erase(&name("r.io")).unwrap());
        assert_eq!(place.document(), before);
        assert!(!place.files().erase(&name("r.io")).unwrap());
        let failed = place.files().erase_all().unwrap_err();
        assert!(failed.to_string().contains("docker-credential-surely-not-installed"), "what it kept is not forgotten");
        assert_eq!(place.document()["auths"], json!({}));
        assert_eq!(place.document()["detachKeys"], "ctrl-e");
    }

    #[test]
    fn one_registry_has_one_entry() {
        let place = Place::new();
        let dockers = "https://index.docker.io/v1/";
        fs::write(place.path(), json!({"auths": {dockers: {"auth": "YTpi"}, "x.io": {}}}).to_string()).unwrap();
        login(&place.files(), "docker.io").unwrap();
        assert_eq!(place.document()["auths"], json!({"x.io": {}, "docker.io": {"auth": "dXNlcjpodW50ZXIy"}}));
        login(&place.docker(), "docker.io").unwrap();
        assert_eq!(place.document()["auths"], json!({"x.io": {}, dockers: {"auth": "dXNlcjpodW50ZXIy"}}));
        assert!(place.docker().erase(&name("docker.io")).unwrap());
        assert_eq!(place.document()["auths"], json!({"x.io": {}}));
    }

    #[test]
    fn namespaces_are_podmans_and_not_dockers() {
        let place = Place::new();
        login(&place.files(), "r.io/team").unwrap();
        assert!(place.files().find("r.io", "team/app").credential.is_some());
        assert!(place.files().find("r.io", "other/app").credential.is_none());
        assert!(matches!(login(&place.docker(), "r.io/team"), Err(AuthRefused::Namespace { .. })));
        assert!(place.files().erase(&name("r.io/team")).unwrap());
    }

    #[test]
    fn a_malformed_file_is_not_overwritten() {
        for text in ["{", "[]", r#"{"auths": ["hunter3"]}"#, r#"{"auths": {"r.io": {"auth": 1}}}"#] {
            let place = Place::new();
            fs::write(place.path(), text).unwrap();
            let refused = login(&place.files(), "r.io").unwrap_err();
            assert!(!refused.to_string().contains("hunter3"), "{refused}");
            assert!(place.files().erase(&name("r.io")).is_err(), "{text}");
            assert_eq!(fs::read_to_string(place.path()).unwrap(), text);
        }
        let place = Place::new();
        fs::write(place.path(), "\n").unwrap();
        login(&place.files(), "r.io").unwrap();
    }

    #[test]
    fn the_file_that_exists_is_written_to() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        let target = || {
            let set = |variable: &crate::host::env::Variable| match variable.name {
                "HOME" => Some(path("home")),
                "XDG_RUNTIME_DIR" => Some(path("run")),
                _ => None,
            };
            let files = AuthFiles::search_order(None, set, 1);
            let (path, format) = files.target().unwrap();
            (path.strip_prefix(root.path()).unwrap().display().to_string(), format)
        };
        assert_eq!(target(), ("home/.config/containers/auth.json".into(), Format::Containers), "no runtime directory");
        fs::create_dir_all(path("run")).unwrap();
        assert_eq!(target(), ("run/containers/auth.json".into(), Format::Containers));
        let write = |name: &str| {
            fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            fs::write(path(name), "{}").unwrap();
        };
        write("home/.dockercfg");
        write("home/.docker/config.json");
        assert_eq!(target(), ("home/.docker/config.json".into(), Format::Docker), "only docker's exists");
        write("home/.config/containers/auth.json");
        assert_eq!(target(), ("home/.config/containers/auth.json".into(), Format::Containers));
    }
}
