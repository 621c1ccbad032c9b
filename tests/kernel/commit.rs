//! Images made of containers and of archives.

use std::fs;

use crate::diff::keep;
use crate::support::{Lab, image};

const SCRIPT: &str = "echo new >/new; rm /bin/yes; rm -r /etc; mkdir /etc; echo 'root:x:0:0::/:/bin/sh' >/etc/passwd; \
    mkdir -m 1750 /d; echo a >/d/a; ln /d/a /d/b; ln -s a /d/l; mkfifo /d/p; chmod 4711 /d/a; touch -d @1000000000 /d/a";
const CHECK: &str = "cat /new; ls -A /etc; ls /bin/yes 2>&1; stat -c '%n %a %h %s %Y %F' /d /d/a /d/b /d/l /d/p | sed 's/^.d [^ ]* .*/&/'";

/// The manifest of the image, from the store's blobs.
fn blob(lab: &Lab, digest: &str) -> serde_json::Value {
    let path = lab.store().join("blobs").join(digest.replace(':', "/"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The record of the image of this id.
fn record(lab: &Lab, id: &str) -> serde_json::Value {
    let path = lab.store().join("images").join(format!("{id}.json"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_image_has_what_the_container_had() {
    let lab = Lab::new();
    keep(&lab, "c", &["--tmpfs", "/memory"], SCRIPT);
    let before = lab.coracle(["diff", "c"]).ok().text();
    for flags in [&[][..], &["-f", "docker"], &["--squash"]] {
        let arguments = [&["commit"], flags, &["c", "made:1"]].concat();
        let id = lab.coracle(arguments).ok().text();
        assert_eq!(id.len(), 64);
        let run = |name: &str| lab.coracle(["run", "--name", name, "localhost/made:1", "sh", "-c", CHECK]);
        let text = run("again").ok().text();
        assert!(text.starts_with("new\n") && text.contains("passwd") && text.contains("No such file"), "{text}");
        assert!(!text.contains("os-release"), "what an opaque directory hides came back: {text}");
        assert!(text.contains("/d/a 4711 2 2 1000000000 regular file"), "{text}");
        assert!(text.contains("/d/p 644 1 0") && text.contains("fifo"), "{text}");
        assert_eq!(lab.coracle(["diff", "again"]).ok().text(), "", "{flags:?}");
        lab.coracle(["rm", "again"]).ok();
        let layers = record(&lab, &id)["layers"].as_array().unwrap().len();
        assert_eq!(layers, if flags == ["--squash"] { 1 } else { 2 });
    }
    let made = lab.coracle(["commit", "c"]).ok().text();
    assert_eq!(lab.coracle(["diff", &made]).ok().text(), before, "the layer is what diff says");
}

#[test]
fn the_same_content_is_the_same_image() {
    let lab = Lab::new();
    keep(&lab, "c", &[], SCRIPT);
    let commit = |time: Option<&str>| {
        let mut command = lab.command(["commit", "c"]);
        time.map(|time| command.env("SOURCE_DATE_EPOCH", time));
        String::from_utf8(command.output().unwrap().stdout).unwrap().trim().to_owned()
    };
    let (first, second) = (commit(None), commit(None));
    let layers = |id: &str| record(&lab, id)["layers"].clone();
    assert_eq!(layers(&first), layers(&second));
    assert_eq!(commit(Some("1000000000")), commit(Some("1000000000")));
    let created = record(&lab, &commit(Some("1000000000")))["created"].clone();
    assert_eq!(created, "2001-09-09T01:46:40Z");
}

#[test]
fn settings_are_the_containers_and_what_is_asked_for() {
    let lab = Lab::new();
    let image = image("configured");
    lab.coracle(["run", "--name", "c", "-e", "MINE=1", "-w", "/tmp", "--label", "l=container", &image, "arg"]).ok();
    let iidfile = lab.arg("iid");
    let changes = [
        "-c",
        "ENV CHANGED=yes",
        "-c",
        "LABEL k=v",
        "-c",
        "EXPOSE 80",
        "-c",
        "VOLUME /vol",
        "-c",
        "USER 7",
        "-c",
        "STOPSIGNAL INT",
        "-c",
        "ONBUILD RUN x",
        "-c",
        "CMD [\"later\"]",
    ];
    let flags = ["-m", "why", "-a", "who", "--iidfile", &iidfile, "c", "made"];
    let id = lab.coracle([&["commit"], &changes[..], &flags].concat()).ok().text();
    assert_eq!(fs::read_to_string(&iidfile).unwrap(), id);
    let config = blob(&lab, &format!("sha256:{id}"));
    let run = &config["config"];
    let env: Vec<&str> = run["Env"].as_array().unwrap().iter().map(|entry| entry.as_str().unwrap()).collect();
    assert!(env.contains(&"MINE=1") && env.contains(&"CHANGED=yes"), "{env:?}");
    assert!(!env.iter().any(|entry| entry.starts_with("HOSTNAME=") || entry.starts_with("container=")), "{env:?}");
    assert_eq!(
        (&run["Cmd"], &run["WorkingDir"], &run["User"]),
        (&serde_json::json!(["later"]), &"/tmp".into(), &"7".into())
    );
    assert_eq!(run["Entrypoint"], serde_json::json!(["/bin/echo", "entry"]));
    assert_eq!((&run["Labels"]["k"], &run["Labels"]["l"]), (&"v".into(), &"container".into()));
    assert!(run["ExposedPorts"]["80/tcp"].is_object() && run["Volumes"]["/vol"].is_object());
    assert_eq!((&run["StopSignal"], &run["OnBuild"][0]), (&"INT".into(), &"RUN x".into()));
    let last = config["history"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["comment"], &config["author"]), (&"why".into(), &"who".into()));
    assert_eq!(lab.coracle(["run", "--rm", "--user", "0", "made"]).ok().text(), "entry later");
    lab.coracle(["commit", "-c", "RUN x", "c"]).exited(125).says("CMD");
    lab.coracle(["commit", "nosuch"]).exited(125).says("nosuch");
    lab.coracle(["commit", "c", "UPPER"]).exited(125);
}

#[test]
fn containers_that_run_and_containers_without_an_image() {
    let lab = Lab::new();
    let mut running =
        lab.spawn(["run", "--rm", "--name", "r", &image("busybox"), "sh", "-c", "echo x >/x; echo ready; sleep 1000"]);
    running.expect("ready");
    lab.coracle(["commit", "-q", "r", "running"]).ok();
    assert_eq!(lab.coracle(["run", "--rm", "running", "cat", "/x"]).ok().text(), "x");
    let mut arguments = crate::support::busybox_arguments(&["--name", "o"], &["sh", "-c", "echo y >/y"]);
    arguments.remove(1);
    lab.coracle(arguments).ok();
    let id = lab.coracle(["commit", "o", "flat"]).ok().text();
    assert_eq!(record(&lab, &id)["layers"].as_array().unwrap().len(), 1);
    assert_eq!(lab.coracle(["run", "--rm", "flat", "cat", "/y"]).ok().text(), "y");
    lab.coracle(["rm", "o"]).ok();
}

#[test]
fn what_is_exported_and_imported_is_the_same() {
    let lab = Lab::new();
    for (name, from) in [("users", "users"), ("layers", "layers"), ("busybox", "busybox")] {
        lab.coracle([
            "run",
            "--name",
            name,
            &image(from),
            "sh",
            "-c",
            "echo x >/tmp/x; chmod 600 /tmp/x; ln /tmp/x /tmp/y",
        ])
        .ok();
        lab.coracle(["export", "-o", &lab.arg("first.tar"), name]).ok();
        let id = lab.coracle(["import", "-m", "why", "-c", "CMD sleep 1", &lab.arg("first.tar"), "back"]).ok().text();
        assert!(id.starts_with("sha256:"), "{id}");
        lab.coracle(["run", "--name", "second", "back", "true"]).ok();
        lab.coracle(["export", "-o", &lab.arg("second.tar"), "second"]).ok();
        let listing = |tar| crate::export::without_root(&crate::export::listing(&lab, &lab.path(tar)));
        assert!(listing("second.tar") == listing("first.tar"), "{name}: {}", listing("second.tar"));
        lab.coracle(["rm", "second"]).ok();
        let config = blob(&lab, &id);
        assert_eq!(config["history"][0]["comment"], "why");
        assert_eq!(config["config"]["Cmd"], serde_json::json!(["/bin/sh", "-c", "sleep 1"]));
    }
}

/// Owners, attributes and devices of an archive that no file of ours could have.
#[test]
fn an_import_keeps_what_the_file_system_cannot() {
    let lab = Lab::new();
    let script = "mkdir t; echo x >t/f; ln t/f t/g; ln -s f t/l; mkfifo t/p; chmod 6755 t/f; \
        tar --format=posix --owner=1234 --group=4000000 --sort=name -cf t.tar -C t .";
    assert!(lab.program("sh").args(["-c", script]).status().unwrap().success());
    for (program, name) in [(None, "t.tar"), (Some("gzip"), "t.tar.gz"), (Some("zstd"), "t.tar.zst")] {
        if let Some(program) = program
            && !lab.program(program).args(["-qkf", "t.tar"]).status().is_ok_and(|status| status.success())
        {
            continue;
        }
        let input = fs::read(lab.path(name)).unwrap();
        let flags = ["--os", "linux", "--arch", "arm", "--variant", "v6"];
        let id = lab.coracle_with_input([&["import"], &flags[..], &["-", "t"]].concat(), &input).ok().text();
        let config = blob(&lab, &id);
        assert_eq!((&config["architecture"], &config["variant"]), (&"arm".into(), &"v6".into()));
    }
    // With something that can be run beside it: an image of two layers, exported flat.
    let base = fs::read(lab.path("t.tar")).unwrap();
    keep(&lab, "c", &[], "true");
    lab.coracle_with_input(["cp", "-a", "-", "c:/tmp"], &base).ok();
    let export = |container: &str, tar: &str| {
        lab.coracle(["export", "-o", &lab.arg(tar), container]).ok();
        crate::export::without_root(&crate::export::listing(&lab, &lab.path(tar)))
    };
    let first = export("c", "first.tar");
    assert!(first.contains("-rwsr-sr-x 1234/4000000 2 "), "{first}");
    lab.coracle(["commit", "c", "layered"]).ok();
    lab.coracle(["import", &lab.arg("first.tar"), "flat"]).ok();
    for image in ["layered", "flat"] {
        lab.coracle(["run", "--name", image, image, "true"]).ok();
        let again = export(image, "again.tar");
        assert!(again == first, "{image}: {again}");
    }
    lab.coracle_with_input(["import", "-"], b"\xfd7zXZ\0rest").exited(125).says("xz -dc");
    lab.coracle_with_input(["import", "-"], b"no tar at all").exited(125);
    // Nobody listens there.
    lab.coracle(["import", "http://127.0.0.1:1/x.tar"]).exited(125).says("127.0.0.1:1");
    lab.coracle(["import", "/no/such/file"]).exited(125).says("/no/such/file");
}

#[test]
fn volumes_of_the_container_become_volumes_of_the_image_when_asked_for() {
    let lab = Lab::new();
    keep(&lab, "c", &["-v", "data:/data", "--tmpfs", "/t"], "echo kept >/data/file");
    let volumes = |flags: &[&str]| {
        let id = lab.coracle([&["commit"], flags, &["c"]].concat()).ok().text();
        lab.coracle(["inspect", "--type", "image", &id]).ok().json()[0]["Config"]["Volumes"].clone()
    };
    assert!(volumes(&[]).is_null());
    assert_eq!(volumes(&["--include-volumes"]), serde_json::json!({"/data": {}}));
}
