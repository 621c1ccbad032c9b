//! The only reader of the environment: every variable that coracle looks at is declared here.

#![allow(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]

use std::ffi::OsString;
use std::path::PathBuf;

use crate::sys::process;
use crate::sys::single_threaded::SingleThreaded;

/// A variable that coracle reads: its name and what it means.
pub struct Variable {
    /// Name in the environment.
    pub name: &'static str,
    /// One sentence for the manual.
    pub meaning: &'static str,
}

macro_rules! variables {
    ($($ident:ident = $name:literal: $meaning:literal;)*) => {
        $(#[doc = $meaning] pub const $ident: Variable = Variable { name: $name, meaning: $meaning };)*
        /// All variables, for the manual.
        pub const ALL: &[Variable] = &[$($ident),*];
    };
}

variables! {
    HOME = "HOME": "The user's home directory, where the XDG variables are not set.";
    XDG_DATA_HOME = "XDG_DATA_HOME": "Images and containers are kept in its directory `coracle`; default `~/.local/share`.";
    XDG_CONFIG_HOME = "XDG_CONFIG_HOME": "Configuration is read from its directories `coracle` and `containers`; default `~/.config`.";
    XDG_CACHE_HOME = "XDG_CACHE_HOME": "Partial downloads are kept in its directory `coracle`; default `~/.cache`.";
    XDG_RUNTIME_DIR = "XDG_RUNTIME_DIR": "Sockets and process records are kept in its directory `coracle`; default a directory in the store.";
    REGISTRY_AUTH_FILE = "REGISTRY_AUTH_FILE": "File with the credentials for registries, as podman's.";
    DOCKER_CONFIG = "DOCKER_CONFIG": "Directory of docker's config.json, read for credentials.";
    CONTAINERS_CONF = "CONTAINERS_CONF": "File with defaults for containers, instead of the user's and the machine's containers.conf.";
    CONTAINERS_CONF_OVERRIDE = "CONTAINERS_CONF_OVERRIDE": "File with defaults for containers that win over all others.";
    CONTAINERS_STORAGE_CONF = "CONTAINERS_STORAGE_CONF": "File with settings for storage, instead of the user's and the machine's storage.conf.";
    STORAGE_DRIVER = "STORAGE_DRIVER": "What --storage-driver is where it is not given.";
    STORAGE_OPTS = "STORAGE_OPTS": "What --storage-opt before the command is where it is not given: options separated by commas.";
    PODMAN_USERNS = "PODMAN_USERNS": "What --userns is where it is not given.";
    CONTAINERS_REGISTRIES_CONF = "CONTAINERS_REGISTRIES_CONF": "File with settings for registries, instead of the user's and the machine's registries.conf.";
    CONTAINERS_REGISTRIES_CONF_DIR = "CONTAINERS_REGISTRIES_CONF_DIR": "Directory with more such files (*.conf), instead of the user's and the machine's registries.conf.d.";
    REGISTRIES_CONFIG_PATH = "REGISTRIES_CONFIG_PATH": "Older name of CONTAINERS_REGISTRIES_CONF.";
    HTTPS_PROXY = "HTTPS_PROXY": "Proxy for https registries, also as https_proxy; never used for loopback addresses.";
    HTTP_PROXY = "HTTP_PROXY": "Proxy for http registries, also as http_proxy; never used for loopback addresses.";
    ALL_PROXY = "ALL_PROXY": "Proxy where neither of the above is set, also as all_proxy.";
    NO_PROXY = "NO_PROXY": "Hosts that are reached without a proxy, also as no_proxy.";
    SSL_CERT_FILE = "SSL_CERT_FILE": "File with the certificate authorities to trust, instead of the system's.";
    SSL_CERT_DIR = "SSL_CERT_DIR": "Directory with the certificate authorities to trust, instead of the system's.";
    NO_COLOR = "NO_COLOR": "When set and not empty, output is not coloured.";
    STARTED = "CORACLE_STARTED": "Set by coracle itself in containers of its image `hello`: when its command was started.";
    NOTIFY_SOCKET = "NOTIFY_SOCKET": "Where a service manager waits to be told that a container is ready; see --sdnotify.";
    SOURCE_DATE_EPOCH = "SOURCE_DATE_EPOCH": "Seconds since 1970: the time at which images that are made here say they were made; the same content then makes the same image.";
    SHELL = "SHELL": "The program that `coracle unshare` starts, unless it is told another.";
    TERM = "TERM": "The terminal's type, given to containers with a terminal.";
}

/// The value of `variable`, if it is set and not empty.
pub fn get(variable: &Variable) -> Option<OsString> {
    std::env::var_os(variable.name).filter(|value| !value.is_empty())
}

/// The value of `variable` as a path, if it is set and absolute: the XDG base directory specification has relative ones
/// ignored.
pub fn get_absolute(variable: &Variable) -> Option<PathBuf> {
    get(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// The value of a variable that the user named on the command line (`-e NAME`).
pub fn get_named(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Sets a variable for this process and all that it starts, unless it is set.
pub fn set_if_missing(proof: &SingleThreaded, name: &str, value: &str) {
    if std::env::var_os(name).is_none() {
        process::set_variable(proof, name, value);
    }
}

/// All variables (`-e 'PREFIX*'`).
pub fn all() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os()
}
