//! `--user`: one mapped id, whatever the payload's is.

use crate::support::{Canary, Lab, fixture};

fn ids(lab: &Lab, user: &str) -> String {
    lab.sh(&["-u", user], "echo $(id -u):$(id -g)")
}

#[test]
fn the_default_is_root() {
    assert_eq!(Lab::new().sh(&[], "echo $(id -u):$(id -g) $HOME; whoami"), "0:0 /root\nroot");
}

#[test]
fn numbers_and_names_are_the_images() {
    let lab = Lab::new();
    assert_eq!(ids(&lab, "1234"), "1234:0");
    assert_eq!(ids(&lab, "1234:2345"), "1234:2345");
    assert_eq!(ids(&lab, "1000"), "1000:1000");
    assert_eq!(ids(&lab, "app"), "1000:1000");
    assert_eq!(ids(&lab, "app:staff"), "1000:50");
    assert_eq!(ids(&lab, "33:www-data"), "33:33");
    assert_eq!(ids(&lab, "0"), "0:0");
    assert_eq!(ids(&lab, "nobody"), "65534:65534");
}

#[test]
fn home_is_the_users() {
    assert_eq!(Lab::new().sh(&["-u", "app"], "echo $HOME"), "/home/app");
    assert_eq!(Lab::new().sh(&["-u", "4321"], "echo $HOME"), "/");
}

#[test]
fn files_belong_to_the_user() {
    let lab = Lab::new();
    assert_eq!(lab.sh(&["-u", "app"], "touch /tmp/x; stat -c %u:%g /tmp/x"), "1000:1000");
    assert_eq!(lab.sh(&["-u", "1234"], "touch /tmp/x; stat -c %u /tmp/x"), "1234");
}

#[test]
fn a_bind_mounts_files_are_the_users_own() {
    let lab = Lab::new();
    lab.write("shared/file", "x");
    let volume = format!("{}:/shared", lab.arg("shared"));
    assert_eq!(lab.sh(&["-u", "app", "-v", &volume], "stat -c %u:%g /shared/file; touch /shared/new"), "1000:1000");
    use std::os::unix::fs::MetadataExt;
    let (new, own) = (lab.path("shared/new").metadata().unwrap(), lab.root().metadata().unwrap());
    assert_eq!((new.uid(), new.gid()), (own.uid(), own.gid()));
}

#[test]
fn the_images_user_is_used() {
    let lab = Lab::new();
    assert_eq!(lab.run_image("users", &[], &["sh", "-c", "echo $(id -u):$(id -g)"]).ok().text(), "1000:1000");
    assert_eq!(lab.run_image("users", &["-u", "0"], &["id", "-u"]).ok().text(), "0");
    assert_eq!(lab.run_image("numeric-user", &[], &["sh", "-c", "echo $(id -u):$(id -g)"]).ok().text(), "1234:2345");
}

#[test]
fn an_unknown_name_is_refused() {
    let lab = Lab::new();
    lab.busybox(&["-u", "nosuchuser"], &["id"]).exited(125).says("nosuchuser");
    lab.busybox(&["-u", "app:nosuchgroup"], &["id"]).exited(125).says("nosuchgroup");
}

/// CVE-2024-40635, CVE-2026-46680, CVE-2026-30892: no text that is not a plain number becomes one, least of all 0.
#[test]
fn numbers_out_of_range_are_refused() {
    let lab = Lab::new();
    for user in
        ["4294967296", "2147483648", "-1", "99999999999", "0:4294967296", "1:-1", "+0", "0x0", " 0", "", ":", "a:b:c"]
    {
        let flag = format!("--user={user}");
        lab.busybox(&[&flag], &["id"]).refused(125, "E_USER_INVALID");
    }
}

#[test]
fn an_images_user_out_of_range_is_refused() {
    let lab = Lab::new();
    for number in 0..9 {
        lab.run_image(&format!("hostile-user-{number}"), &[], &["id"]).refused(125, "E_USER_INVALID");
    }
}

