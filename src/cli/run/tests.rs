//! `run`'s words to a request.

use clap::{Command, FromArgMatches};

use super::*;
use crate::container::request::{CapabilityName, DnsServers, HostsFile, ImageSelector, NetworkMode, Unmask, UserName};
use crate::failure::Failure;
use crate::name::capability::Capability;

fn parse(words: &[&str]) -> Result<RunArgs, String> {
    let verb = crate::cli::tree::find(&["run"]).unwrap();
    let command = (verb.augment_for_parsing)(Command::new("run").no_binary_name(true));
    let matches = command.try_get_matches_from(words).map_err(|error| error.to_string())?;
    RunArgs::from_arg_matches(&matches).map_err(|error| error.to_string())
}

fn asked_on(words: &[&str], modules: fn() -> security::Modules) -> Result<Asked, Failure> {
    parse(words).map_err(|error| Failure::new("USAGE", error))?.into_asked(Path::new("/here"), modules)
}

fn asked(words: &[&str]) -> Asked {
    asked_on(words, security::Modules::default).unwrap()
}

fn refused(words: &[&str]) -> Failure {
    asked_on(words, security::Modules::default).expect_err(&words.join(" "))
}

fn request(words: &[&str]) -> Request {
    asked(words).request
}

#[test]
fn the_simplest_run() {
    let request = request(&["debian"]);
    let RootfsSource::Image { selector, pull, platform } = request.rootfs else { panic!("not an image") };
    assert_eq!(selector, ImageSelector::Reference("debian".parse().unwrap(), None));
    assert_eq!((pull, platform), (PullPolicy::Missing, None));
    assert_eq!((request.removal, request.restart), (Removal::Never, RestartPolicy::No));
    assert_eq!((request.stdin, request.terminal, request.init), (Stdin::Null, Terminal::None, Init::Payload));
    assert_eq!((request.rootfs_access, request.network), (Access::ReadWrite, NetworkMode::Default));
    assert_eq!((request.name, request.workdir, request.user, request.hostname), (None, None, None, None));
    assert_eq!((request.entrypoint, request.cidfile), (None, None));
    assert!(request.command.is_empty() && request.env.is_empty() && request.labels.is_empty());
    assert_eq!(request.security, SecurityOptions::default());
}

#[test]
fn everything_at_once() {
    let asked = asked(&[
        "--rm",
        "-itd",
        "--name",
        "web",
        "-e",
        "A=1",
        "--env=B",
        "-w",
        "/src/",
        "-u",
        "1000:staff",
        "--entrypoint",
        "[\"/e\",\"x\"]",
        "--init",
        "-h",
        "host1",
        "--net",
        "host",
        "--read-only",
        "-v",
        "/a:/b:ro",
        "--tmpfs",
        "/t:size=1m",
        "--cap-add",
        "NET_ADMIN,sys_time",
        "--cap-drop=ALL",
        "--security-opt",
        "no-new-privileges",
        "--security-opt=unmask=ALL",
        "-l",
        "k=v",
        "--label",
        "e",
        "--pull=newer",
        "-q",
        "--platform",
        "linux/arm64",
        "--authfile",
        "auth.json",
        "--tls-verify=false",
        "debian:12",
        "sh",
        "-c",
        "exit 3",
    ]);
    let request = asked.request;
    assert_eq!(request.removal, Removal::AtExit);
    assert_eq!((request.stdin, request.terminal, request.init), (Stdin::Open, Terminal::New, Init::Reaper));
    assert_eq!(request.name.unwrap().as_str(), "web");
    assert_eq!(request.env, [EnvSetting::Set { name: "A".into(), value: "1".into() }, EnvSetting::Import("B".into())]);
    assert_eq!(request.workdir.as_deref(), Some("/src"));
    let user = request.user.unwrap();
    assert_eq!((user.user, user.group), (UserName::Id(1000), Some(UserName::Name("staff".into()))));
    assert_eq!(request.entrypoint.unwrap(), ["/e", "x"]);
    assert_eq!(request.hostname.as_deref(), Some("host1"));
    assert_eq!((request.network, request.rootfs_access), (NetworkMode::Host, Access::ReadOnly));
    assert_eq!((request.mounts.len(), request.tmpfs.len()), (1, 1));
    let added = [Capability::NetAdmin, Capability::SysTime].map(CapabilityName::One);
    assert_eq!((request.capabilities.add, request.capabilities.drop), (added.to_vec(), vec![CapabilityName::All]));
    assert_eq!((request.security.no_new_privileges, request.security.unmask), (Some(true), vec![Unmask::All]));
    assert_eq!(
        request.labels.into_iter().collect::<Vec<_>>(),
        [("e".to_owned(), String::new()), ("k".to_owned(), "v".to_owned())]
    );
    assert_eq!(request.command, ["sh", "-c", "exit 3"]);
    let RootfsSource::Image { pull, platform, .. } = request.rootfs else { panic!("not an image") };
    assert_eq!((pull, platform.unwrap().to_string()), (PullPolicy::Newer, "linux/arm64".into()));
    assert_eq!(asked.access.authfile.as_deref(), Some(Path::new("auth.json")));
    assert_eq!((asked.access.tls_verify, asked.progress), (Some(false), Progress::Quiet));
}

