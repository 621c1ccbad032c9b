//! Where credentials for registries are kept: containers-auth.json(5), docker's config.json, and programs.
//!
//! Files are read only when a registry asks who we are. A file that cannot be read or parsed is passed over with a
//! warning: it must not keep a user from public images.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

mod login;

pub use login::{AuthRefused, Kept};

use super::base64;
use super::credential::{Credential, Secret};
use super::credential_helper::{Helper, HelperFailure};
use super::registries::AUTH_FILES;
use crate::host::env::{self, Variable};
use crate::name::reference::DEFAULT_REGISTRY;

/// How an authentication file is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// `{"auths": {...}, "credHelpers": {...}, "credsStore": "..."}`, with names of registries as podman writes them.
    Containers,
    /// The same, with docker's names: no namespaces, and an address for docker.io.
    Docker,
    /// `~/.dockercfg`: what is below `auths`, alone.
    Legacy,
}

/// The files and programs to ask, in order.
#[derive(Clone, Debug)]
pub struct AuthFiles {
    files: Vec<(PathBuf, Format)>,
    /// Where a login is written if none of the files exists.
    new: Option<PathBuf>,
    /// Names of programs, among which [`AUTH_FILES`] stands for the files.
    helpers: Vec<String>,
}

/// What was found, and what went wrong on the way.
#[derive(Debug, Default)]
pub struct Lookup {
    /// The credential, if there is one.
    pub credential: Option<Credential>,
    /// Files that were passed over, and why.
    pub warnings: Vec<String>,
    /// Helpers that failed. Nothing else was asked in their place.
    pub failed_helpers: Vec<HelperFailure>,
}

#[derive(Debug, Default, Deserialize)]
struct AuthFile {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default, rename = "identitytoken")]
    identity_token: String,
    #[serde(default, rename = "registrytoken")]
    registry_token: String,
}

impl AuthFiles {
    /// The files that the user's surroundings name; `explicit` (`--authfile`) replaces them all. `helpers` are those of
    /// registries.conf.
    pub fn discover(explicit: Option<PathBuf>, helpers: Vec<String>) -> Self {
        let path = |variable: &Variable| env::get(variable).map(PathBuf::from);
        Self { helpers, ..Self::search_order(explicit, path, nix::unistd::getuid().as_raw()) }
    }

    /// One file, as docker writes it (`--compat-auth-file`).
    pub fn compatible(file: PathBuf) -> Self {
        Self { files: vec![(file, Format::Docker)], new: None, helpers: vec![AUTH_FILES.into()] }
    }

    /// containers-auth.json(5): a file that is named is the only one; else the runtime directory, the configuration
    /// directory, docker's.
    fn search_order(explicit: Option<PathBuf>, path: impl Fn(&Variable) -> Option<PathBuf>, uid: u32) -> Self {
        let helpers = vec![AUTH_FILES.into()];
        if let Some(named) = explicit.or_else(|| path(&env::REGISTRY_AUTH_FILE)) {
            return Self { files: vec![(named, Format::Containers)], new: None, helpers };
        }
        let home = path(&env::HOME);
        let below_home = |name: &str| home.as_ref().map(|home| home.join(name));
        let runtime = path(&env::XDG_RUNTIME_DIR);
        let runtime_file = match &runtime {
            Some(runtime) => runtime.join("containers/auth.json"),
            None => PathBuf::from(format!("/run/containers/{uid}/auth.json")),
        };
        let config = path(&env::XDG_CONFIG_HOME).or_else(|| below_home(".config"));
        let config_file = config.map(|directory| directory.join("containers/auth.json"));
        let docker = path(&env::DOCKER_CONFIG).or_else(|| below_home(".docker"));
        let new = match runtime.filter(|runtime| runtime.is_dir()) {
            Some(_) => Some(runtime_file.clone()),
            None => config_file.clone(),
        };
        let candidates = [
            Some((runtime_file, Format::Containers)),
            config_file.map(|file| (file, Format::Containers)),
            docker.map(|directory| (directory.join("config.json"), Format::Docker)),
            below_home(".dockercfg").map(|file| (file, Format::Legacy)),
        ];
        Self { files: candidates.into_iter().flatten().collect(), new, helpers }
    }

