//! `secret ...` and `--secret`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::{Lab, image};

const CANARY: &str = "canary-7391-secret";

/// The files below a directory that have the canary in them, or its base64.
fn with_canary(directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() {
            with_canary(&path, found);
        } else if metadata.is_file() {
            let bytes = fs::read(&path).unwrap_or_default();
            let has = |word: &[u8]| bytes.windows(word.len()).any(|part| part == word);
            if has(CANARY.as_bytes()) || has(b"Y2FuYXJ5LTczOTEtc2VjcmV0") {
                found.push(path.display().to_string());
            }
        }
    }
}

#[test]
fn secrets_are_kept_and_shown_to_nobody() {
    let lab = Lab::new();
    let id = lab.coracle_with_input(["secret", "create", "--label", "a=b", "one", "-"], CANARY.as_bytes()).ok().text();
    assert_eq!(id.len(), 25);
    lab.write("file", "other");
    lab.coracle(["secret", "create", "two", "file"]).ok();
    let mut command = lab.command(["secret", "create", "--env", "three", "SECRET_VALUE"]);
    let output = crate::support::output::run(command.env("SECRET_VALUE", "from env"), &[], crate::support::LIMIT);
    output.ok();
    assert_eq!(lab.coracle(["secret", "ls", "--format", "{{.Name}}"]).ok().text(), "one\nthree\ntwo");
    assert_eq!(lab.coracle(["secret", "ls", "-q", "--filter", "name=one"]).ok().text(), id);
    let shown = lab.coracle(["secret", "inspect", "one"]).ok().json()[0].clone();
    assert_eq!((&shown["ID"], &shown["Spec"]["Labels"]["a"]), (&id.as_str().into(), &"b".into()));
    assert!(!shown.to_string().contains(CANARY));
    assert_eq!(
        lab.coracle(["secret", "inspect", "--showsecret", "--format", "{{.SecretData}}", &id]).ok().text(),
        CANARY
    );
    assert_eq!(
        lab.coracle(["secret", "inspect", "--showsecret", "--format", "{{.SecretData}}", "three"]).ok().text(),
        "from env"
    );
    let mut found = Vec::new();
    with_canary(lab.root(), &mut found);
    let path = lab.store().join("secrets/one.json");
    assert_eq!(found, [path.display().to_string()]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    lab.coracle(["secret", "create", "two", "file"]).refused(125, "E_EXISTS").says("--replace");
    lab.coracle(["secret", "create", "--ignore", "two", "file"]).ok();
    lab.write("file", "newer");
    lab.coracle(["secret", "create", "--replace", "two", "file"]).ok();
    assert_eq!(
        lab.coracle(["secret", "inspect", "--showsecret", "--format", "{{.SecretData}}", "two"]).ok().text(),
        "newer"
    );
    lab.coracle(["secret", "exists", "two"]).ok();
    lab.coracle(["secret", "exists", "none"]).exited(1);
    for (arguments, code) in [
        (&["secret", "create", "a/b", "file"][..], "E_NAME_INVALID"),
        (&["secret", "create", "x", "nofile"], "E_NOTFOUND"),
        (&["secret", "create", "--env", "x", "NO_SUCH_VARIABLE"], "E_NOTFOUND"),
        (&["secret", "create", "-d", "pass", "x", "file"], "E_UNSUPPORTED"),
        (&["secret", "create", "-d", "shell", "x", "file"], "E_CONFIG"),
    ] {
        lab.coracle(arguments).refused(125, code);
    }
    lab.coracle_with_input(["secret", "create", "x", "-"], b"").refused(125, "E_CONFIG");
    lab.coracle_with_input(["secret", "create", "x", "-"], &vec![b'x'; 512_001])
        .refused(125, "E_CONFIG")
        .says("512000");
    lab.coracle(["secret", "inspect", "none"]).exited(125).says("none");
    lab.coracle(["secret", "rm", "none"]).exited(1);
    lab.coracle(["secret", "rm", "--ignore", "none"]).ok();
    lab.coracle(["secret", "rm", "--all"]).ok();
    assert_eq!(lab.coracle(["secret", "ls", "-q"]).ok().text(), "");
    assert!(!path.exists());
}

#[test]
fn a_container_gets_them_and_nothing_keeps_them() {
    let lab = Lab::new();
    lab.coracle_with_input(["secret", "create", "one", "-"], CANARY.as_bytes()).ok();
    let script = "cat /run/secrets/one; stat -c ' %a' /run/secrets/one; cat /etc/key; stat -c ' %a' /etc/key; echo $TOKEN; \
                  grep -c ' /etc/key ramfs ro' /proc/mounts; echo x >/run/secrets/one 2>/dev/null || true; sleep 1000";
    let flags =
        ["--secret", "one", "--secret", "one,target=/etc/key,mode=0400", "--secret", "one,type=env,target=TOKEN"];
    let run = ["run", "-d", "--name", "c"].into_iter().chain(flags).chain(["busybox-image", "sh", "-c", script]);
    let busybox = image("busybox");
    let run: Vec<&str> = run.map(|word| if word == "busybox-image" { busybox.as_str() } else { word }).collect();
    lab.coracle(["pull", "-q", &busybox]).ok();
    lab.coracle(&run).ok();
    let expected = format!("{CANARY} 444\n{CANARY} 400\n{CANARY}\n1");
    // The log has what the container has written of it: it must not be looked at below.
    crate::support::wait_until("it has spoken", || lab.coracle(["logs", "c"]).text().lines().count() == 4);
    assert_eq!(lab.coracle(["logs", "c"]).text(), expected);
    let report = lab.coracle(["inspect", "c"]).ok().text();
    assert!(!report.contains(CANARY) && report.contains("\"one\""), "{report}");
    assert_eq!(lab.coracle(["exec", "c", "cat", "/etc/key"]).ok().text(), CANARY);
    assert_eq!(lab.coracle(["exec", "c", "sh", "-c", "echo $TOKEN"]).ok().text(), CANARY);
    assert_eq!(lab.coracle(["exec", "-e", "TOKEN=given", "c", "sh", "-c", "echo $TOKEN"]).ok().text(), "given");
    lab.coracle(["commit", "-q", "c", "made"]).ok();
    let mut found = Vec::new();
    with_canary(lab.root(), &mut found);
    found.retain(|path| !path.ends_with("/log.json"));
    assert_eq!(found, [lab.store().join("secrets/one.json").display().to_string()]);
    assert_eq!(
        lab.coracle(["run", "--rm", "made", "sh", "-c", "cat /etc/key /run/secrets/one; echo $TOKEN"]).ok().text(),
        ""
    );
    // A new life gets the new one, and none where there is none.
    lab.coracle(["kill", "c"]).ok();
    lab.coracle(["rm", "-f", "c"]).ok();
    lab.coracle(["create", "--name", "d", "--secret", "one", &busybox, "cat", "/run/secrets/one"]).ok();
    lab.coracle_with_input(["secret", "create", "--replace", "one", "-"], b"newer").ok();
    assert_eq!(lab.coracle(["start", "-a", "d"]).ok().text(), "newer");
    lab.coracle(["secret", "rm", "one"]).ok();
    lab.coracle(["start", "-a", "d"]).refused(125, "E_NOTFOUND").says("one");
    lab.coracle(["run", "--rm", "--secret", "one", &busybox, "true"]).refused(125, "E_NOTFOUND").says("one");
    lab.coracle(["run", "--rm", "--secret", "one,colour=red", &busybox, "true"])
        .refused(125, "E_CONFIG")
        .says("colour");
}

#[test]
fn the_plan_does_not_show_them() {
    let lab = Lab::new();
    lab.coracle_with_input(["secret", "create", "one", "-"], CANARY.as_bytes()).ok();
    let plan = lab.busybox(&["--print-plan", "--secret", "one", "--secret", "one,type=env"], &["true"]);
    assert!(!plan.ok().text().contains(CANARY));
}

#[test]
fn commands_keep_secrets() {
    let lab = Lab::new();
    fs::create_dir(lab.path("keys")).unwrap();
    let keys = lab.arg("keys");
    let options = [
        format!("store=cat >{keys}/$SECRET_ID"),
        format!("lookup=cat {keys}/$SECRET_ID"),
        format!("delete=rm {keys}/$SECRET_ID"),
    ];
    let flags = options.iter().flat_map(|option| ["--driver-opts", option]);
    let create = ["secret", "create", "-d", "shell"].into_iter().chain(flags).chain(["one", "-"]);
    let id = lab.coracle_with_input(create, CANARY.as_bytes()).ok().text();
    assert_eq!(fs::read_to_string(lab.path("keys").join(&id)).unwrap(), CANARY);
    assert_eq!(lab.sh(&["--secret", "one"], "cat /run/secrets/one"), CANARY);
    let record = fs::read_to_string(lab.store().join("secrets/one.json")).unwrap();
    assert!(!record.contains("\"data\""), "{record}");
    lab.coracle(["secret", "rm", "one"]).ok();
    assert!(!lab.path("keys").join(&id).exists());
    let failing = [
        "secret",
        "create",
        "-d",
        "shell",
        "--driver-opts",
        "store=echo locked >&2; exit 3",
        "--driver-opts",
        "lookup=x",
        "--driver-opts",
        "delete=x",
        "two",
        "-",
    ];
    lab.coracle_with_input(failing, b"x").refused(125, "E_DRIVER").says("locked");
    lab.coracle(["secret", "exists", "two"]).exited(1);
}

/// CVE-2025-24965 and its like: what the image has in the place of a secret stays inside.
#[test]
fn links_in_the_place_of_secrets_stay_inside() {
    let lab = Lab::new();
    lab.write("outside/x", "host");
    let canary = crate::support::Canary::watch(lab.path("outside"));
    lab.coracle_with_input(["secret", "create", "one", "-"], CANARY.as_bytes()).ok();
    let outside = lab.arg("outside");
    let tree = crate::hostile::tree(
        &lab,
        &format!("mkdir -p run/secrets; ln -s {outside}/x run/secrets/one; ln -s {outside} out; mkfifo pipe"),
    );
    for target in ["one", "/out/new", "/out/x", "/pipe"] {
        let secret = format!("one,target={target}");
        let output = crate::hostile::run(&lab, &tree, &["--secret", &secret], &["true"]);
        assert!([0, 125].contains(&output.code), "{output:?}");
        canary.assert_unchanged();
    }
}
