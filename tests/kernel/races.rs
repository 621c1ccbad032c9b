//! Containers are started while somebody exchanges a directory and a symbolic link to the host on the way, as fast as the
//! kernel can. A start works or is refused; nothing outside of the rootfs changes, and no mount goes astray.
//!
//! `CORACLE_RACE_STARTS=10000 tests/run --test kernel races` for more than the few starts of an ordinary run.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nix::fcntl::{RenameFlags, renameat2};

use crate::support::{Canary, Lab, Output};

/// Starts of each row: about five seconds of them.
const STARTS: usize = 120;

#[allow(clippy::disallowed_methods, reason = "the tests' environment is set by tests/run, not by coracle's user")]
fn starts() -> usize {
    std::env::var("CORACLE_RACE_STARTS").map_or(STARTS, |starts| starts.parse().unwrap())
}

/// `name` and `name.other` in an open directory, which is held, because its own name may lead elsewhere.
struct Pair {
    directory: File,
    name: &'static str,
}

impl Pair {
    /// Both are there.
    fn new(directory: &Path, name: &'static str) -> Self {
        Self { directory: File::open(directory).unwrap(), name }
    }

    /// The other one is made: a link to `target`.
    fn link(directory: &Path, name: &'static str, target: &str) -> Self {
        symlink(target, directory.join(format!("{name}.other"))).unwrap();
        Self::new(directory, name)
    }

    fn exchange(&self) {
        let other = format!("{}.other", self.name);
        renameat2(&self.directory, self.name, &self.directory, other.as_str(), RenameFlags::RENAME_EXCHANGE).unwrap();
    }
}

/// Sets the flag when `work` ends, well or by a panic.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does `work` while the pairs are exchanged. Returns how often each was.
fn while_flipping(pairs: &[Pair], work: impl FnOnce()) -> usize {
    let (stop, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                pairs.iter().for_each(Pair::exchange);
                rounds.fetch_add(1, Ordering::Relaxed);
            }
        });
        let _stop = Stop(&stop);
        work();
    });
    rounds.into_inner()
}

/// One row: what surrounds the rootfs, and what may not change.
struct Row {
    lab: Lab,
    tree: String,
    canary: Canary,
    home: Canary,
}

impl Row {
    /// `script` changes the rootfs, a copy of busybox.
    fn new(script: &str) -> Self {
        let lab = Lab::new();
        for file in ["secret", "b/secret", "null", "dir/secret", "proc/self/attr/exec", "proc/sysrq-trigger"] {
            lab.write(&format!("canary/{file}"), "top secret of the host");
        }
        for file in ["ip_unprivileged_port_start", "ping_group_range"] {
            lab.write(&format!("canary/proc/sys/net/ipv4/{file}"), "top secret of the host");
        }
        lab.write("volume/marker", "the volume");
        lab.write("shared/a/b/file", "shared");
        let tree = crate::hostile::tree(&lab, script);
        let (canary, home) = (Canary::watch(lab.path("canary")), Canary::watch(lab.root().join("home")));
        Self { lab, tree, canary, home }
    }

    /// Names of the canary that a link can have: absolute, and far up.
    fn links(&self, below: &str) -> [String; 2] {
        let absolute = format!("{}{below}", self.lab.arg("canary"));
        let up = format!("{}{absolute}", "../".repeat(30));
        [absolute, up]
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        Path::new(&self.tree).join(name)
    }