    /// The credential for `repository` of `registry` (`host[:port]`): from the first file or program that has one, and
    /// within a file the one with the longest matching name.
    pub fn find(&self, registry: &str, repository: &str) -> Lookup {
        let mut lookup = Lookup::default();
        for helper in &self.helpers {
            if helper == AUTH_FILES {
                self.find_in_files(registry, repository, &mut lookup);
            } else {
                lookup.take(Helper::named(helper).and_then(|helper| helper.get(registry)));
            }
            if lookup.credential.is_some() {
                break;
            }
        }
        lookup
    }

    fn find_in_files(&self, registry: &str, repository: &str, lookup: &mut Lookup) {
        for (path, format) in &self.files {
            match read(path, *format) {
                Ok(Some(file)) => lookup.take(file.find(registry, repository)),
                Ok(None) => {}
                Err(why) => {
                    lookup.warnings.push(format!("passing over the authentication file {}: {why}", path.display()));
                }
            }
            if lookup.credential.is_some() {
                return;
            }
        }
    }
}

impl Lookup {
    fn take(&mut self, found: Result<Option<Credential>, HelperFailure>) {
        match found {
            Ok(credential) => self.credential = credential,
            Err(failure) => self.failed_helpers.push(failure),
        }
    }
}

/// The file at `path`, or `None` if there is none. The text of a parse error is not repeated: it may quote a secret.
fn read(path: &Path, format: Format) -> Result<Option<AuthFile>, String> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    // `podman logout --all` leaves an empty file behind.
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let place = |error: serde_json::Error| format!("malformed JSON at line {} column {}", error.line(), error.column());
    let file = match format {
        Format::Containers | Format::Docker => serde_json::from_slice(&text),
        Format::Legacy => serde_json::from_slice(&text).map(|auths| AuthFile { auths, ..AuthFile::default() }),
    };
    file.map(Some).map_err(place)
}

impl AuthFile {
    fn find(&self, registry: &str, repository: &str) -> Result<Option<Credential>, HelperFailure> {
        let of_registry = |key: &str| normalize(key) == registry;
        if let Some((key, helper)) = self.helpers.iter().find(|(key, _)| of_registry(key)) {
            return Helper::named(helper)?.get(key);
        }
        if let Some(credential) = self.find_entry(registry, repository).and_then(Entry::credential) {
            return Ok(Some(credential));
        }
        match self.store.as_deref() {
            None | Some("") => Ok(None),
            Some(helper) => Helper::named(helper)?.get(dockers_name(registry)),
        }
    }

    /// The entry for the longest of `host/a/b`, `host/a`, `host`.
    fn find_entry(&self, registry: &str, repository: &str) -> Option<&Entry> {
        let mut wanted = format!("{registry}/{repository}");
        loop {
            let matching = self.auths.iter().find(|(key, entry)| normalize(key) == wanted && !entry.is_empty());
            if let Some((_, entry)) = matching {
                return Some(entry);
            }
            wanted.truncate(wanted.rfind('/')?);
        }
    }
}

impl Entry {
    /// docker leaves empty entries as marks that the credential is with a helper.
    fn is_empty(&self) -> bool {
        [&self.auth, &self.password, &self.identity_token, &self.registry_token].iter().all(|field| field.is_empty())
    }

    fn credential(&self) -> Option<Credential> {
        if !self.registry_token.is_empty() {
            return Some(Credential::RegistryToken(Secret::new(self.registry_token.as_str())));
        }
        if !self.identity_token.is_empty() {
            return Some(Credential::IdentityToken(Secret::new(self.identity_token.as_str())));
        }
        if self.auth.is_empty() {
            return Some(Credential::from_login(self.username.clone(), self.password.clone()));
        }
        let login = String::from_utf8(base64::decode(&self.auth)?).ok()?;
        let (user, password) = login.split_once(':')?;
        // docker pads the password with NUL bytes.
        Some(Credential::from_login(user.to_owned(), password.trim_end_matches('\0').to_owned()))
    }
}

