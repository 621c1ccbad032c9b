//! Sudden death at any moment: what was acknowledged is there, what was not is cleared up by the next command.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::{LIMIT, Lab, coracle_path, image, output, wait_until};

/// Nothing half-done is left when the next commands have ended, and the store works.
fn assert_sound(lab: &Lab, context: &str) {
    let works = lab.coracle(["run", "--rm", &image("layers"), "cat", "/changed", "/swap/again"]);
    assert_eq!(works.code, 0, "{context}: {works:?}");
    assert_eq!(works.text(), "second\nthe third", "{context}");
    // The kernel may need a moment to end a container whose monitor was killed.
    wait_until(&format!("no container is left, {context}"), || lab.containers().is_empty());
    assert_eq!(lab.leftovers(), Vec::<PathBuf>::new(), "{context}");
}

/// Starts coracle, kills it with SIGKILL after `delay` and waits for it. Whether it had ended by itself.
fn kill_after(lab: &Lab, arguments: &[&str], delay: Duration) -> bool {
    let mut child = lab
        .command(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let deadline = Instant::now() + delay;
    while Instant::now() < deadline {
        std::thread::sleep(Duration::from_micros(200));
    }
    child.kill().unwrap();
    child.wait().unwrap().code().is_some()
}

/// Delays that cover the command from its beginning to its end, however fast the machine is.
fn delays(rounds: u32, whole: Duration) -> impl Iterator<Item = Duration> {
    (0..rounds).map(move |round| whole.mul_f64(f64::from(round) / f64::from(rounds)))
}

fn time(lab: &Lab, arguments: &[&str]) -> Duration {
    let started = Instant::now();
    lab.coracle(arguments).ok();
    started.elapsed()
}

#[test]
fn killing_a_pull_at_any_moment_leaves_a_sound_store() {
    let lab = Lab::new();
    let whole = time(&Lab::new(), &["pull", "-q", &image("layers")]);
    for delay in delays(30, whole.mul_f64(1.1)) {
        kill_after(&lab, &["pull", "-q", &image("layers")], delay);
        assert_sound(&lab, &format!("pull killed after {delay:?}"));
        lab.coracle(["rmi", &image("layers")]).ok();
    }
}

#[test]
fn killing_a_run_at_any_moment_leaves_a_sound_store() {
    let lab = Lab::new();
    let run = ["run", "--rm", &image("layers"), "sleep", "0.02"];
    lab.coracle(run).ok();
    let whole = time(&lab, &run);
    for delay in delays(50, whole.mul_f64(1.1)) {
        kill_after(&lab, &run, delay);
        assert_sound(&lab, &format!("run killed after {delay:?}"));
    }
}

#[test]
fn killing_while_an_image_is_removed_leaves_a_sound_store() {
    let lab = Lab::new();
    lab.pull("layers");
    let whole = time(&lab, &["rmi", &image("layers")]);
    for delay in delays(20, whole.mul_f64(1.1)) {
        lab.pull("layers");
        kill_after(&lab, &["rmi", &image("layers")], delay);
        assert_sound(&lab, &format!("rmi killed after {delay:?}"));
    }
}

/// coracle below strace, which does `action` to the `when`th call of one of `calls`. Whether there was such a call.
fn inject(lab: &Lab, calls: &str, action: &str, when: u32, arguments: &[&str]) -> (bool, output::Output) {
    let trace = lab.path("trace");
    let mut strace: Command = lab.program("/usr/bin/strace");
    strace.args(["-f", "-qq", "-o"]).arg(&trace).args(["-e", &format!("trace={calls}")]);
    strace.args(["-e", &format!("inject={calls}:{action}:when={when}")]).arg(coracle_path()).args(arguments);
    let output = output::run(&mut strace, &[], LIMIT);
    let trace = std::fs::read_to_string(trace).unwrap();
    (trace.contains("+++ killed by SIGKILL") || trace.contains("(INJECTED)"), output)
}

/// The Nth of these calls, for every N up to a bound, in whichever process makes it.
fn every_call(calls: &str, action: &str, bound: u32) {
    let lab = Lab::new();
    lab.pull("layers");
    let run = ["run", "--rm", &image("layers"), "true"];
    let mut hits = 0;
    for when in 1..=bound {
        let (hit, output) = inject(&lab, calls, action, when, &run);
        assert!(!output.errors().contains("panicked"), "{calls} {when}: {output:?}");
        assert_sound(&lab, &format!("{action} at {calls} number {when}"));
        if !hit {
            break;
        }
        hits += 1;
    }
    assert!(hits > 0, "no {calls} was seen: nothing was tested");
}

#[test]
fn death_at_every_rename_of_a_run_leaves_a_sound_store() {
    every_call("rename,renameat,renameat2", "signal=KILL", 40);
}

#[test]
fn death_at_every_mkdir_of_a_run_leaves_a_sound_store() {
    every_call("mkdir,mkdirat", "signal=KILL", 40);
}

#[test]
fn death_at_every_unlink_of_a_run_leaves_a_sound_store() {
    every_call("unlink,unlinkat,rmdir", "signal=KILL", 40);
}

#[test]
fn death_at_every_open_of_a_run_leaves_a_sound_store() {
    every_call("openat,openat2", "signal=KILL", 60);
}

#[test]
fn errors_at_every_mount_of_a_run_leave_a_sound_store() {
    every_call("fsopen,fsmount,move_mount,open_tree,mount_setattr,mount", "error=EPERM", 60);
}

#[test]
fn a_full_disk_at_every_write_of_a_run_leaves_a_sound_store() {
    every_call("mkdirat,mkdir,openat,renameat2,renameat,rename", "error=ENOSPC", 60);
}

#[test]
fn death_at_every_rename_of_a_pull_leaves_a_sound_store() {
    let mut hits = 0;
    let lab = Lab::new();
    for when in 1..=40 {
        let (hit, _) =
            inject(&lab, "rename,renameat,renameat2,linkat", "signal=KILL", when, &["pull", "-q", &image("layers")]);
        assert_sound(&lab, &format!("pull killed at rename {when}"));
        lab.coracle(["rmi", &image("layers")]).ok();
        if !hit {
            break;
        }
        hits += 1;
    }
    assert!(hits > 0, "no rename was seen: nothing was tested");
}

#[test]
fn an_error_at_every_sync_of_a_pull_fails_it() {
    let mut hits = 0;
    for when in 1..=60 {
        let lab = Lab::new();
        let (hit, output) =
            inject(&lab, "fsync,fdatasync,syncfs", "error=EIO", when, &["pull", "-q", &image("layers")]);
        if !hit {
            output.ok();
            break;
        }
        hits += 1;
        // Never "pulled" when the disk said no.
        output.exited(125);
        assert_sound(&lab, &format!("sync number {when} failed"));
    }
    assert!(hits > 0, "no sync was seen: nothing is durable");
}

/// The verbs on a container that is kept, each with what must be there before it.
const VERBS: &[(&[&[&str]], &[&str])] = &[
    (&[], &["create", "--name", "c", "IMAGE", "true"]),
    (&[&["create", "--name", "c", "IMAGE", "true"]], &["start", "c"]),
    (&[&["create", "--name", "c", "IMAGE", "true"]], &["start", "-a", "c"]),
    (&[&["run", "-d", "--name", "c", "IMAGE", "sleep", "1000"]], &["rm", "-f", "c"]),
    (&[&["run", "-d", "--name", "c", "IMAGE", "sleep", "1000"]], &["stop", "-t", "0", "c"]),
    (&[&["run", "--name", "c", "IMAGE", "true"]], &["restart", "-t", "0", "c"]),
    (&[&["run", "-d", "--name", "c", "IMAGE", "sleep", "1000"]], &["pause", "c"]),
    (&[&["run", "-d", "--name", "c", "IMAGE", "sleep", "1000"]], &["cp", "-a", "/etc/passwd", "c:/copied"]),
    (&[&["create", "--name", "c", "IMAGE", "true"]], &["cp", "-a", "/etc/passwd", "c:/copied"]),
    (&[&["create", "--name", "c", "IMAGE", "true"]], &["rename", "c", "d"]),
    (&[&["run", "--name", "c", "IMAGE", "touch", "/new"]], &["commit", "-q", "c", "localhost/committed"]),
];

/// A verb that is killed at any change it makes on the disk has been done or has not: the container is shown in one of its
/// states under one of its names, can be removed, and nothing is left of it.
#[test]
fn death_at_every_change_of_a_kept_container_leaves_sound_records() {
    at_every_change("signal=KILL", &format!("{CHANGES},pidfd_send_signal,fchmod,fchmodat,utimensat"));
}

/// The same where the disk is full: the verb has been done, or says why not.
#[test]
fn a_full_disk_at_every_change_of_a_kept_container_leaves_sound_records() {
    at_every_change("error=ENOSPC", CHANGES);
}

/// What changes a directory.
const CHANGES: &str = "rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,symlink,symlinkat";

fn at_every_change(action: &str, calls: &str) {
    let name = image("busybox");
    let words = |words: &[&str]| words.iter().map(|word| word.replace("IMAGE", &name)).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        for (before, verb) in VERBS {
            scope.spawn(move || {
                let lab = Lab::new();
                lab.pull("busybox");
                let (mut when, mut hit) = (0, true);
                while hit {
                    when += 1;
                    for command in *before {
                        lab.coracle(words(command)).ok();
                    }
                    let verb = words(verb);
                    let arguments: Vec<&str> = verb.iter().map(String::as_str).collect();
                    let (was_hit, output) = inject(&lab, calls, action, when, &arguments);
                    hit = was_hit && when < 60;
                    let context = format!("{verb:?}, {action} at change {when}");
                    assert!(!output.errors().contains("panicked"), "{context}: {output:?}");
                    // With 137 it was the container's own process that was killed.
                    let is_told = output.code <= 0 || output.code == 137 || output.errors().contains("[E_");
                    assert!(is_told, "{context}: {output:?}");
                    let listed = lab.coracle(["ps", "-a", "--format", "{{.Names}} {{.State}}"]);
                    assert_eq!(listed.ok().errors(), "", "{context}");
                    let shown = listed.text();
                    assert!(
                        shown.is_empty() || shown.starts_with("c ") || shown.starts_with("d "),
                        "{context}: {shown}"
                    );
                    assert!(shown.lines().count() <= 1, "{context}: {shown}");
                    lab.coracle(["rm", "--force", "--all"]).ok();
                    lab.coracle(["rmi", "--force", "localhost/committed"]);
                    wait_until(&format!("nothing is left, {context}"), || {
                        lab.coracle(["ps", "-a"]).ok();
                        lab.leftovers().is_empty()
                    });
                }
                assert!(when > 1 || calls == CHANGES, "{verb:?} changes nothing: nothing was tested");
            });
        }
    });
}

