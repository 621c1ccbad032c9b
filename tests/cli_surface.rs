//! The surface of the command line: what is committed is what the definitions give, every flag is explained, and the
//! shells really complete.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use coracle::cli::{manual, tree};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn coracle() -> &'static str {
    env!("CARGO_BIN_EXE_coracle")
}

fn run(arguments: &[&str]) -> Output {
    // The width of help must not depend on who runs the tests.
    Command::new(coracle()).args(arguments).env_remove("COLUMNS").output().unwrap()
}

fn stdout(arguments: &[&str]) -> String {
    String::from_utf8(run(arguments).stdout).unwrap()
}

fn all_commands() -> Vec<(String, clap::Command)> {
    fn below(command: &clap::Command, path: &str, all: &mut Vec<(String, clap::Command)>) {
        all.push((path.to_owned(), command.clone()));
        for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
            below(command, &format!("{path} {}", command.get_name()), all);
        }
    }
    let mut root = tree::documented();
    root.build();
    let mut all = Vec::new();
    below(&root, "coracle", &mut all);
    all
}

#[test]
fn the_committed_manual_is_what_the_definitions_give() {
    let pages = manual::pages().unwrap();
    let mut committed: Vec<PathBuf> =
        std::fs::read_dir(repository().join("man")).unwrap().map(|entry| entry.unwrap().path()).collect();
    committed.sort();
    let mut expected: Vec<PathBuf> = pages.iter().map(|(name, _)| repository().join("man").join(name)).collect();
    expected.sort();
    assert_eq!(committed, expected, "run `cargo run -- manual man`, and remove pages of commands that are gone");
    for (name, text) in pages {
        let committed = std::fs::read_to_string(repository().join("man").join(&name)).unwrap();
        assert!(committed == text, "man/{name} is out of date: run `cargo run -- manual man`");
    }
}

#[test]
fn the_manual_is_written_as_committed() {
    let directory = tempfile::tempdir().unwrap();
    assert!(run(&["manual", directory.path().to_str().unwrap()]).status.success());
    let written = std::fs::read(directory.path().join("coracle-run.1")).unwrap();
    assert!(written == std::fs::read(repository().join("man/coracle-run.1")).unwrap());
    let missing = run(&["manual", "/no/such/directory"]);
    assert_eq!(missing.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("[E_OUTPUT]"));
}

#[test]
fn manual_pages_are_well_formed() {
    for (name, text) in manual::pages().unwrap() {
        for heading in ["NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "SEE ALSO"] {
            assert!(
                text.contains(&format!("\n.SH {heading}\n")) || text.contains(&format!("\n.SH \"{heading}\"\n")),
                "{name} has no {heading}"
            );
        }
        assert!(name == "coracle.1" || text.contains("\n.SH EXAMPLES\n"), "{name} has no examples");
    }
    let main = manual::pages().unwrap().remove(0).1;
    for variable in coracle::host::env::ALL {
        assert!(main.contains(&variable.name.replace('-', "\\-")), "{} is not in the manual", variable.name);
    }
}

#[test]
fn every_flag_and_command_is_explained() {
    for (path, command) in all_commands() {
        assert!(command.get_about().is_some(), "{path} has no description");
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{path}: {} has no help", argument.get_id());
        }
    }
}

#[test]
fn definitions_are_consistent() {
    tree::documented().debug_assert();
}

#[test]
fn help_of_every_command() {
    for (path, _) in all_commands().into_iter().filter(|(path, _)| !path.contains("__") && !path.ends_with("manual")) {
        let words: Vec<&str> = path.split(' ').skip(1).chain(["--help"]).collect();
        let output = run(&words);
        assert!(output.status.success(), "{path}");
        insta::assert_snapshot!(path.replace(' ', "-"), String::from_utf8(output.stdout).unwrap());
    }
    assert_eq!(stdout(&["help", "run"]), stdout(&["run", "--help"]));
    assert_eq!(stdout(&["image", "list", "--help"]), stdout(&["image", "ls", "-h"]));
    assert_eq!(stdout(&["--root", "/x", "ps", "--help"]), stdout(&["ps", "-h"]));
}

