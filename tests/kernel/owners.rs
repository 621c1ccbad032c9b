//! Whom files belong to, outside of any container: in archives, layers and registries, judged by other people's tools.

use std::collections::BTreeMap;
use std::fs;

use crate::export::listing;
use crate::registry::RealRegistry;
use crate::support::{Lab, image};

/// "MODE OWNER" by path, from GNU tar's listing.
fn owners(listing: &str) -> BTreeMap<String, String> {
    let of_line = |line: &str| {
        let mut words = line.split(' ');
        let (mode, owner) = (words.next()?, words.next()?);
        let path = words.skip(3).collect::<Vec<_>>().join(" ").replace(" link to ./", " link to ");
        Some((path.trim_start_matches("./").to_owned(), format!("{mode} {owner}")))
    };
    listing.lines().filter_map(of_line).collect()
}

fn exported(lab: &Lab, container: &str) -> BTreeMap<String, String> {
    let tar = lab.arg(&format!("{container}.tar"));
    lab.coracle(["export", "-o", &tar, container]).ok();
    owners(&listing(lab, tar.as_ref()))
}

/// What the topmost layer of an image in a registry has, as skopeo and GNU tar see it.
fn pushed(lab: &Lab, reference: &str) -> BTreeMap<String, String> {
    topmost(lab, &format!("docker://{reference}"))
}