/// An image that is said to be made can be run; one that could not be written is not there.
#[test]
fn a_full_disk_at_every_write_of_a_commit_is_told() {
    let lab = Lab::new();
    lab.coracle(["run", "--name", "c", &image("busybox"), "sh", "-c", "echo kept >/kept; cp /bin/busybox /copied"])
        .ok();
    let (mut when, mut hit, mut failures) = (0, true, 0);
    while hit {
        when += 1;
        let commit = ["commit", "-q", "c", "localhost/committed"];
        let (was_hit, output) = inject(&lab, "write,pwrite64,writev", "error=ENOSPC", when, &commit);
        hit = was_hit && when < 60;
        assert!(!output.errors().contains("panicked"), "write {when}: {output:?}");
        match output.code {
            0 => {
                let kept = lab.coracle(["run", "--rm", "localhost/committed", "cat", "/kept"]);
                assert_eq!(kept.ok().text(), "kept", "write {when}");
            }
            code => {
                failures += 1;
                // Each process has its Nth write, and this one's may be the message.
                let is_lost = std::fs::read_to_string(lab.path("trace")).unwrap().contains("write(2, ");
                let is_told = output.errors().contains("[E_") || (is_lost && output.stderr.is_empty());
                assert!(code == 125 && is_told, "write {when}: {output:?}");
            }
        }
        lab.coracle(["rmi", "--force", "localhost/committed"]);
        lab.coracle(["ps", "-a"]).ok();
        assert_eq!(std::fs::read_dir(lab.store().join("tmp")).unwrap().count(), 0, "write {when}");
    }
    assert!(failures > 0, "no write was seen: nothing was tested");
}

