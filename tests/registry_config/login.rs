//! `login` and `logout`: what is asked, verified, kept and forgotten.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::faulty::{Answer, Faulty};
use crate::images::Image;
use crate::support::{Terminal, coracle_path};
use crate::{LIMIT, User, output};

/// `user:hunter2` as RFC 7617 has it.
const BASIC: &str = "Basic dXNlcjpodW50ZXIy";

/// A registry with the image `app` that knows `user:hunter2`.
fn guarded() -> Faulty {
    let image = Image::simple(1000);
    Faulty::start(move |asked| match asked.header("authorization") {
        Some(BASIC) if asked.path == "/v2/" => Answer::new(200, "{}"),
        Some(BASIC) => image.answer(asked),
        _ => {
            Answer::new(401, r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#).header("WWW-Authenticate", r#"Basic realm="r""#)
        }
    })
}

fn runtime_file(user: &User) -> PathBuf {
    user.lab.root().join("runtime/containers/auth.json")
}

fn read(path: &PathBuf) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn login(user: &User, flags: &[&str], registry: &str) -> crate::Output {
    user.coracle_with_input(
        [&["login", "--username", "user", "--password-stdin"], flags, &[registry]].concat(),
        "hunter2\r\n",
    )
}

#[test]
fn a_login_is_kept_used_shown_and_forgotten() {
    let (server, user) = (guarded(), User::with(""));
    let host = server.name();
    user.coracle(["login", "--get-login", &host]).refused(125, "E_AUTH").says("not logged in");
    assert_eq!(login(&user, &[], &format!("https://{host}/v2/")).ok().text(), "Login Succeeded!");
    let file = runtime_file(&user);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(read(&file), json!({"auths": {&host: {"auth": "dXNlcjpodW50ZXIy"}}}));
    assert_eq!(user.coracle(["login", "--get-login", &host]).ok().text(), "user");
    let again = user.coracle(["login", &host]);
    assert!(again.ok().text().contains("Already logged in"), "{again:?}");
    user.coracle(["pull", &format!("{host}/app")]).ok();
    assert_eq!(user.coracle(["logout", &host]).ok().text(), format!("Removed login credentials for {host}"));
    assert_eq!(read(&file), json!({"auths": {}}));
    user.coracle(["pull", &format!("{host}/app")]).refused(125, "E_AUTH");
}

#[test]
fn what_is_not_a_login_is_refused() {
    let (server, user) = (guarded(), User::with(""));
    let host = server.name();
    let wrong = user.coracle(["login", "-u", "user", "-p", "secret-of-mine", &host]);
    wrong.refused(125, "E_AUTH").says("log in");
    assert!(!wrong.errors().contains("secret-of-mine"));
    for arguments in [
        &["login", &host][..],
        &["login", "-u", "user", &host],
        &["login", "--password-stdin", &host],
        &["login", "-u", "", "-p", "x", &host],
        &["login", "-u", "a:b", "-p", "x", &host],
        &["login", "-u", "user", "-p", "", &host],
        &["login", "-u", "user", "-p", "x", "--password-stdin", &host],
        &["login", "--authfile=a", "--compat-auth-file=b", &host],
    ] {
        user.coracle(arguments).refused(125, "E_CONFIG");
    }
    user.coracle(["login", "-u", "user", "-p", "x", "not a registry"]).refused(125, "E_NAME_INVALID");
    user.coracle_with_input(["login", "-u", "user", "--password-stdin", &host], "").refused(125, "E_CONFIG");
    let closed = crate::nobody();
    user.coracle(["login", "-u", "user", "-p", "x", &closed]).refused(125, "E_REGISTRY");
    assert!(!runtime_file(&user).exists());
    user.configure("registries.conf", format!("[[registry]]\nlocation = \"{host}\"\nblocked = true"));
    login(&user, &[], &host).refused(125, "E_REGISTRY").says("blocks");
    login(&User::with(""), &[], &host).ok();
}

#[test]
fn a_token_server_verifies_a_login_too() {
    let tokens = Faulty::start(|asked| match asked.header("authorization") {
        Some(BASIC) => Answer::new(200, r#"{"token": "good"}"#),
        Some(_) => Answer::new(401, r#"{"details": "incorrect username or password"}"#),
        None => Answer::new(200, r#"{"token": "anonymous"}"#),
    });
    let realm = format!(r#"Bearer realm="{}/token",service="s""#, tokens.url());
    let server = Faulty::start(move |asked| match asked.header("authorization") {
        Some("Bearer good" | "Bearer anonymous") => Answer::new(200, "{}"),
        _ => Answer::new(401, "").header("WWW-Authenticate", realm.clone()),
    });
    let user = User::with("");
    let wrong = user.coracle(["login", "-u", "user", "-p", "wrong", &server.name()]);
    wrong.refused(125, "E_AUTH").says("log in");
    assert!(!runtime_file(&user).exists());
    login(&user, &[], &server.name()).ok();
    let asked = tokens.asked();
    assert_eq!(asked.last().unwrap().path, "/token?client_id=coracle&service=s", "no repository, no scope");
}

/// `login` at a terminal.
fn at_terminal(user: &User, arguments: &[&str]) -> Terminal {
    let mut command = user.lab.program("/usr/bin/setsid");
    command.env("TERM", "xterm").env("CONTAINERS_REGISTRIES_CONF_DIR", user.lab.root().join("none"));
    Terminal::start_command(command.arg("--ctty").arg(coracle_path()).args(arguments))
}

#[test]
fn a_password_is_asked_for_and_not_shown() {
    let (server, user) = (guarded(), User::with(""));
    let mut terminal = at_terminal(&user, &["login", &server.name()]);
    terminal.expect("Username: ");
    terminal.send("user\n");
    terminal.expect("Password: ");
    terminal.send("hunter2\n");
    terminal.expect("Login Succeeded!");
    assert_eq!(terminal.wait(), 0, "{}", terminal.transcript());
    assert!(!terminal.transcript().contains("hunter2"), "{}", terminal.transcript());
    assert!(terminal.is_restored());
    // The password has changed: the user is asked again, and need not type the name.
    fs::write(runtime_file(&user), json!({"auths": {server.name(): {"auth": "dXNlcjpvbGQ="}}}).to_string()).unwrap();
    let mut terminal = at_terminal(&user, &["login", &server.name()]);
    terminal.expect("not valid any more");
    terminal.expect("Username (user): ");
    terminal.send("\n");
    terminal.expect("Password: ");
    terminal.send("hunter2\n");
    assert_eq!(terminal.wait(), 0, "{}", terminal.transcript());
}

#[test]
fn a_terminal_is_restored_whatever_ends_the_question() {
    let (server, user) = (guarded(), User::with(""));
    for (ends, expected) in [("\u{3}", -(Signal::SIGINT as i32)), ("\u{1c}", -(Signal::SIGQUIT as i32)), ("\u{4}", 125)]
    {
        let mut terminal = at_terminal(&user, &["login", "-u", "user", &server.name()]);
        terminal.expect("Password: ");
        assert!(!terminal.is_restored(), "it does not show what is typed");
        terminal.send(ends);
        assert_eq!(terminal.wait(), expected, "{}", terminal.transcript());
        assert!(terminal.is_restored(), "{ends:?}");
    }
    let mut terminal = at_terminal(&user, &["login", "-u", "user", &server.name()]);
    terminal.expect("Password: ");
    terminal.signal(Signal::SIGTERM);
    assert_eq!(terminal.wait(), -(Signal::SIGTERM as i32));
    assert!(terminal.is_restored());
    // Stopped, and continued in the foreground.
    let mut terminal = at_terminal(&user, &["login", "-u", "user", &server.name()]);
    terminal.expect("Password: ");
    terminal.signal(Signal::SIGTSTP);
    crate::support::wait_until("it has stopped or asks on", || terminal.is_restored() || !is_stopped(terminal.pid()));
    terminal.signal(Signal::SIGCONT);
    crate::support::wait_until("it hides again", || !terminal.is_restored());
    terminal.send("hunter2\n");
    assert_eq!(terminal.wait(), 0, "{}", terminal.transcript());
    assert!(!terminal.transcript().contains("hunter2"));
}

fn is_stopped(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") T "))
}

/// A credential helper `docker-credential-NAME` that keeps its logins in a file, and a PATH on which it is.
fn helper(user: &User, name: &str) -> (PathBuf, String) {
    let (directory, kept) = (user.lab.path("bin"), user.lab.path(&format!("{name}.kept")));
    let program = user.lab.write(
        &format!("bin/docker-credential-{name}"),
        format!(
            r#"#!/bin/sh
kept={kept}
touch $kept
case $1 in
store) input=$(cat); server=$(echo "$input" | sed 's/.*"ServerURL":"\([^"]*\)".*/\1/'); echo "$server $input" >> $kept ;;
get) server=$(cat); grep -F "$server " $kept | cut -d' ' -f2- | grep . || {{ echo 'credentials not found in native keychain'; exit 1; }} ;;
erase) server=$(cat); grep -vF "$server " $kept > $kept.new; mv $kept.new $kept ;;
list) sed 's/^\([^ ]*\) .*/"\1": "user"/' $kept | paste -sd, | sed 's/.*/{{&}}/' ;;
esac
"#,
            kept = kept.display()
        ),
    );
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    (kept, format!("{}:/usr/bin:/bin", directory.display()))
}

