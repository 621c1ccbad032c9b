//! `__complete`: what the completion scripts of the shells ask. Everything but names comes from the command tree; names
//! come from listings of directories, without opening a record or taking a lock. Never fails: no answer is an answer.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Args, Command, ValueHint};

use super::completion::Shell;
use super::render::output;
use super::tree::{self, Globals, Invocation};
use crate::container::name_link;
use crate::failure::Failure;
use crate::host::env;
use crate::name::capability::Capability;
use crate::name::log_request::LogDriver;
use crate::name::network_mode::NetworkMode;
use crate::name::pull_policy::PullPolicy;
use crate::name::security_option;
use crate::state::layout::Layout;

/// Complete a command line
///
/// Prints a candidate a line, for zsh and fish with a tab and a description, and last `:none`, `:files` or `:dirs`: what
/// the shell should complete itself.
#[derive(Args, Clone, Debug)]
pub struct CompleteArgs {
    /// Shell that asks
    #[arg(value_enum)]
    shell: Shell,
    /// Words after the program's name, up to the cursor; the last one is being completed
    #[arg(value_name = "WORD", last = true)]
    words: Vec<OsString>,
}

impl Invocation for CompleteArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[];

    fn execute(self, _: &Globals) -> Result<u8, Failure> {
        let words: Vec<String> = self.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let answer = answer(&words);
        let mut text = String::new();
        for (value, about) in answer.candidates {
            match self.shell {
                Shell::Bash => text.push_str(&format!("{value}\n")),
                Shell::Zsh | Shell::Fish => text.push_str(&format!("{value}\t{about}\n")),
            }
        }
        text.push_str(match answer.more {
            More::None => ":none\n",
            More::Files => ":files\n",
            More::Directories => ":dirs\n",
        });
        output::write(&text)?;
        Ok(0)
    }
}

/// What can stand in the place of the word being completed.
struct Answer {
    /// Values that begin as the word does, each with a description, which may be empty.
    candidates: Vec<(String, String)>,
    /// What the shell adds.
    more: More,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum More {
    None,
    Files,
    Directories,
}

impl Answer {
    fn of(more: More) -> Self {
        Self { candidates: Vec::new(), more }
    }

    fn words<'w>(words: impl IntoIterator<Item = &'w str>) -> Self {
        let candidates = words.into_iter().map(|word| (word.to_owned(), String::new())).collect();
        Self { candidates, more: More::None }
    }

    /// Only what begins with `prefix` and `partial`, in the order of the alphabet.
    fn narrowed(mut self, prefix: &str, partial: &str) -> Self {
        self.candidates.retain(|(value, _)| value.starts_with(partial));
        self.candidates.sort();
        self.candidates.dedup_by(|one, other| one.0 == other.0);
        for (value, _) in &mut self.candidates {
            value.insert_str(0, prefix);
        }
        self
    }
}

/// What the words before the one being completed have said.
struct Line<'c> {
    command: &'c Command,
    path: Vec<&'c str>,
    /// The option whose value comes next.
    pending: Option<&'c Arg>,
    /// Options met, by their long names.
    given: Vec<String>,
    positionals: Vec<String>,
    /// Nothing after this is an option.
    only_positionals: bool,
    globals: Globals,
}

fn answer(words: &[String]) -> Answer {
    let Some((partial, before)) = words.split_last() else { return Answer::of(More::None) };
    let mut root = tree::documented();
    root.build();
    let mut line = Line {
        command: &root,
        path: Vec::new(),
        pending: None,
        given: Vec::new(),
        positionals: Vec::new(),
        only_positionals: false,
        globals: Globals::default(),
    };
    for word in before {
        line.take(word);
    }
    line.complete(partial)
}

impl<'c> Line<'c> {
    fn take(&mut self, word: &str) {
        if let Some(option) = self.pending.take() {
            self.value(option, word);
        } else if self.only_positionals || !word.starts_with('-') || word == "-" {
            self.positional(word);
        } else if word == "--" {
            self.only_positionals = true;
        } else if let Some(long) = word.strip_prefix("--") {
            let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
            if let Some(option) = self.long(name) {
                self.given.push(name.to_owned());
                match value {
                    Some(value) => self.value(option, value),
                    None if takes_next_word(option) => self.pending = Some(option),
                    None => {}
                }
            }
        } else {
            self.shorts(&word[1..]);
        }
    }