/// What a client does with a container that runs, and what that may be doing afterwards.
const CLIENTS: &[(&[&str], &[&str])] = &[
    (&["attach", "--no-stdin", "NAME"], &["running"]),
    (&["logs", "-f", "NAME"], &["running"]),
    (&["wait", "NAME"], &["running"]),
    (&["exec", "NAME", "sleep", "TAG"], &["running"]),
    (&["cp", "NAME:/bin", "copied"], &["running"]),
    (&["cp", "big", "NAME:/copied"], &["running"]),
    (&["export", "-o", "exported", "NAME"], &["running"]),
    (&["commit", "-q", "NAME", "localhost/committed"], &["running"]),
    (&["stop", "-t", "0", "NAME"], &["running", "exited"]),
    (&["restart", "-t", "0", "NAME"], &["running", "exited"]),
];

/// Command lines of processes that have this in them.
fn processes_with(text: &str) -> Vec<String> {
    let lines = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let bytes = std::fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&bytes).replace('\0', " "))
    });
    lines.filter(|line| line.contains(text)).collect()
}

/// A client that is killed leaves the container as it was, or what it was asked for, and nothing of itself.
#[test]
fn killing_a_client_at_any_moment_leaves_its_container_alone() {
    std::thread::scope(|scope| {
        for (number, (verb, states)) in CLIENTS.iter().enumerate() {
            scope.spawn(move || {
                let lab = Lab::new();
                lab.write("big", vec![b'x'; 4 << 20]);
                // No other process has this in its command line.
                let tag = format!("9{number}{:07}", std::process::id());
                let name = format!("c-{tag}");
                let verb: Vec<String> =
                    verb.iter().map(|word| word.replace("NAME", &name).replace("TAG", &tag)).collect();
                let arguments: Vec<&str> = verb.iter().map(String::as_str).collect();
                lab.coracle(["run", "-d", "--name", &name, &image("busybox"), "sleep", "1000"]).ok();
                for delay in delays(15, Duration::from_millis(150)) {
                    let context = format!("{verb:?} killed after {delay:?}");
                    kill_after(&lab, &arguments, delay);
                    wait_until(&format!("its processes are gone, {context}"), || processes_with(&tag).is_empty());
                    let state = lab.inspect(&name)["State"]["Status"].as_str().unwrap().to_owned();
                    assert!(states.contains(&state.as_str()), "{context}: {state}");
                    let is_alive = || {
                        lab.coracle(["start", &name]).ok();
                        lab.coracle(["exec", &name, "echo", "alive"]).code == 0
                    };
                    // What a killed client has sent a signal may be about to end.
                    assert!(is_alive() || states.contains(&"exited"), "{context}");
                    wait_until(&format!("it lives, {context}"), is_alive);
                    lab.coracle(["ps", "-a"]).ok();
                    let unfinished = std::fs::read_dir(lab.store().join("tmp")).unwrap().count();
                    assert_eq!(unfinished, 0, "{context}");
                }
                lab.coracle(["rm", "-f", &name]).ok();
                lab.coracle(["rmi", "--force", "localhost/committed"]);
                assert_eq!(lab.leftovers(), Vec::<PathBuf>::new(), "{verb:?}");
            });
        }
    });
}

