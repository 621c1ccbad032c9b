//! Where the world is unkind to a command: closed or broken output, no descriptors left, a full disk, a store that cannot be
//! written. Each verb does what it should or says why it does not, and leaves nothing behind.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use crate::support::output::{self, Output};
use crate::support::{LIMIT, Lab, coracle_path, image};

/// Verbs on a container that runs (`up`), one that has ended (`down`), and one that is made for each (`new`).
const VERBS: &[&[&str]] = &[
    &["ps", "-a"],
    &["ps", "-a", "--format", "json"],
    &["inspect", "up"],
    &["logs", "down"],
    &["top", "up"],
    &["stats", "--no-stream", "up"],
    &["port", "up"],
    &["diff", "down"],
    &["export", "down"],
    &["cp", "down:/bin/busybox", "-"],
    &["cp", "up:/etc/os-release", "copied"],
    &["cp", "file", "up:/copied"],
    &["cp", "file", "down:/copied"],
    &["exec", "up", "echo", "said"],
    &["exec", "-d", "up", "true"],
    &["wait", "down"],
    &["commit", "down", "localhost/committed"],
    &["events", "--stream=false"],
    &["run", "--rm", "IMAGE", "echo", "said"],
    &["run", "--name", "new", "IMAGE", "echo", "said"],
    &["run", "-d", "--name", "new", "IMAGE", "true"],
    &["create", "--name", "new", "IMAGE", "true"],
    &["start", "down"],
    &["start", "-a", "down"],
    &["stop", "-t", "0", "down"],
    &["restart", "-t", "0", "down"],
    &["kill", "-s", "CONT", "up"],
    &["pause", "up"],
    &["unpause", "up"],
    &["rename", "down", "down"],
    &["attach", "down"],
    &["rm", "new"],
    &["rm", "-f", "new"],
    &["container", "exists", "up"],
    &["container", "prune", "--force", "--filter", "label=none"],
    &["info"],
];

/// A lab with both containers.
fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("file", "copied");
    lab.coracle(["run", "-d", "--name", "up", &image("busybox"), "sleep", "1000"]).ok();
    lab.coracle(["run", "--name", "down", &image("busybox"), "echo", "logged"]).ok();
    lab
}

/// Does every verb in the circumstances that `run` makes; `may_fail` says whether they excuse a failure.
fn each_verb(lab: &Lab, may_fail: bool, run: impl Fn(&[String]) -> Output) {
    let name = image("busybox");
    for verb in VERBS {
        let words: Vec<String> = verb.iter().map(|word| word.replace("IMAGE", &name)).collect();
        let output = run(&words);
        let errors = output.errors();
        assert!(!errors.contains("panicked"), "{output:?}");
        assert!(!errors.contains("internal error"), "{output:?}");
        // The reader of its output is gone: that is how a program ends then.
        let is_killed_by_pipe = output.code == -13;
        assert!(output.code >= 0 || is_killed_by_pipe, "killed: {output:?}");
        // The container's own program says it in its own words.
        let is_told =
            output.code <= 0 || errors.contains("[E_") || errors.contains("write error") || verb.contains(&"exists");
        assert!(is_told, "{verb:?} does not say why: {output:?}");
        // These are refused in any case.
        let is_wrong = ["attach", "rename", "unpause", "pause", "rm"].contains(&verb[0]);
        assert!(may_fail || is_wrong || output.code == 0, "{output:?}");
        lab.coracle(["unpause", "up"]);
        lab.coracle(["rm", "-f", "new"]).ok();
    }
}

/// Everything works, and nothing is left when it is removed.
fn assert_sound(lab: &Lab) {
    assert_eq!(lab.coracle(["exec", "up", "echo", "alive"]).ok().text(), "alive");
    assert_eq!(lab.run_image("busybox", &[], &["echo", "works"]).ok().text(), "works");
    assert_eq!(lab.containers().len(), 2);
    lab.coracle(["rm", "--force", "--all"]).ok();
    lab.assert_clean();
}

/// Standard output is what it is given to be.
fn with_output(lab: &Lab, words: &[String], stdout: Stdio) -> Output {
    let mut command = lab.command(words);
    let mut child = command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
    output::collect(&mut child, &[], LIMIT)
}

