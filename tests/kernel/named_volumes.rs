//! Volumes: `coracle volume` and `-v NAME:DESTINATION`.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Detached, Lab, Output, image, wait_until};

fn volumes(lab: &Lab, flags: &[&str]) -> Vec<String> {
    let text = lab.coracle([&["volume", "ls", "-q"], flags].concat()).ok().text();
    text.lines().map(str::to_owned).collect()
}

fn inspect(lab: &Lab, name: &str) -> Value {
    lab.coracle(["volume", "inspect", name]).ok().json()[0].clone()
}

fn data(lab: &Lab, name: &str) -> PathBuf {
    inspect(lab, name)["Mountpoint"].as_str().unwrap().into()
}

/// A shell in a container of the image `layers`, which has a few files.
fn sh(lab: &Lab, flags: &[&str], script: &str) -> Output {
    let flags = ["run", "--rm"].into_iter().chain(flags.iter().copied());
    lab.coracle(flags.chain([image("layers").as_str(), "sh", "-c", script]))
}

#[test]
fn a_volume_outlives_its_containers() {
    let lab = Lab::new();
    assert_eq!(lab.coracle(["volume", "create", "--label", "a=b", "data"]).ok().text(), "data");
    sh(&lab, &["-v", "data:/v"], "echo kept >/v/file").ok();
    assert_eq!(
        sh(&lab, &["-v", "data:/elsewhere:ro"], "cat /elsewhere/file; touch /elsewhere/x 2>/dev/null || echo ro")
            .text(),
        "kept\nro"
    );
    assert_eq!(volumes(&lab, &[]), ["data"]);
    let report = inspect(&lab, "data");
    assert_eq!(
        (&report["Name"], &report["Driver"], &report["Labels"]["a"]),
        (&"data".into(), &"local".into(), &"b".into())
    );
    assert_eq!(fs::read_to_string(data(&lab, "data").join("file")).unwrap(), "kept\n");
    let mounted = sh(&lab, &["-v", "data:/v:noexec"], "grep ' /v ' /proc/self/mountinfo").text();
    assert!(["nosuid", "nodev", "noexec"].iter().all(|word| mounted.contains(word)), "{mounted}");
    lab.coracle(["volume", "rm", "data"]).ok();
    assert_eq!(volumes(&lab, &[]), Vec::<String>::new());
    lab.assert_clean();
}

#[test]
fn one_that_is_not_there_is_made() {
    let lab = Lab::new();
    sh(&lab, &["-v", "new:/v"], "true").ok();
    assert_eq!(volumes(&lab, &[]), ["new"]);
    sh(&lab, &["-v", "other:/v:nocreate"], "true").refused(125, "E_NOTFOUND").says("other");
    sh(&lab, &["-v", "new:/v:nocreate"], "true").ok();
    assert_eq!(volumes(&lab, &[]), ["new"]);
}

#[test]
fn names_are_checked() {
    let lab = Lab::new();
    for name in ["", "a/b", "../x", "-v", ".hidden", "a b"] {
        lab.coracle(["volume", "create", "--", name]).exited(125);
        lab.coracle(["volume", "rm", "--", name]).exited(1);
    }
    for flag in ["a/b:/v", "a b:/v", "data:v", "data:/"] {
        sh(&lab, &["-v", flag], "true").exited(125);
    }
    lab.coracle(["volume", "create", "twice"]).ok();
    lab.coracle(["volume", "create", "twice"]).refused(125, "E_EXISTS").says("--ignore");
    lab.coracle(["volume", "create", "--ignore", "twice"]).ok();
    lab.coracle(["volume", "create", "--driver", "nfs", "n"]).refused(125, "E_UNSUPPORTED").says("local");
    assert_eq!(volumes(&lab, &[]), ["twice"]);
}

