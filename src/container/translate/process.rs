//! The process's environment, kernel settings and small files.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;

use super::Surroundings;
use crate::container::accounts::Accounts;
use crate::container::environment::{DEFAULT_PATH, Environment};
use crate::container::monitor::notify;
use crate::container::request::{NetworkMode, Request, Terminal};
use crate::container::{hardening, user};
use crate::failure::Failure;
use crate::identity::passwd;
use crate::name::process::namespace_mode::{IpcMode, NamespaceMode};
use crate::name::process::notify_mode::NotifyMode;
use crate::name::process::sysctl::{Owner, Sysctl};
use crate::name::process::time_zone::TimeZone;
use crate::rootfs::view::View;
use crate::runtime::blueprint::GivenFile;
use crate::state::schema::image::RunDefaults;

/// What is set is, in this order: what the command is to begin with, ours, the image's, as reworked, and what was asked for.
pub fn environment(
    request: &Request,
    surroundings: &Surroundings<'_>,
    defaults: &RunDefaults,
    (hostname, of_devices): (&str, &[String]),
) -> Environment {
    let asked = &request.process;
    let mut environment = Environment::default();
    environment.set("PATH", DEFAULT_PATH);
    environment.add_settings(&asked.base_env);
    environment.set("container", "coracle");
    if request.terminal == Terminal::New {
        environment.set("TERM", "xterm");
    }
    environment.add_image(&defaults.env);
    // In their own words, as an image's.
    environment.add_image(of_devices);
    environment.rework(asked);
    environment.add_settings(&request.env);
    let is_wanted = |name: &str| !asked.unset_all && asked.unset.iter().all(|unset| unset != name);
    for (name, value) in [("HOME", surroundings.user.home.as_str()), ("HOSTNAME", hostname)] {
        if is_wanted(name) {
            environment.set_default(name, value);
        }
    }
    environment
}

/// Kernel settings: ours, then those asked for. `groups` may ping.
pub fn sysctls(request: &Request, groups: (u32, u32)) -> Result<Vec<(String, String)>, Failure> {
    let asked = &request.process;
    let own = if has_own_network(request) { hardening::sysctls(groups) } else { Vec::new() };
    if let Some((setting, why)) = asked.sysctls.iter().find_map(|setting| Some((setting, host_wide(setting, request)?)))
    {
        let message = format!("--sysctl {}: {why}", setting.name());
        return Err(Failure::new("E_CONFIG", message).with_hint("it can be set where the container has its own"));
    }
    // Who may ping is settled: podman's usual default names a group that a container of one id need not have.
    let is_ours = |setting: &Sysctl| setting.path == "net/ipv4/ping_group_range";
    let defaults =
        asked.default_sysctls.iter().filter(|setting| !is_ours(setting) && host_wide(setting, request).is_none());
    let asked = defaults.chain(&asked.sysctls).map(|setting| (setting.path.clone(), setting.value.clone()));
    Ok(own.into_iter().chain(asked).collect())
}

/// Refuses what cannot be had together with namespaces of the host.
pub fn check_namespaces(request: &Request) -> Result<(), Failure> {
    let asked = &request.process;
    let refused = |message: &str| Err(Failure::new("E_CONFIG", message).with_hint("leave one of them out"));
    if asked.uts != NamespaceMode::Private && request.hostname.is_some() {
        return refused("--uts leaves a host name as it is, --hostname gives the container one of its own");
    }
    if asked.pid == NamespaceMode::Host && !request.security.proc_options.is_empty() {
        return refused(
            "--security-opt proc-opts is about a /proc of the container's own, which it does not get with --pid host",
        );
    }
    if matches!(asked.ipc, IpcMode::Host | IpcMode::None | IpcMode::Of(_)) && request.limits.shm_size.is_some() {
        return refused("--shm-size is about a /dev/shm of the container's own, which it does not get with this --ipc");
    }
    Ok(())
}

/// Where the container finds the socket on which it can tell its service manager how it is, if that waits to be told.
pub fn notes(request: &Request, defaults: &RunDefaults) -> Result<Option<&'static str>, Failure> {
    let mode = request.process.notify;
    if mode == NotifyMode::Healthy && request.health.settle(defaults.healthcheck.as_ref()).is_none() {
        let failure = Failure::new("E_CONFIG", "--sdnotify healthy: the container has no health check");
        return Err(failure.with_hint("give it one: --health-cmd 'curl -f http://localhost/'"));
    }
    Ok((mode == NotifyMode::Container && notify::is_awaited()).then_some(notify::SOCKET))
}