/// docker's name of a registry: the Hub has an historical address, all others their host's name.
fn dockers_name(registry: &str) -> &str {
    if registry == DEFAULT_REGISTRY { "https://index.docker.io/v1/" } else { registry }
}

/// The name that a key means: docker writes addresses (`https://index.docker.io/v1/`), of which the host counts; podman
/// writes `host[:port][/namespace]`.
fn normalize(key: &str) -> String {
    let address = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    let (host, namespace) = match address {
        Some(address) => (address.split('/').next().unwrap_or_default(), None),
        None => match key.trim_end_matches('/').split_once('/') {
            // A key like `index.docker.io/v1` is an address that lost its scheme.
            Some((host, "v1" | "v2")) => (host, None),
            Some((host, namespace)) => (host, Some(namespace)),
            None => (key.trim_end_matches('/'), None),
        },
    };
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" => DEFAULT_REGISTRY,
        other => other,
    };
    namespace.map_or_else(|| host.to_owned(), |namespace| format!("{host}/{namespace}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `user:` and the text, in base64, without an encoder.
    const ALICE: &str = "YWxpY2U6c2VjcmV0"; // alice:secret
    const BOB: &str = "Ym9iOnNlY3JldA=="; // bob:secret

    fn paths(explicit: Option<&str>, set: &[(&str, &str)]) -> Vec<String> {
        let lookup = |variable: &Variable| {
            set.iter().find(|(name, _)| *name == variable.name).map(|(_, value)| PathBuf::from(value))
        };
        let files = AuthFiles::search_order(explicit.map(PathBuf::from), lookup, 1002).files;
        files.into_iter().map(|(path, _)| path.display().to_string()).collect()
    }

    #[test]
    fn files_are_searched_in_podmans_order() {
        let home = ("HOME", "/h");
        let runtime = ("XDG_RUNTIME_DIR", "/r");
        assert_eq!(
            paths(None, &[home, runtime]),
            ["/r/containers/auth.json", "/h/.config/containers/auth.json", "/h/.docker/config.json", "/h/.dockercfg"]
        );
        assert_eq!(paths(None, &[home])[0], "/run/containers/1002/auth.json");
        let moved = [home, runtime, ("XDG_CONFIG_HOME", "/c"), ("DOCKER_CONFIG", "/d")];
        assert_eq!(
            paths(None, &moved),
            ["/r/containers/auth.json", "/c/containers/auth.json", "/d/config.json", "/h/.dockercfg"]
        );
        assert_eq!(paths(None, &[home, runtime, ("REGISTRY_AUTH_FILE", "/a")]), ["/a"]);
        assert_eq!(paths(Some("/x"), &[home, ("REGISTRY_AUTH_FILE", "/a")]), ["/x"]);
        assert_eq!(paths(None, &[]), ["/run/containers/1002/auth.json"]);
    }

    fn user(json: &str, registry: &str, repository: &str) -> Option<String> {
        let file: AuthFile = serde_json::from_str(json).unwrap();
        match file.find(registry, repository).unwrap()? {
            Credential::Password { user, password } => {
                assert_eq!(password.reveal(), "secret");
                Some(user)
            }
            other => Some(format!("{other:?}")),
        }
    }

    #[test]
    fn the_longest_name_wins_and_no_other_host_is_asked() {
        let json = format!(r#"{{"auths":{{"r.io":{{"auth":"{ALICE}"}},"r.io/team":{{"auth":"{BOB}"}}}}}}"#);
        assert_eq!(user(&json, "r.io", "team/app").as_deref(), Some("bob"));
        assert_eq!(user(&json, "r.io", "teams/app").as_deref(), Some("alice"));
        assert_eq!(user(&json, "r.io", "app").as_deref(), Some("alice"));
        for stranger in ["r.io:5000", "sub.r.io", "io", "docker.io", "evil-r.io"] {
            assert_eq!(user(&json, stranger, "team/app"), None, "{stranger}");
        }
    }

    #[test]
    fn dockers_addresses_mean_their_hosts() {
        for key in [
            "https://index.docker.io/v1/",
            "index.docker.io/v1/",
            "index.docker.io",
            "docker.io",
            "registry-1.docker.io",
        ] {
            let json = format!(r#"{{"auths":{{"{key}":{{"auth":"{ALICE}"}}}}}}"#);
            assert_eq!(user(&json, "docker.io", "library/debian").as_deref(), Some("alice"), "{key}");
            assert_eq!(user(&json, "r.io", "library/debian"), None, "{key}");
        }
        let json = format!(r#"{{"auths":{{"http://r.io:5000/v2/":{{"auth":"{ALICE}"}}}}}}"#);
        assert_eq!(user(&json, "r.io:5000", "a").as_deref(), Some("alice"));
    }

    #[test]
    fn tokens_come_before_passwords_and_marks_are_no_credentials() {
        let identity = format!(r#"{{"auths":{{"r.io":{{"auth":"{ALICE}","identitytoken":"t"}}}}}}"#);
        assert_eq!(user(&identity, "r.io", "a").as_deref(), Some("IdentityToken([redacted])"));
        let mark = r#"{"auths":{"r.io":{}},"HttpHeaders":{"x":"y"}}"#;
        assert_eq!(user(mark, "r.io", "a"), None);
        let not_base64 = r#"{"auths":{"r.io":{"auth":"%%%"}}}"#;
        assert_eq!(user(not_base64, "r.io", "a"), None);
    }

    #[test]
    fn a_helper_that_fails_is_reported_and_nobody_else_is_asked() {
        let json = format!(
            r#"{{"credHelpers":{{"r.io":"surely-not-installed"}},"auths":{{"docker.io":{{"auth":"{ALICE}"}},"r.io":{{"auth":"{ALICE}"}}}}}}"#
        );
        let file: AuthFile = serde_json::from_str(&json).unwrap();
        assert!(matches!(file.find("r.io", "a"), Err(HelperFailure::Start { .. })));
        assert!(file.find("docker.io", "a").unwrap().is_some(), "the helper is for r.io only");
    }

    #[test]
    fn broken_files_are_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            (path, Format::Containers)
        };
        let files = vec![
            (directory.path().join("missing"), Format::Containers),
            file("broken", r#"{"auths":{"r.io":{"auth":"hunter2""#),
            file("empty", " \n"),
            file("good", &format!(r#"{{"auths":{{"r.io":{{"auth":"{BOB}"}}}}}}"#)),
        ];
        let lookup = AuthFiles { files, new: None, helpers: vec![AUTH_FILES.into()] }.find("r.io", "a");
        assert_eq!(lookup.credential, Some(Credential::password("bob", "secret")));
        assert_eq!(lookup.warnings.len(), 1);
        assert!(lookup.warnings[0].contains("broken") && !lookup.warnings[0].contains("hunter2"));
    }

    // containers-registries.conf(5), credential-helpers: programs may come before the files, or stand in their place.
    #[test]
    fn helpers_of_registries_conf_are_asked_in_their_order() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("auth.json");
        std::fs::write(&path, format!(r#"{{"auths":{{"r.io":{{"auth":"{ALICE}"}}}}}}"#)).unwrap();
        let find = |helpers: &[&str]| {
            let helpers = helpers.iter().map(|helper| (*helper).to_owned()).collect();
            AuthFiles::discover(Some(path.clone()), helpers).find("r.io", "a")
        };
        let both = find(&["surely-not-installed", AUTH_FILES]);
        assert_eq!((both.credential, both.failed_helpers.len()), (Some(Credential::password("alice", "secret")), 1));
        let files_first = find(&[AUTH_FILES, "surely-not-installed"]);
        assert!(files_first.credential.is_some() && files_first.failed_helpers.is_empty());
        assert_eq!(find(&["surely-not-installed"]).credential, None);
    }
}