/// coracle started by a line of shell.
fn by_shell(lab: &Lab, line: &str, words: &[String]) -> Output {
    let mut command = lab.program("/bin/sh");
    command.args(["-c", line]).arg(coracle_path()).args(words);
    output::run(&mut command, &[], LIMIT)
}

#[test]
fn with_standard_output_closed_every_verb_works() {
    let lab = lab();
    each_verb(&lab, false, |words| by_shell(&lab, r#"exec "$0" "$@" >&-"#, words));
    assert_sound(&lab);
}

#[test]
fn with_all_streams_closed_every_verb_works_or_fails() {
    let lab = lab();
    each_verb(&lab, true, |words| {
        // What it says is nobody's to hear.
        let quiet =
            by_shell(&lab, r#""$0" "$@" <&- >&- 2>&-; code=$?; [ $code -lt 128 ] || exit 128; echo "[E_" >&2"#, words);
        assert_ne!(quiet.code, 128, "{quiet:?}");
        quiet
    });
    assert_sound(&lab);
}

#[test]
fn without_a_reader_every_verb_ends() {
    let lab = lab();
    each_verb(&lab, true, |words| {
        let (_, writer) = std::io::pipe().unwrap();
        let mut output = with_output(&lab, words, writer.into());
        // Whose reader has left has no use for a message.
        output.stderr.extend(b"[E_");
        output
    });
    assert_sound(&lab);
}

#[test]
fn a_full_standard_output_is_told() {
    let lab = lab();
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    each_verb(&lab, true, |words| with_output(&lab, words, full().into()));
    with_output(&lab, &["ps".to_owned()], full().into()).exited(125).says("No space left on device");
    assert_sound(&lab);
}

#[test]
fn with_few_descriptors_every_verb_works_or_says_so() {
    let lab = lab();
    for limit in [4, 6, 8, 10, 12, 16, 24] {
        let line = format!(r#"ulimit -n {limit}; exec "$0" "$@""#);
        each_verb(&lab, true, |words| by_shell(&lab, &line, words));
    }
    each_verb(&lab, false, |words| by_shell(&lab, r#"ulimit -n 64; exec "$0" "$@""#, words));
    assert_sound(&lab);
}

/// Takes or gives the permission to write, for what is in the store but the layers.
fn set_writable(store: &Path, is_writable: bool) {
    let set = |path: &Path| {
        let mut permissions = std::fs::metadata(path).unwrap().permissions();
        let write = if is_writable { 0o200 } else { 0 };
        permissions.set_mode(permissions.mode() & !0o222 | write);
        std::fs::set_permissions(path, permissions).unwrap();
    };
    let directories = ["", "blobs/sha256", "containers", "images", "names", "refs", "tmp"];
    directories.iter().for_each(|name| set(&store.join(name)));
    for container in std::fs::read_dir(store.join("containers")).unwrap() {
        let container = container.unwrap().path();
        set(&container);
        set(&container.join("record.json"));
    }
}

#[test]
fn in_a_store_that_cannot_be_written_every_verb_works_or_says_so() {
    let lab = lab();
    set_writable(&lab.store(), false);
    let ask = |verb: &str| lab.coracle([verb, "down"]);
    for verb in ["inspect", "logs", "wait"] {
        ask(verb).ok();
    }
    for verb in ["start", "rm"] {
        ask(verb).exited(125).says("[E_READONLY]");
    }
    assert_eq!(lab.coracle(["ps", "-aq"]).ok().text().lines().count(), 2);
    assert_eq!(lab.coracle(["exec", "up", "echo", "alive"]).ok().text(), "alive");
    each_verb_of_a_read_only_store(&lab);
    set_writable(&lab.store(), true);
    assert_sound(&lab);
}

/// Between the verbs nothing can be tidied up there.
fn each_verb_of_a_read_only_store(lab: &Lab) {
    let name = image("busybox");
    for verb in VERBS.iter().filter(|verb| !["pause", "unpause"].contains(&verb[0])) {
        let words: Vec<String> = verb.iter().map(|word| word.replace("IMAGE", &name)).collect();
        let output = lab.coracle(&words);
        let is_told = output.code == 0 || output.errors().contains("[E_") || verb.contains(&"exists");
        assert!(is_told && output.code >= 0 && !output.errors().contains("panicked"), "{output:?}");
    }
    let mode = std::fs::metadata(lab.store().join("containers")).unwrap().permissions().mode();
    assert_eq!(mode & 0o200, 0, "the store could be written all along");
}