    /// `-it`, `-eNAME`, `-e`.
    fn shorts(&mut self, letters: &str) {
        for (at, letter) in letters.char_indices() {
            let Some(option) = self.short(letter) else { return };
            self.given.extend(option.get_long().map(str::to_owned));
            if takes_next_word(option) {
                if letters[at + letter.len_utf8()..].is_empty() {
                    self.pending = Some(option);
                }
                return;
            }
        }
    }

    fn value(&mut self, option: &Arg, value: &str) {
        match option.get_id().as_str() {
            "root" => self.globals.root = Some(expanded(value)),
            "runroot" => self.globals.runroot = Some(expanded(value)),
            _ => {}
        }
    }

    fn positional(&mut self, word: &str) {
        if self.positionals.is_empty()
            && let Some(below) = self.command.find_subcommand(word)
        {
            // `help run` is completed as far as the command's name.
            self.path.push(below.get_name());
            self.command = below;
            return;
        }
        self.positionals.push(word.to_owned());
        self.only_positionals |= self.command.get_positionals().any(Arg::is_trailing_var_arg_set);
    }

    fn long(&self, name: &str) -> Option<&'c Arg> {
        let named = |arg: &&Arg| {
            arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&name))
        };
        self.command.get_arguments().find(named)
    }

    fn short(&self, letter: char) -> Option<&'c Arg> {
        self.command.get_arguments().find(|arg| arg.get_short() == Some(letter))
    }

    fn complete(&self, partial: &str) -> Answer {
        if let Some(option) = self.pending {
            return self.values(option).narrowed("", partial);
        }
        if self.only_positionals || !partial.starts_with('-') {
            return self.positional_values().narrowed("", partial);
        }
        if let Some((name, value)) = partial.strip_prefix("--").and_then(|long| long.split_once('=')) {
            let answer = self.long(name).map_or(Answer::of(More::None), |option| self.values(option));
            return answer.narrowed(&format!("--{name}="), value);
        }
        if !partial.starts_with("--") && partial.chars().count() > 1 {
            return self.short_value(partial);
        }
        self.options().narrowed("", partial)
    }

    /// `-ePA`: a value after its option. `-it`: complete as it is.
    fn short_value(&self, partial: &str) -> Answer {
        for (at, letter) in partial.char_indices().skip(1) {
            let Some(option) = self.short(letter) else { return Answer::of(More::None) };
            let (before, value) = partial.split_at(at + letter.len_utf8());
            if takes_next_word(option) && !value.is_empty() {
                return self.values(option).narrowed(before, value);
            }
        }
        Answer::words([partial])
    }

    fn options(&self) -> Answer {
        let mut candidates = Vec::new();
        for option in self.command.get_arguments().filter(|arg| !arg.is_positional() && !arg.is_hide_set()) {
            let repeatable = matches!(option.get_action(), ArgAction::Append);
            let about = option.get_help().map(ToString::to_string).unwrap_or_default();
            for long in option.get_long().into_iter().chain(option.get_visible_aliases().into_iter().flatten()) {
                if repeatable || !self.given.iter().any(|given| given == long) {
                    candidates.push((format!("--{long}"), about.clone()));
                }
            }
            candidates.extend(option.get_short().map(|letter| (format!("-{letter}"), about)));
        }
        Answer { candidates, more: More::None }
    }

    fn positional_values(&self) -> Answer {
        if self.positionals.is_empty() && self.command.has_subcommands() {
            let shown = self.command.get_subcommands().filter(|command| !command.is_hide_set());
            let candidates = shown.map(|command| {
                let about = command.get_about().map(ToString::to_string).unwrap_or_default();
                (command.get_name().to_owned(), about)
            });
            return Answer { candidates: candidates.collect(), more: More::None };
        }
        let first = self.positionals.is_empty();
        let mut answer = match self.path[..] {
            ["healthcheck", "run"] => self.running_containers(),
            ["run"] | [_, "run"] if !first => Answer::of(More::Files),
            ["run"] | [_, "run"] if self.has("rootfs") => Answer::of(More::Directories),
            ["run"] | [_, "run"] | ["pull" | "rmi" | "images" | "tag" | "untag" | "history" | "save"] => self.images(),
            [
                "image",
                "rm" | "pull" | "ls" | "inspect" | "tag" | "untag" | "history" | "tree" | "exists" | "mount"
                | "unmount" | "save",
            ] => self.images(),
            ["push"] | ["image", "push" | "scp"] | ["manifest", "push"] if first => self.images(),
            ["manifest", "inspect" | "rm" | "exists" | "add" | "annotate" | "remove"] => self.images(),
            ["volume", "rm" | "inspect" | "exists"] => self.volumes(),
            ["network", "rm" | "inspect" | "exists" | "update" | "connect" | "disconnect"] => self.networks(),
            ["unshare"] => Answer::of(More::Files),
            ["rm"] | ["container", "rm"] => self.containers(self.has("force")),
            ["init"] | ["container", "init"] => self.containers(false),
            ["logs" | "start" | "restart"] | ["container", "logs" | "start" | "restart"] => self.containers(true),
            ["rename" | "update"] | ["container", "rename" | "update"] if !first => Answer::of(More::None),
            ["rename" | "update" | "wait" | "port" | "mount" | "unmount"]
            | ["container", "exists" | "rename" | "update" | "wait" | "port" | "mount" | "unmount"] => {
                self.containers(true)
            }
            ["exec"] | [_, "exec"] if !first || self.has("latest") || self.has("cidfile") => Answer::of(More::Files),
            ["top"] | [_, "top"] if !first || self.has("latest") => Answer::words(crate::container::top::columns()),
            ["attach" | "exec" | "kill" | "pause" | "unpause" | "stop" | "top" | "stats"]
            | ["container", "attach" | "exec" | "kill" | "pause" | "unpause" | "stop" | "top" | "stats"] => {
                self.running_containers()
            }
            ["container", "inspect"] | ["export" | "commit"] | ["container", "export" | "commit"] => {
                self.containers(true)
            }
            ["cp" | "import"] | ["container", "cp"] | ["image", "import"] => Answer::of(More::Files),
            ["inspect"] | ["diff"] | ["container" | "image", "diff"] => {
                let mut both = self.containers(true);
                both.candidates.extend(self.images().candidates);
                both
            }
            _ => self.command.get_positionals().next().map_or(Answer::of(More::None), |arg| self.values(arg)),
        };
        answer.candidates.retain(|(value, _)| !self.positionals.contains(value));
        answer
    }

    fn has(&self, long: &str) -> bool {
        let short = self.long(long).and_then(Arg::get_short).map(String::from);
        self.given.iter().any(|given| given == long || Some(given) == short.as_ref())
    }

    /// Values of an option, or of a positional argument that takes one of a few words.
    fn values(&self, option: &Arg) -> Answer {
        match option.get_id().as_str() {
            "pull" | "policy" => Answer::words(PullPolicy::ALL.iter().map(|policy| policy.as_str())),
            "log_driver" => Answer::words(LogDriver::ALL.iter().map(|driver| driver.as_str())),
            "log_opt" => Answer::words(["max-size=", "max-file=", "path=", "tag="]),
            "network" => Answer::words(NetworkMode::WORDS.iter().copied()),
            "security_opt" => Answer::words(security_option::FORMS.iter().map(|form| before_placeholder(form))),
            "cap_add" | "cap_drop" => {
                Answer::words(Capability::ALL.iter().map(|capability| capability.name()).chain(["ALL"]))
            }
            "platform" => Answer::words([
                "linux/amd64",
                "linux/arm64",
                "linux/arm/v7",
                "linux/386",
                "linux/ppc64le",
                "linux/riscv64",
                "linux/s390x",
            ]),
            "arch" => Answer::words(["amd64", "arm64", "arm", "386", "ppc64le", "riscv64", "s390x"]),
            "os" => Answer::words(["linux"]),
            "tls_verify" => Answer::words(["true", "false"]),
            "format" => Answer::words(["json", "table "]),
            "env" => {
                let names = env::all().filter_map(|(name, _)| name.into_string().ok());
                Answer { candidates: names.map(|name| (name, String::new())).collect(), more: More::None }
            }
            "volume" => {
                let named = self.volumes().candidates.into_iter().map(|(name, what)| (format!("{name}:"), what));
                Answer { candidates: named.collect(), more: More::Files }
            }
            _ => self.declared_values(option),
        }
    }

    /// What the definition of the option itself says of its values.
    fn declared_values(&self, option: &Arg) -> Answer {
        match option.get_value_hint() {
            ValueHint::FilePath => Answer::of(More::Files),
            ValueHint::DirPath => Answer::of(More::Directories),
            _ => {
                let values = option.get_possible_values();
                let is_flag = !option.get_action().takes_values();
                Answer::words(values.iter().filter(|_| !is_flag).map(|value| value.get_name()))
            }
        }
    }

    fn layout(&self) -> Option<Layout> {
        self.globals.layout().ok()
    }

    /// Names of containers; without `running`, of those that seem not to run.
    fn containers(&self, running: bool) -> Answer {
        let Some(layout) = self.layout() else { return Answer::of(More::None) };
        let mut candidates = Vec::new();
        for name in entries(&layout.container_names()) {
            let runs = name.parse().ok().is_some_and(|name| {
                let id = name_link::holder(&layout.container_name(&name));
                id.is_some_and(|id| layout.process_record(&id).exists())
            });
            if running || !runs {
                candidates.push((name, if runs { "running" } else { "not running" }.to_owned()));
            }
        }
        Answer { candidates, more: More::None }
    }

    /// Names of containers that seem to run.
    fn running_containers(&self) -> Answer {
        let mut answer = self.containers(true);
        answer.candidates.retain(|(_, what)| what == "running");
        answer
    }

    /// Names of networks.
    fn networks(&self) -> Answer {
        let Some(layout) = self.layout() else { return Answer::of(More::None) };
        let (records, _) = crate::net::named::list(&layout);
        let candidates = records.iter().map(|record| (record.name.to_string(), "network".into())).collect();
        Answer { candidates, more: More::None }
    }

    /// Names of volumes.
    fn volumes(&self) -> Answer {
        let Some(layout) = self.layout() else { return Answer::of(More::None) };
        let names = crate::volume::names(&layout);
        Answer { candidates: names.iter().map(|name| (name.to_string(), "volume".into())).collect(), more: More::None }
    }

    /// Names of images, in the shortest form that is read as the same.
    fn images(&self) -> Answer {
        let Some(layout) = self.layout() else { return Answer::of(More::None) };
        let mut candidates = Vec::new();
        for entry in entries(&layout.references()) {
            let Some(reference) = entry.strip_suffix(".json") else { continue };
            let full = reference.replace("%2f", "/");
            let short = full.strip_prefix("docker.io/library/").or_else(|| full.strip_prefix("docker.io/"));
            if let Some(short) = short {
                candidates.push((short.to_owned(), "image".to_owned()));
            }
            candidates.push((full.clone(), "image".to_owned()));
        }
        Answer { candidates, more: More::None }
    }
}