/// The host's name.
pub fn host_name() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Whether the container has a network namespace that is nobody else's.
fn has_own_network(request: &Request) -> bool {
    !matches!(request.network, NetworkMode::Host | NetworkMode::Container(_) | NetworkMode::Namespace(_))
}

/// Why a setting is not the container's own.
fn host_wide(setting: &Sysctl, request: &Request) -> Option<&'static str> {
    let asked = &request.process;
    match setting.owner() {
        Some(Owner::Network) if !has_own_network(request) => {
            Some("with a network that is not its own it would be changed for others")
        }
        Some(Owner::Ipc) if asked.ipc == IpcMode::Host => Some("with the host's IPC it would be changed for the host"),
        Some(Owner::Uts) if asked.uts == NamespaceMode::Host => {
            Some("with --uts host it would be changed for the host")
        }
        Some(Owner::Ipc) if matches!(asked.ipc, IpcMode::Of(_)) => {
            Some("with the IPC of somebody else it would be changed for others")
        }
        Some(Owner::Uts) if asked.uts != NamespaceMode::Private => {
            Some("with the host name of somebody else it would be changed for others")
        }
        Some(_) => None,
        None => Some("it is a setting of the whole machine"),
    }
}

/// Directories of the time zone database.
const ZONES: &str = "usr/share/zoneinfo";

/// Files of it are a few kilobytes long (tzfile(5)).
const MAX_ZONE: u64 = 1 << 20;

/// `/etc/localtime` as asked for: by the host's database, else by the image's.
pub fn time_zone(request: &Request, view: &View) -> Result<Option<GivenFile>, Failure> {
    let Some(zone) = &request.process.time_zone else { return Ok(None) };
    let unknown = || {
        Failure::new(
            "E_NOTFOUND",
            format!("--tz {zone}: neither this machine nor the image has a time zone of that name"),
        )
        .with_hint("names are like Europe/Berlin; the package tzdata has them")
    };
    let found = match zone {
        TimeZone::Local => File::open("/etc/localtime").ok(),
        TimeZone::Named(name) => {
            let path = format!("{ZONES}/{name}");
            let in_image = || view.open(&CString::new(path.as_str()).ok()?).ok().flatten();
            File::open(format!("/{path}")).ok().or_else(in_image)
        }
    };
    let found = found.filter(|file| file.metadata().is_ok_and(|metadata| metadata.is_file()));
    let mut content = Vec::new();
    match (found, zone) {
        (Some(file), _) => {
            let read = file.take(MAX_ZONE).read_to_end(&mut content);
            read.map_err(|cause| Failure::new("E_IO", format!("--tz {zone}: reading the time zone: {cause}")))?;
        }
        // A machine without the file keeps universal time (localtime(5)), as a container does.
        (None, TimeZone::Local) => return Ok(None),
        (None, TimeZone::Named(_)) => return Err(unknown()),
    }
    if !content.starts_with(b"TZif") {
        return Err(unknown());
    }
    Ok(Some(GivenFile {
        name: "localtime",
        content: OsString::from_vec(content),
        destination: "/etc/localtime",
        required: true,
        shared: false,
    }))
}

/// Lines to be added to the container's own files.
pub fn account_lines(accounts: &Accounts) -> Vec<(&'static str, String)> {
    let lines = |path, lines: &[String]| lines.iter().map(move |line| (path, line.clone())).collect::<Vec<_>>();
    [lines(passwd::PASSWD, &accounts.passwd), lines(passwd::GROUP, &accounts.group)].concat()
}

/// The same as files to be shown in place of those that cannot be written to, or are not the container's alone.
pub fn account_files(accounts: &Accounts, view: &View) -> Result<Vec<GivenFile>, Failure> {
    let mut files = Vec::new();
    for (name, path, shown, lines) in [
        ("passwd", c"etc/passwd", passwd::PASSWD, &accounts.passwd),
        ("group", c"etc/group", passwd::GROUP, &accounts.group),
    ] {
        let present = if lines.is_empty() { None } else { user::read(view, path, shown)? };
        let Some(mut content) = present else { continue };
        if !content.is_empty() && !content.ends_with(b"\n") {
            content.push(b'\n');
        }
        for line in lines {
            content.extend_from_slice(line.as_bytes());
            content.push(b'\n');
        }
        files.push(GivenFile {
            name,
            content: OsString::from_vec(content),
            destination: shown,
            required: false,
            shared: false,
        });
    }
    Ok(files)
}