/// The monitor of `run -t` is not its client: the container lives on.
#[test]
fn killing_the_client_of_a_terminal_at_any_moment_leaves_a_sound_container() {
    let lab = Lab::new();
    lab.pull("busybox");
    for delay in delays(15, Duration::from_millis(100)) {
        let run = ["run", "-t", "--name", "c", &image("busybox"), "sleep", "1000"];
        let mut terminal = support::Terminal::start(&lab, run);
        std::thread::sleep(delay);
        terminal.signal(nix::sys::signal::Signal::SIGKILL);
        terminal.wait();
        // Whoever was just starting it goes on or gives up.
        wait_until("it is settled", || lab.containers().iter().all(|row| row["State"] != "created"));
        for row in lab.containers() {
            assert!(["running", "exited"].contains(&row["State"].as_str().unwrap()), "{delay:?}: {row}");
        }
        lab.coracle(["rm", "--force", "--all"]).ok();
        lab.assert_clean();
    }
}

/// The verbs that change images, each with what must be there before it.
const IMAGE_VERBS: &[(&[&[&str]], &[&str])] = &[
    (&[], &["pull", "-q", "IMAGE"]),
    (&[], &["tag", "KEPT", "one", "two"]),
    (&[&["tag", "KEPT", "one", "two"]], &["untag", "KEPT", "one", "two"]),
    (&[&["pull", "-q", "IMAGE"]], &["rmi", "IMAGE"]),
    (&[&["pull", "-q", "IMAGE"], &["untag", "IMAGE"]], &["image", "prune", "-f"]),
    (
        &[&["pull", "-q", "IMAGE"], &["untag", "IMAGE"], &["create", "--name", "c", "KEPT", "true"]],
        &["system", "prune", "-f"],
    ),
];