fn usage_error(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(125), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn usage_errors_say_what_is_wrong_and_how_it_is_right() {
    insta::assert_snapshot!(usage_error(&["ps", "--foo"]), @r"
    Error: unexpected argument '--foo' found [E_CONFIG]
    hint: a similar argument exists: '--root'
    Usage: coracle ps [OPTIONS]
    ");
    insta::assert_snapshot!(usage_error(&["run"]), @r"
    Error: the following required arguments were not provided: <IMAGE>... [E_CONFIG]
    hint: see `coracle run --help`
    Usage: coracle run [OPTIONS] IMAGE [COMMAND [ARG]...]
    ");
    insta::assert_snapshot!(usage_error(&["inspect", "--quux", "web"]), @r"
    Error: unexpected argument '--quux' found [E_CONFIG]
    hint: see `coracle inspect --help`
    Usage: coracle inspect [OPTIONS] [NAME]...
    ");
    insta::assert_snapshot!(usage_error(&["imag"]), @r"
    Error: unrecognized subcommand 'imag' [E_CONFIG]
    hint: some similar subcommands exist: 'tag', 'images', 'image'
    Usage: coracle [OPTIONS] [COMMAND]
    ");
    insta::assert_snapshot!(usage_error(&["run", "--rm=maybe", "debian"]), @r"
    Error: invalid value 'maybe' for '--rm[=<BOOL>]': expected true or false [E_CONFIG]
    hint: see `coracle run --help`
    Usage: coracle run [OPTIONS] IMAGE [COMMAND [ARG]...]
    ");
    insta::assert_snapshot!(usage_error(&["image"]), @r#"
    Error: missing command after "coracle image" [E_CONFIG]
    hint: the commands are those above
    "#);
    insta::assert_snapshot!(usage_error(&["run", "--name", "a/b", "debian"]), @r#"
    Error: --name: "a/b" is not a container name: expected a letter or digit, then up to 127 of letters, digits, '_', '.', '-' [E_NAME_INVALID]
    "#);
    insta::assert_snapshot!(usage_error(&["run", "-v", "my/data:/x", "debian"]), @r#"
    Error: --volume: "my/data" is not a volume name: expected a letter or digit, then letters, digits, '_', '.', '-', at most 255 in all [E_NAME_INVALID]
    hint: for the directory of the host, write ./my/data or its absolute path
    "#);
    insta::assert_snapshot!(usage_error(&["ps", "--format", "{{.Foo"]), @r#"
    Error: reading the template "{{.Foo": an action has no }} [E_CONFIG]
    "#);
}

// podman: help and exit code 125.
#[test]
fn without_a_command_there_is_help() {
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(125));
    assert_eq!(String::from_utf8_lossy(&output.stdout), stdout(&["--help"]));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("Error: missing command [E_CONFIG]\n"));
}

#[test]
fn hostile_words_cannot_drive_the_terminal() {
    let error = usage_error(&["\x1b[2J"]);
    assert!(!error.contains('\x1b'), "{error:?}");
    let error = usage_error(&["run", "--name", "\x1b[2J", "debian"]);
    assert!(!error.contains('\x1b'), "{error:?}");
}

#[test]
fn versions() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(stdout(&["--version"]), format!("coracle version {version}\n"));
    assert_eq!(stdout(&["-v"]), format!("coracle version {version}\n"));
    assert_eq!(stdout(&["version", "--format", "{{.Client.Version}}"]), format!("{version}\n"));
    let json: serde_json::Value = serde_json::from_str(&stdout(&["version", "-f", "json"])).unwrap();
    assert_eq!(json["Client"]["Version"], version);
}

// The first of FEATURES' seven facts about brittle tools: nothing may stop version, info and completion.
#[test]
fn version_info_and_completion_work_without_an_environment() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [&["version"][..], &["completion", "bash"], &["__complete", "bash", "--", "ru"]] {
        let output = Command::new(coracle()).args(arguments).env_clear().output().unwrap();
        assert!(output.status.success() && !output.stdout.is_empty(), "{arguments:?}");
    }
    let output = Command::new(coracle()).arg("info").env_clear().env("HOME", directory.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("runRootReason: \"XDG_RUNTIME_DIR is not set: a directory of the store\""), "{text}");
    assert!(text.contains(&format!("graphRoot: {}/.local/share/coracle", directory.path().display())), "{text}");
}

// A reader that goes away is no failure; a disk that is full is one.
#[test]
fn output_that_cannot_be_written() {
    let script = format!("{} completion bash | true; exit ${{PIPESTATUS[0]}}", coracle());
    assert!(Command::new("bash").args(["-c", &script]).status().unwrap().success());
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = Command::new(coracle()).arg("version").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&output.stderr).contains("[E_OUTPUT]"));
}

/// A store with two containers, one of which runs, and two images, and a directory with `coracle` to put in `PATH`.
struct Stage {
    directory: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |below: &str| directory.path().join(below);
        for below in ["bin", "data/coracle/names", "data/coracle/refs", "run/coracle/containers"] {
            std::fs::create_dir_all(path(below)).unwrap();
        }
        std::os::unix::fs::symlink(coracle(), path("bin/coracle")).unwrap();
        let (up, down) = ("1".repeat(64), "2".repeat(64));
        std::os::unix::fs::symlink(&up, path("data/coracle/names/up")).unwrap();
        std::os::unix::fs::symlink(&down, path("data/coracle/names/down")).unwrap();
        std::fs::write(path(&format!("run/coracle/containers/{up}.json")), "{}").unwrap();
        for reference in ["docker.io%2flibrary%2fdebian:12.json", "quay.io%2fa%2fb:c.json"] {
            std::fs::write(path("data/coracle/refs").join(reference), "{}").unwrap();
        }
        Self { directory }
    }

    /// What `script` prints in `shell`, whose arguments come first.
    fn shell(&self, shell: &[&str], script: &str) -> String {
        let path = |below: &str| self.directory.path().join(below);
        let output = Command::new(shell[0])
            .args(&shell[1..])
            .arg(script)
            .current_dir(self.directory.path())
            .env_clear()
            .env("HOME", self.directory.path())
            .env("TERM", "dumb")
            .env("XDG_DATA_HOME", path("data"))
            .env("XDG_RUNTIME_DIR", path("run"))
            .env("XDG_CONFIG_HOME", path("config"))
            .env("PATH", format!("{}:/usr/bin:/bin", path("bin").display()))
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && errors.is_empty(), "{}: {errors}", shell[0]);
        String::from_utf8(output.stdout).unwrap()
    }

    /// The replies of bash to a line that has been cut into words as bash does it.
    fn bash(&self, words: &[&str]) -> Vec<String> {
        let line = words.iter().fold(String::new(), |line, word| match *word {
            "=" | ":" => line + word,
            word if line.ends_with(['=', ':']) => line + word,
            word if line.is_empty() => word.into(),
            word => line + " " + word,
        });
        let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let script = format!(
            "source '{}'; COMP_WORDS=({}); COMP_CWORD={}; COMP_LINE='{line}'; COMP_POINT={}; _coracle; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            repository().join("completions/coracle.bash").display(),
            quoted.join(" "),
            words.len() - 1,
            line.len(),
        );
        self.shell(&["bash", "--norc", "-c"], &script).lines().map(str::to_owned).collect()
    }

    fn fish(&self, line: &str) -> Vec<String> {
        let script =
            format!("source '{}'; complete -C'{line}'", repository().join("completions/coracle.fish").display());
        let out = self.shell(&["fish", "--no-config", "-c"], &script);
        out.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
    }

    /// Presses the tab key twice after `line` in a zsh on a terminal, and waits until what it shows matches `pattern`.
    fn zsh(&self, line: &str, pattern: &str) {
        let script = format!(
            r#"
            zmodload zsh/zpty
            zpty shell "PS1='%%' zsh -f -i"
            zpty -w shell "stty -echo cols 200; autoload -Uz compinit; compinit -u -D; source '{}'"
            zpty -w shell "zstyle ':completion:*' list-prompt ''; LISTMAX=0; setopt no_beep; print READY"
            zpty -r shell out '*READY*'
            zpty -n -w shell $'{line}\t\t'
            zpty -r shell out '{pattern}'
            zpty -d shell
            "#,
            repository().join("completions/coracle.zsh").display()
        );
        self.shell(&["timeout", "20", "zsh", "-f", "-c"], &script);
    }
}