#[test]
fn a_new_volume_is_filled_with_what_it_covers() {
    let lab = Lab::new();
    let make = "mkdir -p /from/sub && cd /from && echo one >a && ln a b && ln -s a c && mkfifo p && echo x >sub/x && \
                chmod 750 sub && chmod 4711 a && touch -d @1000000000 a && chmod 2775 /from";
    lab.coracle(["run", "--name", "made", &image("busybox"), "sh", "-c", make]).ok();
    lab.coracle(["commit", "-q", "made", "source"]).ok();
    let run = |flags: &[&str], script: &str| {
        lab.coracle([&["run", "--rm"], flags, &["source", "sh", "-c", script]].concat()).ok().text()
    };
    let look = "cd /from && stat -c '%a %F %h %s %Y' a b c p sub/x && stat -c '%a %n' . sub && readlink c && cat b";
    let covered = run(&[], look);
    assert_eq!(run(&["-v", "data:/from"], look), covered, "it looks as if nothing was mounted");
    assert_eq!(inspect(&lab, "data")["NeedsCopyUp"], false);
    // It is filled once.
    assert_eq!(run(&["-v", "data:/from"], "rm -r /from/* && ls /from"), "");
    assert_eq!(run(&["-v", "data:/from"], "ls /from"), "");
    assert_eq!(run(&["-v", "plain:/from:nocopy"], "ls /from"), "");
    assert_eq!(run(&["-v", "plain:/from:ro"], "cat /from/a"), "one", "nothing was in it yet");
    // What somebody has put into it is not mixed with anything.
    run(&["-v", "mine:/nowhere"], "echo mine >/nowhere/file");
    assert_eq!(run(&["-v", "mine:/from"], "ls /from"), "file");
}

#[test]
fn of_containers_that_begin_at_once_one_fills_it() {
    let lab = Lab::new();
    let make = "mkdir /from && for i in $(seq 400); do echo $i >/from/$i; done";
    lab.coracle(["run", "--name", "made", &image("busybox"), "sh", "-c", make]).ok();
    lab.coracle(["commit", "-q", "made", "source"]).ok();
    for round in 0..5 {
        let flag = format!("data{round}:/from");
        let run =
            ["run", "--rm", "-v", &flag, "source", "sh", "-c", "cat /from/* | sort -n | md5sum; ls /from | wc -l"];
        let running: Vec<_> = (0..6).map(|_| lab.spawn(run)).collect();
        let seen: Vec<String> = running.into_iter().map(|container| container.wait().ok().text()).collect();
        assert!(seen.iter().all(|text| text == &seen[0] && text.ends_with("400")), "{seen:?}");
    }
}

#[test]
fn one_that_is_in_use_stays() {
    let lab = Lab::new();
    lab.coracle(["create", "--name", "user", "-v", "data:/v", &image("busybox"), "true"]).ok();
    lab.coracle(["volume", "rm", "data"]).refused(2, "E_BUSY").says("user");
    lab.coracle(["volume", "prune", "--all", "--force"]).ok();
    assert_eq!(volumes(&lab, &["--filter", "dangling=false"]), ["data"]);
    assert_eq!(volumes(&lab, &["--filter", "dangling=true"]), Vec::<String>::new());
    // Several: the others go all the same, and the gravest failure decides.
    lab.coracle(["volume", "create", "free"]).ok();
    assert_eq!(lab.coracle(["volume", "rm", "data", "free", "nosuch"]).exited(2).text(), "free");
    lab.coracle(["volume", "rm", "nosuch"]).exited(1);
    lab.coracle(["volume", "rm", "--force", "nosuch"]).ok();
    lab.coracle(["volume", "rm", "--force", "data"]).ok();
    assert_eq!((volumes(&lab, &[]), lab.containers().len()), (Vec::new(), 0));
}

