//! Virtual ids: whose files are, who processes are, and what is refused, in a container of a user who has one id.

use crate::support::{Lab, Output};

/// A script in the busybox image, as its root.
fn emulated(lab: &Lab, flags: &[&str], script: &str) -> Output {
    let flags: Vec<&str> = ["--ids=emulate"].iter().chain(flags).copied().collect();
    lab.run_image("busybox", &flags, &["sh", "-c", script])
}

#[test]
fn owners_are_given_and_shown() {
    let lab = Lab::new();
    let script = "cd /tmp; touch f; mkdir d; ln -s nowhere l; mkfifo p
        chown 33:44 f; chown 1000 d; chown -h 5:6 l; chown :7 p
        stat -c '%n %u:%g' f d l p; chown 0:0 f; stat -c %u:%g f; cp -a d e; stat -c %u e; find . -user 1000 | sort";
    assert_eq!(emulated(&lab, &[], script).ok().text(), "f 33:44\nd 1000:0\nl 5:6\np 0:7\n0:0\n1000\n./d\n./e");
    let native = lab.run_image("busybox", &["--ids=native"], &["chown", "33", "/tmp"]);
    native.exited(1);
}

#[test]
fn who_gives_up_root_is_somebody_else() {
    let lab = Lab::new();
    let script = "mkdir -m 2777 /tmp/shared; chown 0:50 /tmp/shared
        su app -c 'id -u; id -g; cd /tmp; touch mine; mkdir own; ln -s x link; echo >shared/s; mkdir shared/d
            stat -c %u:%g mine own link shared/s shared/d; stat -c %a shared/d
            chown 0 mine 2>/dev/null || echo kept; chmod 600 /etc/passwd 2>/dev/null || echo kept
            chmod 640 mine && stat -c %a mine; umask 077; touch private; stat -c %a private'
        touch /tmp/shared/r; stat -c %u:%g /tmp/shared/r; id -u";
    let expected = "1000\n1000\n1000:1000\n1000:1000\n1000:1000\n1000:50\n1000:50\n2755\nkept\nkept\n640\n600\n0:50\n0";
    assert_eq!(emulated(&lab, &[], script).ok().text(), expected);
}

#[test]
fn set_user_id_bits_go_with_the_owner() {
    let lab = Lab::new();
    let script = "cd /tmp; touch f; chmod 6755 f; chown 33 f; stat -c %a f; chmod 4755 f; stat -c %a:%u f
        chown 33 f; stat -c %a f";
    assert_eq!(emulated(&lab, &[], script).ok().text(), "755\n4755:33\n755");
}

#[test]
fn a_user_asked_for_begins_as_that() {
    let lab = Lab::new();
    let script = "id -u; id -g; touch /tmp/x; stat -c %u:%g /tmp/x; stat -c %u /proc/$$";
    assert_eq!(emulated(&lab, &["-u", "app"], script).ok().text(), "1000\n1000\n1000:1000\n1000");
    let groups = emulated(&lab, &["-u", "0:7"], "id -g; touch /tmp/x; stat -c %g /tmp/x").ok().text();
    assert_eq!(groups, "7\n7");
}

#[test]
fn a_callers_files_carry_nothing() {
    let lab = Lab::new();
    lab.write("shared/file", "x");
    let volume = format!("{}:/shared", lab.arg("shared"));
    let script = "cd /shared; stat -c %u file; chown 33 file; stat -c %u file; su app -c 'touch new'; stat -c %u new";
    assert_eq!(emulated(&lab, &["-v", &volume], script).ok().text(), "0\n33\n1000");
    for name in ["shared/file", "shared/new", "shared"] {
        let file = std::fs::File::open(lab.path(name)).unwrap();
        let names = coracle::sys::xattr::list(std::os::fd::AsFd::as_fd(&file)).unwrap();
        assert!(names.is_empty(), "{name}: {names:?}");
    }
    let users = emulated(&lab, &["-u", "app", "-v", &volume], "stat -c %u:%g /shared/file").ok().text();
    assert_eq!(users, "1000:1000", "shown as the container's user's");
}

#[test]
fn volumes_keep_owners() {
    let lab = Lab::new();
    let volume = ["-v", "kept:/data"];
    emulated(&lab, &volume, "cd /data; touch f; chown 33:44 f; ln -s f l; chown -h 5 l").ok();
    assert_eq!(emulated(&lab, &volume, "cd /data; stat -c %u:%g f l").ok().text(), "33:44\n5:0");
}

#[test]
fn what_is_chosen_is_said() {
    let lab = Lab::new();
    let chosen = |name: &str, flags: &[&str], image: &[&str]| {
        let mut arguments = vec!["create", "--name", name];
        arguments.extend(flags);
        arguments.extend(image);
        lab.coracle(&arguments).ok();
        let ids = lab.inspect(name)["Ids"].clone();
        assert!(!ids["Reason"].as_str().unwrap().is_empty(), "{ids}");
        ids["Mode"].as_str().unwrap().to_owned()
    };
    let busybox = lab.pull("busybox");
    let true_in = [busybox.as_str(), "true"];
    assert_eq!(chosen("a", &[], &true_in), "emulate");
    assert_eq!(chosen("l", &["--ulimit", "locks=5"], &true_in), "native");
    assert_eq!(chosen("n", &["--ids=native"], &true_in), "native");
    assert_eq!(chosen("e", &["--ids=emulate"], &true_in), "emulate");
    assert_eq!(chosen("b", &["-u", "app"], &true_in), "native");
    assert_eq!(chosen("c", &["--ids=fake"], &true_in), "fake");
    let tree = crate::support::busybox_tree();
    assert_eq!(chosen("d", &[], &["--rootfs", tree.to_str().unwrap(), "true"]), "native");
    lab.coracle(["create", "--ids=range", &busybox, "true"]).refused(125, "E_IDS");
    lab.coracle(["create", "--ids=subuid", &busybox, "true"]).refused(125, "E_CONFIG");
    lab.coracle(["create", "--ids=emulate", "--ulimit", "locks=5", &busybox, "true"]).refused(125, "E_IDS");
}

#[test]
fn whether_other_ids_were_needed_is_said() {
    let lab = Lab::new();
    let needed = |name: &str, script: &str| {
        let image = lab.pull("busybox");
        lab.coracle(["run", "--ids=emulate", "--name", name, &image, "sh", "-c", script]).ok();
        lab.inspect(name)["Ids"]["Needed"].clone()
    };
    assert_eq!(needed("plain", "touch /tmp/x; chown 0 /tmp/x; ls -l /tmp /bin >/dev/null"), false);
    assert_eq!(needed("other", "chown 33 /tmp"), true);
}

#[test]
fn pretended_ids_do_nothing() {
    let lab = Lab::new();
    let script = "touch /tmp/f; chown 33:33 /tmp/f && stat -c %u /tmp/f; su app -c 'id -u'";
    let output = lab.run_image("busybox", &["--ids=fake"], &["sh", "-c", script]);
    assert!(output.text().starts_with("0\n"), "{output:?}");
}