#[test]
fn bash_completes() {
    let stage = Stage::new();
    assert_eq!(stage.bash(&["coracle", "ru"]), ["run"]);
    assert_eq!(stage.bash(&["coracle", "run", "-it", "--pul"]), ["--pull"]);
    assert_eq!(stage.bash(&["coracle", "run", "--pull", "=", "ne"]), ["never", "newer"]);
    assert_eq!(stage.bash(&["coracle", "run", "--pull", "="]), ["always", "missing", "never", "newer"]);
    assert_eq!(stage.bash(&["coracle", "run", "deb"]), ["debian:12"]);
    assert_eq!(stage.bash(&["coracle", "run", "debian", ":", "1"]), ["12"]);
    assert_eq!(stage.bash(&["coracle", "rm", ""]), ["down"]);
    assert_eq!(stage.bash(&["coracle", "rm", "-f", ""]), ["down", "up"]);
    assert_eq!(stage.bash(&["coracle", "logs", "-f", ""]), ["down", "up"]);
    assert_eq!(stage.bash(&["coracle", "run", "--log-driver", "j"]), ["journald", "json-file"]);
    assert_eq!(stage.bash(&["coracle", "run", "--network", "p"]), ["pasta", "private"]);
}

#[test]
fn fish_completes() {
    let stage = Stage::new();
    assert_eq!(stage.fish("coracle ru"), ["run"]);
    assert_eq!(stage.fish("coracle run --pull=ne"), ["--pull=never", "--pull=newer"]);
    assert_eq!(stage.fish("coracle run -it deb"), ["debian:12"]);
    assert_eq!(stage.fish("coracle rm "), ["down"]);
    assert_eq!(stage.fish("coracle inspect --type "), ["all", "container", "image"]);
    assert_eq!(stage.fish("coracle run --env-file da"), ["data/"]);
}

#[test]
fn zsh_completes() {
    let stage = Stage::new();
    stage.zsh("coracle comp", "*letion *");
    stage.zsh("coracle run --pull ", "*always*missing*never*newer*");
    stage.zsh("coracle run --pull=a", "*lways*");
    stage.zsh("coracle inspect ", "*debian:12*down*not running*quay.io/a/b:c*up*running*");
}

#[test]
fn the_scripts_are_what_completion_prints() {
    for shell in ["bash", "zsh", "fish"] {
        let committed = std::fs::read_to_string(repository().join(format!("completions/coracle.{shell}"))).unwrap();
        assert_eq!(stdout(&["completion", shell]), committed);
    }
}