#[test]
fn credential_helpers_keep_give_and_forget() {
    for (settings, in_conf) in [
        (json!({"credHelpers": {"HOST": "test"}}), ""),
        (json!({"credsStore": "test"}), ""),
        (json!({}), "credential-helpers = [\"test\"]"),
    ] {
        let (server, user) = (guarded(), User::with(in_conf));
        let host = server.name();
        let (kept, path) = helper(&user, "test");
        let settings = settings.to_string().replace("HOST", &host);
        let file = user.configure("auth.json", &settings);
        let coracle = |arguments: &[&str]| output::run(user.command(arguments).env("PATH", &path), &[], LIMIT);
        coracle(&["login", "-u", "user", "-p", "hunter2", &host]).ok();
        let stored = fs::read_to_string(&kept).unwrap();
        assert!(
            stored.contains(&format!(r#"{{"ServerURL":"{host}","Username":"user","Secret":"hunter2"}}"#)),
            "{stored}"
        );
        assert!(!fs::read_to_string(&file).unwrap().contains("dXNlcjpodW50ZXIy"), "the file holds no password");
        assert_eq!(coracle(&["login", "--get-login", &host]).ok().text(), "user");
        coracle(&["pull", &format!("{host}/app")]).ok();
        coracle(&["login", "-u", "user", "-p", "hunter2", &format!("{host}/team")])
            .refused(125, "E_CONFIG")
            .says("all of");
        coracle(&["logout", &host]).ok();
        assert_eq!(fs::read_to_string(&kept).unwrap(), "", "{settings}");
        coracle(&["logout", &host]).refused(125, "E_AUTH");
        coracle(&["login", "-u", "user", "-p", "hunter2", &host]).ok();
        coracle(&["logout", "--all"]).ok();
        assert_eq!(coracle(&["login", "--get-login", &host]).code, 125, "{settings}");
    }
}

#[test]
fn a_failing_helper_is_named_and_nothing_is_kept_elsewhere() {
    let (server, user) = (guarded(), User::with(""));
    let host = server.name();
    let file = user.configure("auth.json", json!({"credsStore": "surely-not-installed"}).to_string());
    let before = fs::read_to_string(&file).unwrap();
    login(&user, &[], &host).refused(125, "E_AUTH_HELPER").says("docker-credential-surely-not-installed");
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    assert!(!runtime_file(&user).exists());
}

#[test]
fn dockers_file_and_files_that_are_named() {
    let (server, user) = (guarded(), User::with(""));
    let host = server.name();
    let docker = user.lab.root().join("home/.docker/config.json");
    fs::create_dir_all(docker.parent().unwrap()).unwrap();
    fs::write(&docker, r#"{"HttpHeaders": {"a": "b"}}"#).unwrap();
    login(&user, &[], &host).ok();
    assert_eq!(read(&docker), json!({"HttpHeaders": {"a": "b"}, "auths": {&host: {"auth": "dXNlcjpodW50ZXIy"}}}));
    assert!(!runtime_file(&user).exists(), "only docker's exists");
    user.coracle(["pull", &format!("{host}/app")]).ok();
    user.coracle(["logout", &host]).ok();
    assert_eq!(read(&docker), json!({"HttpHeaders": {"a": "b"}, "auths": {}}));

    let compatible = user.lab.arg("config.json");
    login(&user, &["--compat-auth-file", &compatible], &host).ok();
    login(&user, &["--compat-auth-file", &compatible], &format!("{host}/team")).refused(125, "E_CONFIG");
    user.coracle(["login", "--get-login", "--compat-auth-file", &compatible, &host]).ok();
    user.coracle(["logout", "--compat-auth-file", &compatible, &host]).ok();
    let named = user.lab.arg("named.json");
    login(&user, &["--authfile", &named], &host).ok();
    user.coracle(["pull", &format!("{host}/app")]).refused(125, "E_AUTH");
    user.coracle(["pull", "--authfile", &named, &format!("{host}/app")]).ok();
    let mut command = user.command(["pull", &format!("{host}/app")]);
    output::run(command.env("REGISTRY_AUTH_FILE", &named), &[], LIMIT).ok();
    user.coracle(["logout", "--all", "--authfile", &named]).ok();
    assert_eq!(read(&user.lab.path("named.json")), json!({"auths": {}}));
    // Without a runtime directory it is the one that outlives a reboot.
    let lasting = User::with("");
    let mut command = lasting.command(["login", "-u", "user", "-p", "hunter2", &host]);
    let home = lasting.lab.root().join("config");
    output::run(command.env_remove("XDG_RUNTIME_DIR").env("XDG_CONFIG_HOME", &home), &[], LIMIT).ok();
    assert!(read(&home.join("containers/auth.json"))["auths"][&host].is_object());
}

#[test]
fn a_part_of_a_registry_has_a_login_of_its_own() {
    let image = Image::simple(1000);
    let server = Faulty::start(move |asked| match asked.header("authorization") {
        Some(BASIC) => image.answer(asked),
        Some(_) if asked.path == "/v2/" => Answer::new(200, "{}"),
        _ => Answer::new(401, "").header("WWW-Authenticate", "Basic"),
    });
    let (host, user) = (server.name(), User::with(""));
    user.coracle(["login", "-u", "other", "-p", "x", &host]).ok();
    user.coracle(["pull", &format!("{host}/app")]).refused(125, "E_AUTH").says("\"other\"");
    login(&user, &[], &format!("{host}/app")).ok();
    user.coracle(["pull", &format!("{host}/app")]).ok();
    assert_eq!(user.coracle(["login", "--get-login", &host]).ok().text(), "other");
    user.coracle(["logout", &format!("{host}/app")]).ok();
    user.coracle(["pull", &format!("{host}/app")]).refused(125, "E_AUTH").says("\"other\"");
}

#[test]
fn logins_at_the_same_time_are_all_kept() {
    let user = User::with("");
    let servers: Vec<Faulty> = (0..8).map(|_| guarded()).collect();
    std::thread::scope(|scope| {
        for server in &servers {
            let user = &user;
            scope.spawn(move || {
                login(user, &[], &server.name()).ok();
            });
        }
    });
    assert_eq!(read(&runtime_file(&user))["auths"].as_object().unwrap().len(), servers.len());
}