#[test]
fn networks_ports_and_names() {
    let request = request(&[
        "--network=front:alias=www",
        "--ip",
        "10.89.0.5",
        "--ip6=fd00::5",
        "--mac-address",
        "92:d0:c6:0a:29:33",
        "--network-alias=web",
        "-p",
        "8080:80",
        "--publish=127.0.0.1::53/udp",
        "-P",
        "--expose",
        "90-92",
        "--dns=10.0.0.1",
        "--dns-search=.",
        "--dns-opt",
        "ndots:2",
        "--add-host",
        "db:10.0.0.6",
        "--hosts-file",
        "hosts",
        "--no-hostname",
        "debian",
    ]);
    let NetworkMode::Networks(all) = &request.network else { panic!("{:?}", request.network) };
    let text = "front:ip=10.89.0.5,ip6=fd00::5,mac=92:d0:c6:0a:29:33,alias=www,alias=web";
    assert_eq!(all[0].to_string(), text);
    let published: Vec<String> = request.ports.published.iter().map(ToString::to_string).collect();
    assert_eq!(published, ["8080:80/tcp", "127.0.0.1::53/udp"]);
    assert!(request.ports.all && request.ports.exposed[0].to_string() == "90-92/tcp");
    let resolution = &request.resolution;
    assert_eq!(resolution.servers, DnsServers::These(vec!["10.0.0.1".parse().unwrap()]));
    assert_eq!(resolution.search, Some(Vec::new()));
    assert_eq!(resolution.options.as_ref().unwrap()[0].as_str(), "ndots:2");
    assert_eq!(resolution.hosts, HostsFile::File("/here/hosts".into()));
    assert_eq!(resolution.entries[0].to_string(), "db:10.0.0.6");
    assert!(resolution.leaves_hostname);
    let kept = serde_json::to_string(&request).unwrap();
    let read: Request = serde_json::from_str(&kept).unwrap();
    assert_eq!((read.network, read.ports, read.resolution), (request.network, request.ports, request.resolution));
}

#[test]
fn everything_after_the_image_is_the_commands() {
    assert_eq!(
        request(&["debian", "-it", "--rm", "--", "-v", "--help"]).command,
        ["-it", "--rm", "--", "-v", "--help"]
    );
    assert_eq!(request(&["--rm", "debian", "--rm"]).command, ["--rm"]);
    assert_eq!(request(&["--rm", "--", "debian", "ls"]).command, ["ls"]);
}