    /// Starts containers with the flags of each number, and gives the output of those that worked to `check`.
    fn race(&self, pairs: &[Pair], flags: impl Fn(usize) -> Vec<String>, script: &str, check: impl Fn(&str)) {
        let names = |path: &Path| {
            let mut names: Vec<_> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let (work, root) = (names(&self.lab.path("")), names(self.lab.root()));
        let mut outcomes = BTreeMap::<String, usize>::new();
        let flips = while_flipping(pairs, || {
            for number in 0..starts() {
                let flags = flags(number);
                let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
                let output = crate::hostile::run(&self.lab, &self.tree, &flags, &["sh", "-c", script]);
                let outcome = outcome(&output);
                if outcome.is_empty() {
                    check(&output.text());
                }
                *outcomes.entry(outcome).or_default() += 1;
            }
        });
        report(flips, &outcomes);
        assert!(flips > starts(), "{flips} exchanges are no race");
        assert!(outcomes.contains_key(""), "nothing worked: {outcomes:?}");
        self.canary.assert_unchanged();
        self.home.assert_unchanged();
        assert_eq!((names(&self.lab.path("")), names(self.lab.root())), (work, root));
        self.lab.assert_clean();
    }
}

#[allow(clippy::print_stderr, reason = "it is for the tester")]
fn report(flips: usize, outcomes: &BTreeMap<String, usize>) {
    eprintln!("{flips} exchanges, {outcomes:?}");
}

/// The error code of a refusal, nothing for a success.
fn outcome(output: &Output) -> String {
    assert!(!output.text().contains("top secret"), "{output:?}");
    let errors = output.errors();
    if output.code == 0 {
        assert_eq!(errors, "", "{output:?}");
        return String::new();
    }
    let code = errors.split_once("[E_").and_then(|(_, rest)| rest.split_once(']')).map(|(code, _)| code);
    let code = code.unwrap_or_else(|| panic!("no error code: {output:?}")).to_owned();
    output.refused(125, &format!("E_{code}"));
    code
}

/// Of each mount: what of which file system it shows. Where it is depends on links, what there is does not.
fn mounts(mountinfo: &str) -> Vec<String> {
    let line = |line: &str| {
        let (left, right) = line.split_once(" - ").unwrap();
        let root = left.split(' ').nth(3).unwrap();
        format!("{root} {}", right.split(' ').next().unwrap())
    };
    let mut mounts: Vec<String> = mountinfo.lines().map(line).collect();
    mounts.sort();
    mounts
}

const MOUNTINFO: &str = "cat /proc/self/mountinfo";

/// What a start without a race has, as a list of mounts.
fn calm(row: &Row, flags: &[String]) -> Vec<String> {
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    mounts(&crate::hostile::run(&row.lab, &row.tree, &flags, &["sh", "-c", MOUNTINFO]).ok().text())
}

/// CVE-2021-30465.
#[test]
fn a_volume_inside_a_shared_volume_lands_in_the_container() {
    let row = Row::new(":");
    let volumes = [format!("{}:/v", row.lab.arg("shared")), format!("{}:/v/a/b", row.lab.arg("volume"))];
    let flags: Vec<String> = volumes.into_iter().flat_map(|volume| ["-v".to_owned(), volume]).collect();
    let calm = calm(&row, &flags);
    assert!(calm.iter().any(|mount| mount.contains("/work/volume ")), "{calm:?}");
    let shared = row.lab.path("shared");
    let [absolute, up] = row.links("");
    let pairs = [Pair::link(&shared, "a", &absolute), Pair::link(&shared.join("a"), "b", &up)];
    row.race(&pairs, |_| flags.clone(), MOUNTINFO, |text| assert_eq!(mounts(text), calm));
}

/// CVE-2024-45310.
#[test]
fn parents_of_a_missing_target_are_made_in_the_container() {
    let row = Row::new("mkdir -p p/q");
    let flags = |number| {
        let (source, target) = match number % 2 {
            0 => (row.lab.arg("volume"), format!("/p/q/new{number}/deep")),
            _ => (row.lab.arg("volume/marker"), format!("/p/q/new{number}/deep/marker")),
        };
        vec!["-v".to_owned(), format!("{source}:{target}")]
    };
    let calm = [calm(&row, &flags(0)), calm(&row, &flags(1))];
    let [absolute, up] = row.links("/dir");
    let pairs = [Pair::link(&row.path(""), "p", &up), Pair::link(&row.path("p"), "q", &absolute)];
    row.race(&pairs, flags, MOUNTINFO, |text| assert!(calm.contains(&mounts(text)), "{text}"));
}

/// Repeats `cd` until it leads into the mount that is meant, which moves about; what follows is relative to it. No redirection
/// to /dev/null, which moves about as well.
fn inside(directory: &str, mark: &str, script: &str) -> String {
    format!("until cd {directory} && [ -e {mark} ]; do :; done 2>&-; {script}")
}

/// CVE-2025-31133: what is masked stays so, and what `/dev/null` is in the image does not matter.
#[test]
fn masks_and_dev_null_are_ours() {
    let row = Row::new(": >dev/null; mkdir proc.other sys.other");
    let script = [
        inside("/proc", "self/status", "cat interrupts keys kallsyms timer_list sysrq-trigger 2>&- | wc -c"),
        inside("/proc", "self/status", "touch sys/kernel/hostname 2>&- || echo read-only"),
        inside("/sys", "class", "ls -A firmware 2>&- | wc -l"),
        inside("/dev", "tty", "echo x >null; stat -c %t:%T null"),
    ];
    let [absolute, up] = row.links("");
    let pairs = [
        Pair::link(&row.path("dev"), "null", &format!("{absolute}/null")),
        Pair::link(&row.path(""), "dev", &up),
        Pair::new(&row.path(""), "proc"),
        Pair::new(&row.path(""), "sys"),
    ];
    row.race(&pairs, |_| Vec::new(), &script.join("; "), |text| assert_eq!(text, "0\nread-only\n0\n1:3"));
}

/// CVE-2025-52881.
#[test]
fn sysctls_are_written_to_the_kernel() {
    let row = Row::new("mkdir -p proc/sys/net/ipv4; : >proc/sys/net/ipv4/ping_group_range");
    let script = "cat ip_unprivileged_port_start ping_group_range; stat -f -c %T .";
    let script = inside("/proc/sys/net/ipv4", "ip_forward", script);
    let calm = crate::hostile::run(&row.lab, &row.tree, &[], &["sh", "-c", &script]).ok().text();
    assert!(calm.starts_with("0\n0\t0\n"), "{calm}");
    let pairs = [Pair::link(&row.path(""), "proc", &row.links("/proc")[1])];
    row.race(&pairs, |_| Vec::new(), &script, |text| assert_eq!(text, calm));
}

/// CVE-2026-55686.
#[test]
fn a_working_directory_is_made_in_the_container() {
    let row = Row::new("mkdir -p l/m");
    let [absolute, up] = row.links("/dir");
    let pairs = [Pair::link(&row.path(""), "l", &absolute), Pair::link(&row.path("l"), "m", &up)];
    let flags = |number| vec!["-w".to_owned(), format!("/l/m/new{number}/deep")];
    row.race(&pairs, flags, "readlink /proc/self/cwd; touch here", |text| {
        assert!(text.starts_with('/') && text.ends_with("/deep"), "{text}");
    });
}