/// CVE-2024-9676, CVE-2026-47262: the user database is the image's, and read with suspicion.
#[test]
fn a_hostile_user_database_is_refused_in_time() {
    let canary = Canary::watch(fixture("canary/"));
    let lab = Lab::new();
    for (name, user) in [
        ("hostile-passwd-fifo", "app"),
        ("hostile-passwd-link", "app"),
        ("hostile-passwd-zero", "app"),
        ("hostile-group-huge", "0:staff"),
    ] {
        lab.pull(name);
        let started = std::time::Instant::now();
        let output = lab.run_image(name, &["-u", user], &["id"]);
        assert!(started.elapsed() < std::time::Duration::from_secs(10), "{name} took {:?}", started.elapsed());
        output.exited(125);
        assert!(!output.errors().contains("top secret"), "{output:?}");
    }
    canary.assert_unchanged();
}

/// The benign look-alike: no user database at all, but a number.
#[test]
fn a_number_needs_no_user_database() {
    let lab = Lab::new();
    let tree = crate::hostile::tree(&lab, "rm etc/passwd etc/group");
    assert_eq!(crate::hostile::run(&lab, &tree, &["-u", "1234:77"], &["id", "-u"]).ok().text(), "1234");
}

#[test]
fn one_id_is_mapped_and_groups_cannot_be_dropped() {
    let lab = Lab::new();
    let own = nix::unistd::getuid().as_raw();
    let map = lab.sh(&["-u", "app"], "cat /proc/self/uid_map");
    assert_eq!(map.split_whitespace().collect::<Vec<_>>(), ["1000", &own.to_string(), "1"]);
    // CVE-2018-7169
    assert_eq!(lab.sh(&[], "cat /proc/self/setgroups; probe groups"), "deny\nEPERM");
}

fn own_ids() -> (u32, u32) {
    (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw())
}

#[test]
fn keep_id_is_a_view_of_the_callers_own_number() {
    let lab = Lab::new();
    let (uid, gid) = own_ids();
    assert_eq!(lab.sh(&["--userns", "keep-id"], "echo $(id -u):$(id -g)"), format!("{uid}:{gid}"));
    assert_eq!(lab.sh(&["--userns", "keep-id:uid=1234,gid=77"], "echo $(id -u):$(id -g)"), "1234:77");
    assert_eq!(lab.sh(&["--userns=keep-id", "-u", "app"], "echo $(id -u):$(id -g)"), "1000:1000", "--user wins");
    assert_eq!(
        lab.run_image("users", &["--userns=keep-id"], &["id", "-u"]).ok().text(),
        uid.to_string(),
        "the image's does not"
    );
    for mode in ["private", "host"] {
        assert_eq!(lab.sh(&["--userns", mode], "id -u"), "0");
    }
    lab.write("shared/file", "x");
    let volume = format!("{}:/shared", lab.arg("shared"));
    assert_eq!(
        lab.sh(&["--userns=keep-id:uid=9,gid=9", "-v", &volume], "stat -c %u:%g /shared/file /etc/passwd"),
        "9:9\n9:9"
    );
}

#[test]
fn views_that_need_more_ids_are_refused() {
    let lab = Lab::new();
    lab.busybox(&["--userns", "nomap"], &["id"]).refused(125, "E_USER_INVALID").says("one id");
    lab.busybox(&["--userns", "auto"], &["id"]).refused(125, "E_USER_INVALID").says("one id");
    for mode in ["container:x", "ns:/proc/1/ns/user", "keep-id:uid=x", "keepid"] {
        lab.busybox(&["--userns", mode], &["id"]).refused(125, "E_CONFIG").says("keep-id");
    }
    lab.assert_clean();
}