/// The same of an image at any place that skopeo knows.
fn topmost(lab: &Lab, source: &str) -> BTreeMap<String, String> {
    let directory = lab.arg("pushed");
    let _ = fs::remove_dir_all(&directory);
    let copied = lab
        .program("skopeo")
        .args(["copy", "-q", "--insecure-policy", "--src-tls-verify=false"])
        .args([source, &format!("dir:{directory}")])
        .output()
        .unwrap();
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    let manifest = fs::read(lab.path("pushed/manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let digest = manifest["layers"].as_array().unwrap().last().unwrap()["digest"].as_str().unwrap().to_owned();
    owners(&listing(lab, &lab.path("pushed").join(digest.trim_start_matches("sha256:"))))
}

/// A tar of GNU's, with a script that makes its files and the owner that all of them get.
fn tar(lab: &Lab, script: &str, owner: &str) -> Vec<u8> {
    let (user, group) = owner.split_once(':').unwrap();
    let script =
        format!("rm -rf t && mkdir t && cd t && {script}; tar --owner={user} --group={group} --numeric-owner -cf - .");
    let output = lab.program("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn what_a_distribution_owns_comes_out_as_it_went_in() {
    let lab = Lab::new();
    let name = image("debian-owned");
    let theirs = pushed(&lab, &name);
    let foreign = |owners: &BTreeMap<String, String>| {
        let mut foreign = owners.clone();
        foreign.retain(|_, owner| !owner.ends_with(" 0/0"));
        foreign
    };
    assert_eq!(theirs["etc/shadow"], "-rw-r----- 0/42");
    assert!(foreign(&theirs).len() > 5, "{theirs:?}");
    lab.coracle(["create", "--name", "c", &name, "true"]).ok();
    let mut ours = exported(&lab, "c");
    let mut expected = theirs.clone();
    for list in [&mut ours, &mut expected] {
        // The places of mounts, and the root, which is the container's own.
        list.retain(|path, _| !path.is_empty() && !path.starts_with("dev/") && !path.starts_with("etc/h"));
    }
    let different: Vec<_> = expected.iter().filter(|(path, owner)| ours.get(*path) != Some(owner)).collect();
    assert!(different.is_empty(), "{different:?}");
    // As one layer, which another tool reads.
    let registry = RealRegistry::start("");
    lab.coracle(["commit", "-q", "--squash", "c", "squashed"]).ok();
    let there = registry.image("squashed:1");
    lab.coracle(["push", "-q", "--tls-verify=false", "squashed", &there]).ok();
    assert_eq!(foreign(&pushed(&lab, &there)), foreign(&theirs));
}

/// `adduser` and their like write a file anew and put it into the place of the old one: in a container that sees no owners they
/// would give root what is not root's.
#[test]
fn owners_that_a_container_does_not_see_are_not_lost() {
    let lab = Lab::new();
    let name = image("debian-owned");
    let script = "cp -p /etc/shadow /etc/new && mv /etc/new /etc/shadow; echo >>/etc/gshadow; touch -h /var/lock; echo x >/etc/mine; \
        rm -r /var/mail; mkdir -m 2775 /var/mail";
    lab.coracle(["run", "--ids=native", "--name", "c", &name, "sh", "-c", script]).ok();
    let made = lab.coracle(["commit", "c", "made"]);
    made.ok().says("/etc/shadow").says("/var/mail").says("kept");
    for list in [exported(&lab, "c"), {
        lab.coracle(["push", "-q", "made", &format!("oci:{}", lab.arg("layout"))]).ok();
        lab.coracle(["create", "--name", "again", "made", "true"]).ok();
        exported(&lab, "again")
    }] {
        assert_eq!(list["etc/shadow"], "-rw-r----- 0/42");
        assert_eq!(list["etc/gshadow"], "-rw-r----- 0/42");
        assert_eq!(list["var/mail/"], "drwxrwsr-x 0/8");
        assert_eq!(list["etc/mine"], "-rw-r--r-- 0/0");
    }
}

/// The user of an image is who makes what is new in its containers.
#[test]
fn what_a_user_makes_is_the_users() {
    let lab = Lab::new();
    let name = image("numeric-user");
    let script = "mkdir /tmp/d; echo x >/tmp/d/f; ln -s f /tmp/d/l; ln /tmp/d/f /tmp/d/g; mkfifo /tmp/d/p; chmod 700 /home; \
        echo x >>/etc/group; touch -h -d @7 /bin/cat; cp /etc/passwd /etc/new; mv /etc/new /etc/passwd";
    let check = |list: &BTreeMap<String, String>| {
        let of =
            |path: &str| list.get(path).unwrap_or_else(|| panic!("no {path} in {list:?}")).split(' ').nth(1).unwrap();
        for path in
            ["tmp/d/", "tmp/d/f", "tmp/d/l -> f", "tmp/d/g link to tmp/d/f", "tmp/d/p", "etc/passwd", "root-was-here"]
        {
            let is_given = path == "root-was-here";
            if !is_given || list.contains_key(path) {
                assert_eq!(of(path), "1234/2345", "{path}");
            }
        }
        for path in ["home/", "etc/group", "bin/cat -> busybox"] {
            assert_eq!(of(path), "0/0", "{path}");
        }
    };
    lab.coracle(["run", "--name", "c", &name, "sh", "-c", script]).ok();
    lab.write("root-was-here", "x");
    lab.coracle(["cp", &lab.arg("root-was-here"), "c:/root-was-here"]).ok();
    let given = tar(&lab, "echo x >of-77; ln -s of-77 link; mkfifo pipe; mkdir dir", "77:88");
    lab.coracle_with_input(["cp", "-a", "-", "c:/home"], &given).ok();
    let zero = tar(&lab, "echo x >of-root; ln -s of-root root-link", "0:0");
    lab.coracle_with_input(["cp", "-a", "-", "c:/home"], &zero).ok();
    let seventies = |list: &BTreeMap<String, String>| {
        for path in ["home/of-77", "home/link -> of-77", "home/pipe", "home/dir/"] {
            assert!(list[path].ends_with(" 77/88"), "{path}: {}", list[path]);
        }
        assert!(
            list["home/of-root"].ends_with(" 0/0") && list["home/root-link -> of-root"].ends_with(" 0/0"),
            "{list:?}"
        );
    };
    let list = exported(&lab, "c");
    check(&list);
    seventies(&list);
    let copied = lab.coracle(["cp", "-a", "c:/tmp", "-"]).ok().stdout.clone();
    let copied = owners(&listing(&lab, &lab.write("copied.tar", copied)));
    assert!(copied["tmp/d/f"].ends_with(" 1234/2345") && copied["tmp/"].ends_with(" 0/0"), "{copied:?}");
    let registry = RealRegistry::start("");
    lab.coracle(["commit", "-q", "c", "made"]).ok();
    let there = registry.image("made:1");
    lab.coracle(["push", "-q", "--tls-verify=false", "made", &there]).ok();
    let layer = pushed(&lab, &there);
    assert!(
        layer["tmp/d/f"].ends_with(" 1234/2345") && layer["tmp/d/g link to tmp/d/f"].ends_with(" 1234/2345"),
        "{layer:?}"
    );
    seventies(&layer);
    for format in ["docker-archive", "oci-archive"] {
        let saved = lab.arg(format);
        lab.coracle(["save", "-q", "--format", format, "-o", &saved, "made"]).ok();
        seventies(&topmost(&lab, &format!("{format}:{saved}")));
    }
    lab.coracle(["rmi", "-f", "made"]).ok();
    lab.coracle(["pull", "-q", "--tls-verify=false", &there]).ok();
    lab.coracle(["create", "--name", "again", &there, "true"]).ok();
    let list = exported(&lab, "again");
    check(&list);
    seventies(&list);
}

/// A copy from a container that runs has the owners that this container sees.
#[test]
fn a_running_container_is_exported_with_its_users_files() {
    let lab = Lab::new();
    let script = "echo x >/tmp/f; echo ready; exec sleep 1000";
    let mut running = lab.spawn(["run", "--rm", "--name", "c", &image("numeric-user"), "sh", "-c", script]);
    running.expect("ready");
    let list = exported(&lab, "c");
    assert!(list["tmp/f"].ends_with(" 1234/2345") && list["bin/busybox"].ends_with(" 0/0"), "{list:?}");
}