#[test]
fn booleans_take_values_as_podmans_do() {
    let made = request(&["--rm=false", "--init=true", "-i=1", "--read-only=F", "debian"]);
    assert_eq!((made.removal, made.init), (Removal::Never, Init::Reaper));
    assert_eq!((made.stdin, made.rootfs_access), (Stdin::Open, Access::ReadWrite));
    assert_eq!(asked(&["--tls-verify", "debian"]).access.tls_verify, Some(true));
    assert_eq!(refused(&["--rm=maybe", "debian"]).code(), "USAGE");
    // A value must be attached: this one is the image.
    assert_eq!(request(&["--rm", "false", "true"]).command, ["true"]);
}

#[test]
fn rootfs_directories() {
    let rootfs = |words: &[&str]| request(words).rootfs;
    let directory = |path: &str, writes| RootfsSource::Directory { path: path.into(), writes };
    assert_eq!(rootfs(&["--rootfs", "/x", "ls"]), directory("/x", DirectoryWrites::Through));
    assert_eq!(rootfs(&["--rootfs", "x:O"]), directory("/here/x", DirectoryWrites::Discarded));
    assert_eq!(rootfs(&["--rootfs", "/:O", "bash"]), directory("/", DirectoryWrites::Discarded));
    for words in [&["--rootfs", ""][..], &["--rootfs", ":O"], &["--rootfs", "/x:idmap"]] {
        assert_eq!(refused(words).code(), "E_CONFIG");
    }
    assert_eq!(refused(&["--rootfs", "--platform", "linux/arm64", "/x"]).code(), "E_CONFIG");
}

#[test]
fn files_of_settings_come_first() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (env, labels) = (write("env", "# c\nA=file\nB=2\n"), write("labels", "k=file\nm=1\n"));
    let request = request(&["-e", "A=flag", "--env-file", &env, "-l", "k=flag", "--label-file", &labels, "debian"]);
    let names: Vec<_> = request.env.iter().map(|setting| format!("{setting:?}")).collect();
    assert!(names[0].contains("file") && names[2].contains("flag"), "{names:?}");
    assert_eq!((request.labels["k"].as_str(), request.labels["m"].as_str()), ("flag", "1"));

    let broken = write("broken", "A=1\nB C=2\n");
    let failure = refused(&["--env-file", &broken, "debian"]);
    assert!(failure.to_string().contains("line 2") && failure.to_string().contains("broken"), "{failure}");
    assert_eq!(refused(&["--env-file", "/no/such", "debian"]).code(), "E_NOTFOUND");
    let failure = refused(&["--cidfile", &env, "debian"]);
    assert!(failure.code() == "E_EXISTS");
}

