//! Ids that the kernel gives beside ids that are emulated: root, who has many, and a user, who has one, run the same programs.
//! `tests/run` runs this program as root.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{LIMIT, Lab, coracle_path, image, output};

/// The unprivileged user that `tests/run` makes.
const USER: &str = "coracle-test";

/// A home of the user's. Gone with the value.
struct UsersHome(tempfile::TempDir);

impl UsersHome {
    fn new() -> Self {
        // Below a directory that everybody can enter: root's own temporary files are in one that nobody else can.
        let lab = std::env::temp_dir().parent().unwrap().to_owned();
        let home = tempfile::Builder::new().prefix("user.").tempdir_in(lab).unwrap();
        let user = nix::unistd::User::from_name(USER).unwrap().unwrap();
        std::os::unix::fs::chown(home.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        Self(home)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn coracle(&self, arguments: &[&str]) -> output::Output {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]).arg(coracle_path()).args(arguments);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LANG", "C.UTF-8")
            .env("HOME", self.0.path());
        output::run(command.current_dir(self.0.path()), &[], LIMIT)
    }
}

impl Drop for UsersHome {
    fn drop(&mut self) {
        let _ = self.coracle(&["rm", "-f", "-a"]);
    }
}

/// What emulation does not do, by the beginnings of the lines that show it (README, "Users and groups"). Everything else is as with
/// real ids.
const LIMITS: &[&str] = &[
    // Users are not kept from each other: the kernel sees one.
    "users: utimensat(AT_FDCWD, \"readable\"",
    "users: open(\"roots\"",
    "users: open(\"readable\", O_WRONLY)",
    "users: unlink(\"sticky/roots\")",
    "users: open(\"closed/new\"",
    "users: setxattr(\"readable\"",
    "users: kill of root's",
    "users: pidfd of root's",
    "chroot: open(\"/d/x\"",
    "chroot: mkdir(\"/x\"",
    // Everybody may set capabilities of files.
    "file capabilities: setxattr",
    // A descriptor of a path is as good as an open file.
    "chown: fchown(file, 5, 6) EBADF",
    // What the kernel says of processes and sends with messages.
    "sent credentials: ",
    "proc: ",
    // Access control lists have no others either.
    "acls: setxattr",
];

/// Every call that changes or shows credentials or owners, as `tests/fixtures/identities.c` makes it.
#[test]
fn root_and_a_user_see_the_same_credentials() {
    let (lab, home) = (Lab::new(), UsersHome::new());
    let flags = ["--rm", "--security-opt", "no-new-privileges=false"];
    let name = image("busybox");
    let run = |ids: &'static str| [&["run"], &flags[..], &[ids, &name, "identities"]].concat();
    let real = lab.coracle(run("--ids=range")).ok().text();
    let emulated = home.coracle(&run("--ids=emulate")).ok().text();
    let (real, emulated) = (cases(&real), cases(&emulated));
    assert!(real.len() > 25, "{real:?}");
    let mut wrong: Vec<String> = Vec::new();
    let mut seen = vec![false; LIMITS.len()];
    for (name, lines) in &real {
        let others = emulated.get(name).map_or(&[][..], Vec::as_slice);
        for number in 0..lines.len().max(others.len()) {
            let [line, other] = [&lines[..], others].map(|lines| lines.get(number).copied().unwrap_or("nothing"));
            if line == other {
                continue;
            }
            match LIMITS.iter().position(|limit| format!("{name}: {line}").starts_with(limit)) {
                Some(limit) => seen[limit] = true,
                None => wrong.push(format!("{name}:\n- {line}\n+ {other}")),
            }
        }
    }
    assert!(wrong.is_empty(), "real ids (-) and emulated ones (+) differ:\n{}", wrong.join("\n"));
    assert_eq!(real.len(), emulated.len());
    let stale: Vec<&&str> = LIMITS.iter().zip(&seen).filter(|(_, seen)| !**seen).map(|(limit, _)| limit).collect();
    assert!(stale.is_empty(), "these are no limits any more: {stale:?}");
}

/// The lines of each case. One without a case was written by a program that the case has executed.
fn cases(text: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut cases: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut last = "";
    for line in text.lines() {
        let (case, rest) = line.split_once(": ").unwrap_or((last, line));
        cases.entry(case).or_default().push(rest);
        last = case;
    }
    cases
}