/// What was acknowledged before is there and runs, what is left of the dead is removed by the next commands, and a check of
/// every byte finds nothing.
fn assert_images_sound(lab: &Lab, context: &str) {
    let listed = lab.coracle(["images", "--format", "{{.Repository}}"]);
    assert_eq!(listed.ok().errors(), "", "{context}");
    let clean = lab.coracle(["system", "check"]);
    assert!(clean.code == 0 && clean.text().starts_with("No damage: "), "{context}: {clean:?}");
    let kept = lab.coracle(["run", "--rm", "--pull", "never", &image("busybox"), "echo", "runs"]);
    assert_eq!((kept.code, kept.text().as_str()), (0, "runs"), "{context}: {kept:?}");
    // The pull that was killed, or the image that was not removed altogether, works in the end.
    lab.coracle(["pull", "-q", &image("layers")]).ok();
    let works = lab.coracle(["run", "--rm", "--pull", "never", &image("layers"), "cat", "/changed", "/swap/again"]);
    assert_eq!((works.code, works.text().as_str()), (0, "second\nthe third"), "{context}: {works:?}");
    lab.coracle(["rmi", &image("layers")]).ok();
    lab.coracle(["rm", "--all"]).ok();
    lab.coracle(["rmi", "--ignore", "localhost/one", "localhost/two"]).ok();
    lab.coracle(["image", "prune", "-f"]).ok();
    assert_eq!(lab.leftovers(), Vec::<PathBuf>::new(), "{context}");
    let left = lab.coracle(["system", "df", "--format", "{{.Type}} {{.RawSize}}"]).ok().text();
    assert!(left.contains("Leftovers 0"), "{context}: {left}");
}

fn image_verb(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| word.replace("IMAGE", &image("layers")).replace("KEPT", &image("busybox"))).collect()
}

fn death_in_image_verbs(calls: &str, every: usize) {
    std::thread::scope(|scope| {
        for (before, verb) in IMAGE_VERBS {
            scope.spawn(move || {
                let lab = Lab::new();
                lab.pull("busybox");
                let mut hits = 0;
                for when in (1..=200).step_by(every) {
                    for command in *before {
                        lab.coracle(image_verb(command)).ok();
                    }
                    let verb = image_verb(verb);
                    let arguments: Vec<&str> = verb.iter().map(String::as_str).collect();
                    let (hit, output) = inject(&lab, calls, "signal=KILL", when, &arguments);
                    let context = format!("{verb:?} killed at {calls} number {when}");
                    assert!(!output.errors().contains("panicked"), "{context}: {output:?}");
                    assert_images_sound(&lab, &context);
                    if !hit {
                        break;
                    }
                    hits += 1;
                }
                assert!(hits > 0, "{verb:?} has no {calls}: nothing was tested");
            });
        }
    });
}

#[test]
fn death_at_every_rename_of_an_image_verb_leaves_a_sound_store() {
    death_in_image_verbs("rename,renameat,renameat2,fsync,syncfs", 1);
}

#[test]
fn death_at_changes_of_an_image_verb_leaves_a_sound_store() {
    death_in_image_verbs("unlink,unlinkat,rmdir,mkdir,mkdirat,flock,openat", 7);
}

#[test]
fn death_at_any_moment_of_an_image_verb_leaves_a_sound_store() {
    for (before, verb) in IMAGE_VERBS {
        let lab = Lab::new();
        lab.pull("busybox");
        let prepare = || {
            before.iter().for_each(|command| {
                lab.coracle(image_verb(command)).ok();
            });
        };
        let verb = image_verb(verb);
        let arguments: Vec<&str> = verb.iter().map(String::as_str).collect();
        prepare();
        let whole = time(&lab, &arguments);
        assert_images_sound(&lab, "nobody was killed");
        for delay in delays(8, whole.mul_f64(1.1)) {
            prepare();
            kill_after(&lab, &arguments, delay);
            assert_images_sound(&lab, &format!("{verb:?} killed after {delay:?}"));
        }
    }
}