#[test]
fn refusals_name_the_flag_and_the_cure() {
    let cases: &[(&[&str], &str, &str)] = &[
        (&["--name", "a/b", "debian"], "--name", "E_NAME_INVALID"),
        (&["--name", "--rm", "debian"], "--name", "E_NAME_INVALID"),
        (&["-h", "a_b", "debian"], "--hostname", "E_NAME_INVALID"),
        (&["-e", "=x", "debian"], "--env", "E_CONFIG"),
        (&["-e", "", "debian"], "--env", "E_CONFIG"),
        (&["-w", "src", "debian"], "--workdir", "E_CONFIG"),
        (&["-u", "-1", "debian"], "--user", "E_USER_INVALID"),
        (&["-u", "4294967295", "debian"], "--user", "E_USER_INVALID"),
        (&["--entrypoint", "[1]", "debian"], "--entrypoint", "E_CONFIG"),
        (&["--network", "-v", "debian"], "--network", "E_NAME_INVALID"),
        (&["--network", "host", "--network", "front", "debian"], "--network", "E_CONFIG"),
        (&["--ip", "10.0.0.5", "debian"], "--ip", "E_CONFIG"),
        (&["--network", "front", "--ip", "fd00::5", "debian"], "--ip", "E_CONFIG"),
        (&["--network", "front,back", "--ip", "10.0.0.5", "debian"], "--ip", "E_CONFIG"),
        (&["--network", "host", "--network-alias", "a", "debian"], "--network-alias", "E_CONFIG"),
        (&["-p", "8080:80:90", "debian"], "--publish", "E_CONFIG"),
        (&["-p", "80", "--network", "none", "debian"], "--publish", "E_CONFIG"),
        (&["-P", "--network", "container:web", "debian"], "--publish", "E_CONFIG"),
        (&["--expose", "0", "debian"], "--expose", "E_CONFIG"),
        (&["--dns", "x", "debian"], "--dns", "E_CONFIG"),
        (&["--dns-search", "a b", "debian"], "--dns-search", "E_CONFIG"),
        (&["--dns-opt", "", "debian"], "--dns-option", "E_CONFIG"),
        (&["--add-host", "db", "debian"], "--add-host", "E_CONFIG"),
        (&["--pull", "sometimes", "debian"], "--pull", "E_CONFIG"),
        (&["--cap-add", "NET", "debian"], "--cap-add", "E_CONFIG"),
        (&["--security-opt", "x", "debian"], "--security-opt", "E_CONFIG"),
        (&["-v", "my/data:/x", "debian"], "--volume", "E_NAME_INVALID"),
        (&["-v", "/x:ro", "debian"], "--volume", "E_CONFIG"),
        (&["-v", "/x:y", "debian"], "--volume", "E_CONFIG"),
        (&["--tmpfs", "x", "debian"], "--tmpfs", "E_CONFIG"),
        (&["-l", "=x", "debian"], "--label", "E_CONFIG"),
        (&["-v", "/a:/x", "--tmpfs", "/x/", "debian"], "\"/x\"", "E_CONFIG"),
        (&["-v", "/a:/x", "-v", "/b:/y/../x", "debian"], "\"/x\"", "E_CONFIG"),
        (&["--platform", "a/b/c/d", "debian"], "platform", "E_CONFIG"),
        (&["Debian"], "lowercase", "E_NAME_INVALID"),
    ];
    for (words, part, code) in cases {
        let failure = refused(words);
        assert!(failure.to_string().contains(part) && failure.code() == *code, "{words:?}: {failure}");
    }
    assert!(refused(&["-v", "my/data:/x", "debian"]).hint().unwrap().contains("./my/data"));
}

// CVE-2024-32462: what looks like an option or like shell syntax is never a name.
#[test]
fn hostile_names_are_refused() {
    for word in ["-v", "--privileged", "--mount=type=bind", ";id", "$(id)", "a\nb", "`id`", "../x"] {
        assert_eq!(refused(&["--name", word, "debian"]).code(), "E_NAME_INVALID", "{word:?}");
        assert_eq!(refused(&["--hostname", word, "debian"]).code(), "E_NAME_INVALID", "{word:?}");
        assert_eq!(refused(&["--user", word, "debian"]).code(), "E_USER_INVALID", "{word:?}");
        assert_eq!(refused(&["--", word]).code(), "E_NAME_INVALID", "{word:?}");
    }
    assert_eq!(refused(&["--privileged"]).code(), "USAGE");
    assert_eq!(refused(&[]).code(), "USAGE");
}

#[test]
fn options_that_depend_on_security_modules() {
    let none = security::Modules::default;
    let selinux = || security::Modules { selinux: true, ..Default::default() };
    let confined =
        || security::Modules { apparmor: true, apparmor_profile: Some("p (enforce)".into()), ..Default::default() };
    let relabel = ["-v", "/a:/b:Z", "debian"];
    assert!(asked_on(&relabel, none).is_ok());
    assert!(asked_on(&relabel, selinux).is_ok());
    let unconfined = ["--security-opt", "apparmor=unconfined", "--security-opt", "label=disable", "debian"];
    assert!(asked_on(&unconfined, none).is_ok());
    assert!(asked_on(&unconfined, selinux).is_ok());
    assert!(asked_on(&unconfined, confined).is_err());
}