#[test]
fn anonymous_volumes_go_with_their_container() {
    let lab = Lab::new();
    sh(&lab, &["-v", "/v"], "echo x >/v/x").ok();
    assert_eq!(volumes(&lab, &[]), Vec::<String>::new(), "--rm");
    for (flags, left) in [(&["rm", "-v", "c"][..], 0), (&["rm", "c"][..], 1)] {
        lab.coracle(["run", "--name", "c", "-v", "/v", "-v", "named:/n", &image("busybox"), "touch", "/v/x"]).ok();
        assert_eq!(lab.coracle(["start", "-a", "c"]).ok().code, 0);
        let anonymous = volumes(&lab, &["--filter", "anonymous=true"]);
        assert!(anonymous.len() == 1 && anonymous[0].len() == 64, "{anonymous:?}");
        let mount = lab.inspect("c")["Mounts"]
            .as_array()
            .unwrap()
            .iter()
            .find(|mount| mount["Destination"] == "/v")
            .unwrap()
            .clone();
        assert_eq!((&mount["Type"], &mount["Name"]), (&"volume".into(), &anonymous[0].as_str().into()));
        assert!(data(&lab, &anonymous[0][..12]).join("x").exists(), "found by the beginning of its name");
        lab.coracle(flags).ok();
        assert_eq!(volumes(&lab, &["--filter", "anonymous=true"]).len(), left);
    }
    let pruned = lab.coracle(["volume", "prune", "--force"]).ok().text();
    assert!(pruned.lines().count() == 2 && pruned.contains("Total reclaimed space"), "{pruned}");
    assert_eq!(volumes(&lab, &[]), ["named"]);
    lab.coracle(["volume", "prune", "--force", "--filter", "all=true", "--filter", "label=nosuch"]).ok();
    assert_eq!(volumes(&lab, &[]), ["named"]);
    assert!(lab.coracle(["system", "prune", "--force", "--volumes"]).ok().text().starts_with("Total"));
    lab.coracle(["volume", "prune", "--all", "--force"]).ok();
    assert_eq!(volumes(&lab, &[]), Vec::<String>::new());
}

#[test]
fn those_of_an_image_are_anonymous_ones() {
    let lab = Lab::new();
    let script = "echo x >/data/x; grep -c ' /data ' /proc/self/mountinfo";
    let run = |flags: &[&str]| {
        lab.coracle(
            [&["run", "--name", "c"], flags, &["--entrypoint", "sh", &image("configured"), "-c", script]].concat(),
        )
    };
    assert_eq!(run(&["--rm"]).ok().text(), "1");
    assert_eq!(volumes(&lab, &[]), Vec::<String>::new());
    run(&[]).ok();
    assert_eq!(volumes(&lab, &[]).len(), 1);
    // A stopped container's volume is part of it for cp.
    assert!(lab.coracle(["cp", "c:/data/x", "-"]).ok().text().contains('x'));
    assert_eq!(lab.coracle(["start", "-a", "c"]).ok().text(), "1", "it keeps the volume");
    assert_eq!(volumes(&lab, &[]).len(), 1);
    lab.coracle(["rm", "-v", "c"]).ok();
    run(&["-v", "mine:/data"]).ok();
    assert_eq!(volumes(&lab, &[]), ["mine"]);
}

#[test]
fn listings_have_podmans_and_dockers_names() {
    let lab = Lab::new();
    lab.coracle(["volume", "create", "-l", "app=web", "one"]).ok();
    lab.coracle(["volume", "create", "two"]).ok();
    let table = lab.coracle(["volume", "ls"]).ok().text();
    assert_eq!(
        table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>(),
        ["DRIVER VOLUME NAME", "local one", "local two"]
    );
    assert_eq!(volumes(&lab, &["--filter", "label=app"]), ["one"]);
    assert_eq!(volumes(&lab, &["--filter", "label!=app"]), ["two"]);
    assert_eq!(volumes(&lab, &["--filter", "name=^t"]), ["two"]);
    assert_eq!(volumes(&lab, &["--filter", "until=1h"]), Vec::<String>::new());
    lab.coracle(["volume", "ls", "--filter", "nosuch=1"]).exited(125).says("dangling");
    let json = lab.coracle(["volume", "ls", "--format", "json"]).ok().json();
    for key in ["Name", "Driver", "Mountpoint", "CreatedAt", "Labels", "Scope", "Options"] {
        assert!(!json[0][key].is_null(), "{key}");
    }
    lab.coracle(["volume", "exists", "one"]).ok();
    lab.coracle(["volume", "exists", "nosuch"]).exited(1);
    lab.coracle(["volume", "inspect", "nosuch"]).exited(125).says("nosuch");
    let row = lab.coracle(["system", "df", "--format", "json"]).ok().json();
    let row = row.as_array().unwrap().iter().find(|row| row["Type"] == "Local Volumes").unwrap().clone();
    assert_eq!((&row["Total"], &row["Active"]), (&2.into(), &0.into()));
    assert!(row["RawReclaimable"].as_u64().unwrap() > 0);
}