#[test]
fn a_user_that_nobody_knows_gets_a_line() {
    let lab = Lab::new();
    assert_eq!(lab.sh(&["-u", "4321:4322"], "whoami; id -gn; tail -1 /etc/passwd; tail -1 /etc/group"), {
        "4321\n4322\n4321:*:4321:4322:container user:/:/bin/sh\n4322:x:4322:"
    });
    let before = lab.sh(&["-u", "app"], "cat /etc/passwd");
    assert_eq!(lab.sh(&["-u", "1000"], "cat /etc/passwd"), before, "known, by its number, too");
    assert_eq!(lab.sh(&["-u", "4321", "--passwd=false"], "cat /etc/passwd"), before);
    let entry = ["-u", "4321", "--passwd-entry", "me:x:$UID:$GID:$NAME:/srv/$USERNAME:/bin/false"];
    assert_eq!(lab.sh(&entry, "whoami; tail -1 /etc/passwd"), "me\nme:x:4321:0:container user:/srv/4321:/bin/false");
    let entry = ["-u", "0:4322", "--group-entry", "mine:x:$GID:"];
    assert_eq!(lab.sh(&entry, "id -gn"), "mine");
    assert_eq!(lab.sh(&["-u", "4321", "--read-only"], "whoami"), "4321");
    lab.busybox(&["--passwd-entry", "a:b"], &["id"]).refused(125, "E_CONFIG").says("$USERNAME");
    lab.busybox(&["--group-entry", "a:b:c:\nd"], &["id"]).refused(125, "E_CONFIG").says("$GROUPNAME");
}

#[test]
fn a_line_is_added_once() {
    let lab = Lab::new();
    let tree = crate::support::busybox_tree();
    let flags = ["create", "--name", "again", "-u", "4321", "--rootfs"];
    let view = format!("{}:O", tree.display());
    let words = [&flags[..], &[view.as_str(), "grep", "-c", "^4321:", "/etc/passwd"]].concat();
    lab.coracle(&words).ok();
    for _ in 0..2 {
        assert_eq!(lab.coracle(["start", "-a", "again"]).ok().text(), "1");
    }
    assert!(
        !std::fs::read_to_string(tree.join("etc/passwd")).unwrap().contains("4321"),
        "nothing is written to the host"
    );
}

/// A directory of the user's own is not written to for this.
#[test]
fn a_root_directory_of_the_hosts_keeps_its_files() {
    let lab = Lab::new();
    let tree = crate::support::busybox_tree();
    let before = std::fs::read_to_string(tree.join("etc/passwd")).unwrap();
    assert_eq!(
        lab.coracle(["run", "--rm", "-u", "4321", "--rootfs", tree.to_str().unwrap(), "whoami"]).ok().text(),
        "4321"
    );
    assert_eq!(std::fs::read_to_string(tree.join("etc/passwd")).unwrap(), before);
}

#[test]
fn users_of_the_host_are_known_inside() {
    let lab = Lab::new();
    assert_eq!(lab.sh(&["--hostuser", "daemon"], "grep -c ^daemon: /etc/passwd"), "1");
    lab.busybox(&["--hostuser", "no-such-user"], &["id"]).refused(125, "E_USER_INVALID").says("no-such-user");
}

#[test]
fn keep_id_knows_the_callers_name() {
    let lab = Lab::new();
    let own = nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap();
    let seen = lab.sh(&["--userns=keep-id", "-w", "/tmp"], "whoami; echo $HOME");
    // The image's line for the same number has its own home.
    let home = if own.name == "nobody" { "/nonexistent" } else { "/tmp" };
    assert_eq!(seen, format!("{}\n{home}", own.name));
}

#[test]
fn groups_are_kept_or_refused() {
    let lab = Lab::new();
    lab.busybox(&["--group-add", "keep-groups"], &["id"]).ok();
    lab.busybox(&["--annotation", "run.oci.keep_original_groups=1"], &["id"]).ok();
    lab.busybox(&["-u", "0:50", "--group-add", "staff"], &["id"]).ok();
    lab.busybox(&["--group-add", "staff"], &["id"]).refused(125, "E_USER_INVALID").says("keep-groups");
    lab.busybox(&["--group-add", "no-such-group"], &["id"]).refused(125, "E_USER_INVALID").says("no-such-group");
    lab.busybox(&["--group-add", "7", "--group-add", "keep-groups"], &["id"]).refused(125, "E_CONFIG");
    lab.busybox(&["--group-add", "-1"], &["id"]).refused(125, "E_USER_INVALID");
}