#[test]
fn death_at_every_change_of_a_login_leaves_the_old_file_or_the_new_one() {
    let lab = Lab::new();
    let registry = image("").split('/').next().unwrap().to_owned();
    let file = lab.arg("auth.json");
    let other = r#"{"auths": {"other.example": {"auth": "YTpi"}}, "detachKeys": "ctrl-e"}"#;
    let login = ["login", "-u", "user", "-p", "secret", "--authfile", &file, &registry];
    let logout = ["logout", "--authfile", &file, &registry];
    let logged_in = || {
        let text = std::fs::read(&file).unwrap();
        let document: serde_json::Value = serde_json::from_slice(&text).expect("the file is whole");
        assert!(document["auths"]["other.example"]["auth"] == "YTpi" && document["detachKeys"] == "ctrl-e");
        document["auths"].get(&registry).is_some()
    };
    let calls = "write,fsync,rename,renameat,renameat2,unlink,unlinkat,flock";
    let mut hits = 0;
    for when in 1..60 {
        std::fs::write(&file, other).unwrap();
        let (in_login, output) = inject(&lab, calls, "signal=KILL", when, &login);
        assert!(logged_in() || output.code != 0, "{output:?}");
        lab.coracle(login).ok();
        let (in_logout, output) = inject(&lab, calls, "signal=KILL", when, &logout);
        assert!(!logged_in() || output.code != 0, "{output:?}");
        lab.coracle(login).ok();
        lab.coracle(logout).ok();
        hits += u32::from(in_login) + u32::from(in_logout);
        if !in_login && !in_logout {
            break;
        }
    }
    assert!(hits > 5, "only {hits} calls were seen");
    let left: Vec<_> = std::fs::read_dir(lab.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "the file and the trace, nothing unfinished: {left:?}");
}

/// Volumes are whole or gone, and none is left that was made for a container which is gone.
fn assert_volumes_sound(lab: &Lab, context: &str) {
    let works = lab.coracle(["run", "--rm", "-v", "data:/changed.d", &image("layers"), "touch", "/changed.d/x"]);
    assert_eq!(works.code, 0, "{context}: {works:?}");
    wait_until(&format!("no container is left, {context}"), || lab.containers().is_empty());
    let listed = lab.coracle(["volume", "ls", "--format", "json"]);
    assert_eq!((listed.code, listed.errors().as_str()), (0, ""), "{context}");
    for volume in listed.json().as_array().unwrap() {
        assert_eq!(volume["Anonymous"], false, "{context}: {volume}");
        assert!(PathBuf::from(volume["Mountpoint"].as_str().unwrap()).is_dir(), "{context}: {volume}");
    }
    assert_eq!(lab.leftovers(), Vec::<PathBuf>::new(), "{context}");
}

fn death_in_volume_verbs(calls: &str) {
    let lab = Lab::new();
    lab.pull("layers");
    let image = image("layers");
    let verbs: [&[&str]; 4] = [
        &["volume", "create", "--ignore", "data"],
        &["run", "--rm", "-v", "data:/etc", "-v", "/swap", &image, "true"],
        &["volume", "rm", "data"],
        &["volume", "prune", "--all", "--force"],
    ];
    for verb in verbs {
        let mut hits = 0;
        for when in 1..=60 {
            if verb[1] == "rm" || verb[1] == "prune" {
                lab.coracle(["volume", "create", "--ignore", "data"]).ok();
            } else {
                lab.coracle(["volume", "rm", "--force", "data"]).ok();
            }
            let (hit, output) = inject(&lab, calls, "signal=KILL", when, verb);
            assert!(!output.errors().contains("panicked"), "{verb:?} {when}: {output:?}");
            assert_volumes_sound(&lab, &format!("death at {calls} number {when} of {verb:?}"));
            if !hit {
                break;
            }
            hits += 1;
        }
        assert!(hits > 0, "no {calls} was seen in {verb:?}: nothing was tested");
    }
}

#[test]
fn death_at_every_rename_of_a_volume_verb_leaves_sound_volumes() {
    death_in_volume_verbs("rename,renameat,renameat2");
}

#[test]
fn death_at_every_other_change_of_a_volume_verb_leaves_sound_volumes() {
    death_in_volume_verbs("unlink,unlinkat,rmdir,mkdir,mkdirat,write");
}