#[test]
fn several_containers_share_one() {
    let lab = Lab::new();
    let writer = Detached::start(
        &lab,
        &["-v", "shared:/v"],
        &["sh", "-c", "until [ -e /v/go ]; do sleep 0.01; done; echo told >/v/answer; sleep 100"],
    );
    lab.sh(&["-v", "shared:/v"], "touch /v/go");
    wait_until("the other container has seen it", || data(&lab, "shared").join("answer").exists());
    drop(writer);
}

#[test]
fn a_link_in_a_volume_leads_nowhere_else() {
    let lab = Lab::new();
    lab.write("secret", "of the host");
    let secret = lab.arg("secret");
    // What the container leaves behind is the next one's directory, never ours.
    sh(&lab, &["-v", "data:/v"], &format!("ln -s {secret} /v/file; ln -s / /v/all; rm -rf /v/../v/x")).ok();
    sh(&lab, &["-v", "data:/v"], "cat /v/file").exited(1);
    sh(&lab, &["-v", "data:/v"], "cat /v/all/etc/hostname").ok();
    lab.coracle(["volume", "rm", "data"]).ok();
    assert_eq!(fs::read_to_string(lab.path("secret")).unwrap(), "of the host");
}

/// The mount at `destination` as the container sees it: its options, then those of its file system.
fn mountinfo(lab: &Lab, flags: &[&str], destination: &str) -> String {
    let script = format!("grep ' {destination} ' /proc/self/mountinfo");
    let line = sh(lab, flags, &script).ok().text();
    let fields: Vec<&str> = line.split(' ').collect();
    let end = fields.iter().position(|field| *field == "-").unwrap();
    assert_eq!(end, 6, "private: {line}");
    format!("{} {}", fields[5], fields[end + 3])
}

#[test]
fn mount_gives_what_the_short_forms_give() {
    let lab = Lab::new();
    fs::create_dir(lab.path("source")).unwrap();
    let source = lab.arg("source");
    for (long, short) in [
        (format!("type=bind,src={source},dst=/m"), format!("{source}:/m")),
        (format!("type=bind,source={source},target=/m,readonly,noexec"), format!("{source}:/m:ro,noexec")),
        ("type=volume,src=v,dst=/m".into(), "v:/m".into()),
        ("src=v,destination=/m,ro=true,volume-nocopy".into(), "v:/m:ro,nocopy".into()),
        ("dst=/m,noexec".into(), "v:/m:noexec".into()),
    ] {
        assert_eq!(mountinfo(&lab, &["--mount", &long], "/m"), mountinfo(&lab, &["-v", &short], "/m"), "{long}");
    }
    let tmpfs = mountinfo(&lab, &["--mount", "type=tmpfs,dst=/m,tmpfs-size=1m,tmpfs-mode=700"], "/m");
    assert_eq!(tmpfs, mountinfo(&lab, &["--tmpfs", "/m:size=1m,mode=700"], "/m"));
    assert!(tmpfs.contains("size=1024k") && tmpfs.contains("mode=700"), "{tmpfs}");
    // The working directory, and a path with a colon.
    lab.write("a:b/file", "here");
    assert_eq!(sh(&lab, &["--mount", "type=bind,src=./a:b,dst=/m"], "cat /m/file").ok().text(), "here");
    sh(&lab, &["--mount", "src=labelled,dst=/m,volume-label=k=v"], "true").ok();
    assert_eq!(inspect(&lab, "labelled")["Labels"]["k"], "v");
}

