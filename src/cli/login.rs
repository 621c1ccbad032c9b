//! `login`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::registry_flags::RegistryFlags;
use super::render::output;
use super::tree::{Globals, Invocation};
use super::{dispatch, error, prompt};
use crate::failure::Failure;
use crate::host::config::auth::Kept;
use crate::image::request::Credentials;
use crate::name::registry::RegistryName;
use crate::registry::Credential;

/// Log in to a registry
///
/// The name and the password are kept once the registry has accepted them. Without a registry the first one that is
/// searched for short names is meant, which is docker.io unless registries.conf says otherwise.
#[derive(Args, Clone, Debug)]
pub struct LoginArgs {
    /// Name of the user
    #[arg(short, long, value_name = "USER")]
    username: Option<String>,
    /// Password; other users can read a command line, --password-stdin is better
    #[arg(short, long, value_name = "PASSWORD", conflicts_with = "password_stdin")]
    password: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    /// Print the name of the user who is logged in, and do nothing else
    #[arg(long)]
    get_login: bool,
    /// Keep the login in this file, as docker does
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "authfile")]
    compat_auth_file: Option<PathBuf>,
    /// Say where the login is kept
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    access: RegistryFlags,
    /// Registry, as host[:port][/namespace]
    #[arg(value_name = "REGISTRY")]
    registry: Option<String>,
}

impl Invocation for LoginArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("Asked for the name and the password", "coracle login quay.io"),
        ("From a script", "coracle login -u me --password-stdin registry.example.com < token"),
        ("For a part of a registry", "coracle login registry.example.com/team"),
    ];
    const SECTIONS: &'static [(&'static str, &'static str)] = &[(
        "FILES",
        "Logins are looked for in the file that --authfile or REGISTRY_AUTH_FILE names, else in \
         $XDG_RUNTIME_DIR/containers/auth.json, $XDG_CONFIG_HOME/containers/auth.json, ~/.docker/config.json (or \
         config.json in $DOCKER_CONFIG) and ~/.dockercfg. A new one is written to the first of them that exists, dockercfg \
         excepted. Where none does, it is the one in the runtime directory, which a reboot empties, or, where there is no \
         such directory, the one in the configuration directory. The credential helpers that credHelpers, credsStore and \
         registries.conf name are asked, and keep what is new.",
    )];

    fn execute(self, _: &Globals) -> Result<u8, Failure> {
        let name: RegistryName = match &self.registry {
            Some(name) => name.parse()?,
            None => dispatch::registry::default_registry()?,
        };
        let files = dispatch::registry::auth_files(self.access.authfile.clone(), self.compat_auth_file.clone());
        let known = match dispatch::registry::known_login(&files, &name)? {
            Some(Credential::Password { user, password }) => Some((user, password)),
            _ => None,
        };
        if self.get_login {
            let Some((user, _)) = known else { return Err(not_logged_in(&name)) };
            return output::write(&format!("{user}\n")).map(|()| 0);
        }
        if let Some((user, password)) = known.as_ref().filter(|_| !self.names_somebody()) {
            output::write(&format!("Authenticating with existing credentials for {name}\n"))?;
            let credentials = Credentials { user: user.clone(), password: password.reveal().into() };
            match dispatch::registry::check_login(&name, self.access.clone().access(Some(credentials))) {
                Ok(()) => {
                    output::write(&format!("Existing credentials are valid. Already logged in to {name}\n"))?;
                    return Ok(0);
                }
                Err(failure) if failure.code() == "E_AUTH" && prompt::is_possible() => {
                    error::warn("the existing credentials are not valid any more");
                }
                Err(failure) => return Err(failure),
            }
        }
        let credentials = self.credentials(known.map(|(user, _)| user))?;
        let kept = dispatch::registry::login(&name, self.access.clone().access(Some(credentials)), &files)?;
        if self.verbose {
            output::write(&match kept {
                Kept::File(path) => format!("Used: {}\n", path.display()),
                Kept::Helper(program) => format!("Used: {program}\n"),
            })?;
        }
        output::write("Login Succeeded!\n").map(|()| 0)
    }
}

/// Whether nobody is known.
pub fn not_logged_in(name: &RegistryName) -> Failure {
    Failure::new("E_AUTH", format!("not logged in to {name}"))
}

impl LoginArgs {
    fn names_somebody(&self) -> bool {
        self.username.is_some() || self.password.is_some() || self.password_stdin
    }

    /// What was given, and what the user answers for the rest. `known` is whom an empty answer means.
    fn credentials(&self, known: Option<String>) -> Result<Credentials, Failure> {
        if self.password_stdin && self.username.is_none() {
            return Err(Failure::new("E_CONFIG", "--password-stdin needs --username"));
        }
        let user = match &self.username {
            Some(user) => user.clone(),
            None => asked_for("Username", known, &prompt::line)?,
        };
        let password = match &self.password {
            Some(password) => password.clone(),
            None if self.password_stdin => prompt::all_of_stdin()?.trim_end_matches(['\r', '\n']).to_owned(),
            None => asked_for("Password", None, &prompt::hidden_line)?,
        };
        if user.is_empty() || user.contains(':') {
            return Err(Failure::new("E_CONFIG", "a user's name is not empty and has no colon"));
        }
        if password.is_empty() {
            return Err(Failure::new("E_CONFIG", "the password is empty"));
        }
        Ok(Credentials { user, password })
    }
}

type Ask = dyn Fn(&str) -> Result<Option<String>, Failure>;

fn asked_for(what: &str, usual: Option<String>, ask: &Ask) -> Result<String, Failure> {
    if !prompt::is_possible() {
        let failure =
            Failure::new("E_CONFIG", format!("there is no terminal on which to ask for the {}", what.to_lowercase()));
        return Err(failure
            .with_hint("give the name with --username, and the password on standard input with --password-stdin"));
    }
    let question = match &usual {
        Some(usual) => format!("{what} ({}): ", crate::failure::escape_control(usual)),
        None => format!("{what}: "),
    };
    let answer = ask(&question)?.unwrap_or_default();
    Ok(if answer.is_empty() { usual.unwrap_or_default() } else { answer })
}