/// Owner and mode of a file of an unpacked image.
fn of(root: &Path, name: &str) -> String {
    let metadata = root.join(name).symlink_metadata().unwrap_or_else(|error| panic!("{name}: {error}"));
    format!("{}:{} {:o}", metadata.uid(), metadata.gid(), metadata.mode() & 0o7777)
}

/// The files of an image of an OCI layout, unpacked by umoci with real owners.
fn unpacked(layout: &Path, to: &Path) -> PathBuf {
    let output =
        Command::new("umoci").args(["unpack", "--image", &format!("{}:1", layout.display())]).arg(to).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    to.join("rootfs")
}

const CHANGES: &str = "chown 33:44 /etc/shadow; chown -h 5:6 /var/lock; chown 0:0 /etc/gshadow; useradd -m alice; \
    mkdir /d; echo x >/d/f; ln -s f /d/l; mkfifo /d/p; ln /d/f /d/g; chown -R 70000:4000000 /d; chown -h 7:8 /d/l; chmod 6711 /d/f; \
    cp -a /d /e; chown 0:0 /e/f; cp -a /bin/true /e/capable && setcap cap_net_raw+ep /e/capable 2>/dev/null; true";

fn check(root: &Path) {
    for (name, expected) in [
        ("etc/shadow", "33:44 640"),
        ("var/lock", "5:6 777"),
        ("etc/gshadow", "0:0 640"),
        ("home/alice", "1000:1000 755"),
        ("home/alice/.bashrc", "1000:1000 644"),
        ("d", "70000:4000000 755"),
        ("d/f", "70000:4000000 6711"),
        ("d/g", "70000:4000000 6711"),
        ("d/l", "7:8 777"),
        ("d/p", "70000:4000000 644"),
        ("e", "70000:4000000 755"),
        // chown(2) takes these bits away, even for root.
        ("e/f", "0:0 711"),
        ("e/l", "7:8 777"),
        ("var/mail", "0:8 2775"),
    ] {
        let found = of(root, name);
        let is_home = name == "home/alice";
        assert!(found == expected || (is_home && found.starts_with("1000:1000 7")), "{name}: {found}, not {expected}");
    }
}

/// Real ids that a container changes count, whatever was recorded of its files before.
#[test]
fn root_commits_real_owners() {
    let lab = Lab::new();
    lab.coracle(["run", "--name", "c", &image("debian-owned"), "bash", "-c", CHANGES]).ok();
    let layout = lab.path("layout");
    lab.coracle(["commit", "-q", "c", "made:1"]).ok();
    lab.coracle(["push", "-q", "made:1", &format!("oci:{}:1", layout.display())]).ok();
    check(&unpacked(&layout, &lab.path("bundle")));
    lab.coracle(["export", "-o", &lab.arg("c.tar"), "c"]).ok();
    std::fs::create_dir(lab.path("exported")).unwrap();
    let untar = lab.program("tar").args(["--numeric-owner", "-xpf", "c.tar", "-C", "exported"]).status().unwrap();
    assert!(untar.success());
    check(&lab.path("exported"));
}

/// What a user's containers only say of their owners is real where another tool unpacks it for root, and where root runs it.
#[test]
fn root_unpacks_and_runs_what_a_user_has_committed() {
    let (lab, home) = (Lab::new(), UsersHome::new());
    home.coracle(&["run", "--ids=emulate", "--name", "c", &image("debian-owned"), "bash", "-c", CHANGES]).ok();
    home.coracle(&["commit", "-q", "c", "made:1"]).ok();
    let layout = home.path("layout");
    home.coracle(&["push", "-q", "made:1", &format!("oci:{}:1", layout.display())]).ok();
    check(&unpacked(&layout, &lab.path("bundle")));
    let inside = "stat -c '%n %u:%g %a' /etc/shadow /var/lock /d/f /d/l /d/p /home/alice/.bashrc";
    let source = format!("oci:{}:1", layout.display());
    let real = lab.coracle(["run", "--rm", &source, "sh", "-c", inside]).ok().text();
    assert_eq!(
        real,
        "/etc/shadow 33:44 640\n/var/lock 5:6 777\n/d/f 70000:4000000 6711\n/d/l 7:8 777\n/d/p 70000:4000000 644\n\
         /home/alice/.bashrc 1000:1000 644"
    );
    assert_eq!(home.coracle(&["run", "--rm", "--ids=emulate", "made:1", "sh", "-c", inside]).ok().text(), real);
}