#[test]
fn bad_mounts_are_refused_with_an_example() {
    let lab = Lab::new();
    for (value, part) in [
        ("type=bind,src=/usr,dst=/m,bind-propagation=rshared", "rshared"),
        ("type=bind,src=/usr,dst=/m,idmap", "idmap"),
        ("type=bind,src=/nosuch,dst=/m", "/nosuch"),
        ("type=nosuch,dst=/m", "bind, volume, tmpfs"),
        ("type=bind,src=/usr", "dst=PATH"),
        ("src=v,dst=/m,volume-subpath=../../..", ".."),
    ] {
        sh(&lab, &["--mount", value], "true").exited(125).says(part);
    }
    assert!(sh(&lab, &["--mount", "type=nosuch,dst=/m"], "true").errors().contains("--mount type=bind,src="));
    assert_eq!(volumes(&lab, &[]), Vec::<String>::new(), "nothing is made of what is refused");
}

#[test]
fn a_part_of_a_volume_is_mounted() {
    let lab = Lab::new();
    sh(&lab, &["-v", "data:/v"], "mkdir -p /v/a/b; echo deep >/v/a/b/file; ln -s / /v/out; ln -s a /v/in").ok();
    let run = |subpath: &str, script: &str| {
        sh(&lab, &["--mount", &format!("src=data,dst=/m,volume-subpath={subpath}")], script)
    };
    assert_eq!(run("a/b", "cat /m/file; ls /m; echo new >/m/new").ok().text(), "deep\nfile");
    assert_eq!(run("/a/b/file", "cat /m").ok().text(), "deep");
    assert_eq!(fs::read_to_string(data(&lab, "data").join("a/b/new")).unwrap(), "new\n");
    run("nosuch", "true").refused(125, "E_NOTFOUND");
    for link in ["out", "out/etc", "in", "in/b"] {
        run(link, "true").refused(125, "E_PATH_ESCAPE");
    }
}

#[test]
fn volumes_from_another_container() {
    let lab = Lab::new();
    lab.write("host/file", "host");
    let bind = format!("{}:/bound:ro", lab.arg("host"));
    let image = image("configured");
    let create = ["create", "--name", "first", "-v", &bind, "-v", "named:/n", "-v", "/own", "--tmpfs", "/mem", &image];
    lab.coracle(create).ok();
    assert_eq!(volumes(&lab, &[]).len(), 3, "the image has one, too");
    let script = "cat /bound/file; touch /bound/x 2>/dev/null || echo ro; echo x >/own/x && echo y >/data/y; \
                  grep -c -E ' (/bound|/n|/own|/data|/mem) ' /proc/self/mountinfo";
    assert_eq!(sh(&lab, &["--volumes-from", "first"], script).ok().text(), "hostro\n4");
    assert_eq!(volumes(&lab, &[]).len(), 3, "they are another's: --rm has left them");
    let read_only = ["--volumes-from", "first:ro", "-v", "mine:/own"];
    assert_eq!(sh(&lab, &read_only, "cat /data/y; ls /own; touch /n/x 2>/dev/null || echo ro").ok().text(), "y\nro");
    lab.coracle(["create", "--name", "second", "--volumes-from", "first", &image]).ok();
    lab.coracle(["rm", "-v", "first"]).ok();
    assert_eq!(volumes(&lab, &["--filter", "anonymous=true"]).len(), 2, "the second has them still");
    lab.coracle(["rm", "-v", "second"]).ok();
    assert_eq!(volumes(&lab, &[]), ["mine", "named"]);
    sh(&lab, &["--volumes-from", "first"], "true").refused(125, "E_NOTFOUND");
}

#[test]
fn the_images_volumes_are_what_is_asked_for() {
    let lab = Lab::new();
    let kind = |how: &str| {
        let script = "awk '$5 == \"/data\" { print $(NF-2) }' /proc/self/mountinfo";
        let flags = ["run", "--rm", "--image-volume", how, "--entrypoint", "sh"];
        lab.coracle([&flags[..], &[&image("configured"), "-c", script]].concat())
    };
    assert_eq!(kind("tmpfs").ok().text(), "tmpfs");
    assert_eq!(kind("ignore").ok().text(), "");
    assert!(!["", "tmpfs"].contains(&kind("anonymous").ok().text().as_str()));
    kind("nosuch").exited(125).says("anonymous");
}