/// The names in a directory that can be read; temporary files, which begin with a dot, are none.
fn entries(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| !name.starts_with('.')).collect()
}

/// `seccomp=` of `seccomp=FILE`.
fn before_placeholder(form: &str) -> &str {
    let placeholder = ["FILE", "PATH"].iter().find_map(|word| form.find(word));
    &form[..placeholder.unwrap_or(form.len())]
}

fn takes_next_word(option: &Arg) -> bool {
    option.get_action().takes_values() && !option.is_require_equals_set()
}

/// Shells do not expand a tilde in a word that is being typed.
fn expanded(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), env::get_absolute(&env::HOME)) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => path.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(line: &str) -> (Vec<String>, More) {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let answer = answer(&words);
        (answer.candidates.into_iter().map(|(value, _)| value).collect(), answer.more)
    }

    fn values(line: &str) -> Vec<String> {
        complete(line).0
    }

    #[test]
    fn commands() {
        assert_eq!(values("ru"), ["run"]);
        assert_eq!(values("im"), ["image", "images", "import"]);
        assert_eq!(
            values("image "),
            [
                "diff", "exists", "help", "history", "import", "inspect", "load", "ls", "mount", "prune", "pull",
                "push", "rm", "save", "scp", "search", "tag", "tree", "unmount", "untag",
            ]
        );
        assert_eq!(values("--root /x ru"), ["run"]);
        assert!(!values("").iter().any(|name| name == "__complete" || name == "manual"));
        assert_eq!(values("nonsense ru"), Vec::<String>::new());
    }

    #[test]
    fn options_and_their_values() {
        assert_eq!(values("run --pul"), ["--pull"]);
        assert_eq!(
            values("run --rm --r"),
            [
                "--read-only",
                "--read-only-tmpfs",
                "--replace",
                "--restart",
                "--retry",
                "--retry-delay",
                "--rmi",
                "--root",
                "--rootfs",
                "--runroot"
            ]
        );
        assert_eq!(values("run --pull "), ["always", "missing", "never", "newer"]);
        assert_eq!(values("run --pull=ne"), ["--pull=never", "--pull=newer"]);
        assert_eq!(values("run --net h"), ["host"]);
        assert_eq!(values("run --cap-add NET_A"), ["NET_ADMIN"]);
        assert_eq!(values("run --security-opt s"), ["seccomp=", "seccomp=unconfined", "systempaths=unconfined"]);
        assert_eq!(values("inspect --type c"), ["container"]);
        assert_eq!(values("completion "), ["bash", "fish", "zsh"]);
        assert!(values("run --platform linux/a").contains(&"linux/arm64".into()));
        assert!(complete("run --env-file x").1 == More::Files);
        assert!(complete("run --root x").1 == More::Directories);
        assert!(complete("--root=x").1 == More::Directories);
    }

    // podman's issue 11024: completion was lost after grouped short options.
    #[test]
    fn grouped_short_options() {
        assert_eq!(values("run -it"), ["-it"]);
        assert_eq!(values("run -it --pul"), ["--pull"]);
        assert!(values("run -ite PAT").contains(&"PATH".into()));
        assert!(values("run -ePAT").contains(&"-ePATH".into()));
        assert!(values("run -it -").contains(&"--rm".into()));
    }

    #[test]
    fn after_the_image_all_is_the_commands() {
        assert!(complete("run --rm debian --").1 == More::Files);
        assert_eq!(values("run --rm debian --pul"), Vec::<String>::new());
        assert!(complete("run --rootfs /").1 == More::Directories);
    }

    #[test]
    fn names_from_directories() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::discover(Some(root.path().into()), Some(root.path().join("run"))).unwrap();
        let (up, down) = ("1".repeat(64), "2".repeat(64));
        for directory in [layout.container_names(), layout.references(), layout.process_records()] {
            std::fs::create_dir_all(directory).unwrap();
        }
        for (name, id) in [("up", &up), ("down", &down)] {
            std::os::unix::fs::symlink(id, layout.container_name(&name.parse().unwrap())).unwrap();
        }
        std::fs::write(layout.process_record(&up.parse().unwrap()), "{}").unwrap();
        for reference in ["debian:12", "quay.io/a/b:c"] {
            std::fs::write(layout.reference(&reference.parse().unwrap()), "{}").unwrap();
        }
        let flags = format!("--root {0} --runroot {0}/run", root.path().display());
        let values = |line: &str| super::tests::values(&format!("{flags} {line}"));
        assert_eq!(values("rm "), ["down"]);
        assert_eq!(values("rm -f "), ["down", "up"]);
        assert_eq!(values("rm -f up "), ["down"]);
        assert_eq!(values("inspect "), ["debian:12", "docker.io/library/debian:12", "down", "quay.io/a/b:c", "up"]);
        assert_eq!(values("run -it de"), ["debian:12"]);
        assert_eq!(values("rmi quay.io/"), ["quay.io/a/b:c"]);
        for verb in ["push", "save", "image push", "manifest inspect"] {
            assert_eq!(values(&format!("{verb} de")), ["debian:12"], "{verb}");
        }
        for verb in ["mount", "container unmount", "wait"] {
            assert_eq!(values(&format!("{verb} ")), ["down", "up"], "{verb}");
        }
        assert_eq!(values("healthcheck run "), ["up"]);
    }
}
