//! Images made by other tools, served by a real registry, run.

use crate::support::{Lab, image};

#[test]
fn hello_needs_neither_registry_nor_network() {
    let output = Lab::new().coracle(["run", "--rm", "hello"]);
    let text = output.ok().text().to_lowercase();
    for word in ["user", "mnt", "seccomp", "capabilities", "uid"] {
        assert!(text.contains(word), "no {word}: {output:?}");
    }
}

#[test]
fn every_format_runs() {
    let lab = Lab::new();
    for name in ["busybox", "busybox-docker", "busybox-zstd", "multi"] {
        assert_eq!(lab.run_image(name, &["--pull", "always"], &["echo", "ran"]).ok().text(), "ran", "{name}");
    }
}

/// Deletions, an opaque directory, a file that becomes a directory, a hard link whose name is replaced: by buildah.
#[test]
fn layers_are_stacked_as_the_specification_says() {
    let lab = Lab::new();
    let script =
        "cat changed hardlink deleted kept/deep/file swap/again opaque/new; ls -A opaque gone 2>&1; echo $LAYER";
    let expected =
        "second\none\nthe third\none\nthe third\nsecond\nls: gone: No such file or directory\nopaque:\nnew\n3";
    for name in ["layers", "layers-docker", "layers-zstd", "layers-plain"] {
        let text = lab.run_image(name, &[], &["sh", "-c", script]).ok().text();
        assert_eq!(text, expected, "{name}");
    }
}

#[test]
fn debian_works_with_its_own_tools() {
    let lab = Lab::new();
    let script = "set -e; . /etc/os-release; echo $ID; dpkg --version >/dev/null; perl -e 'print 6*7'; mkdir /x; cp -a /etc /x; rm -r /x";
    assert_eq!(lab.run_image("debian", &[], &["bash", "-c", script]).ok().text(), "debian\n42");
}

#[test]
fn the_entrypoint_has_all_its_forms() {
    let lab = Lab::new();
    let run = |flags: &[&str], command: &[&str]| lab.run_image("configured", flags, command).ok().text();
    assert_eq!(run(&[], &[]), "entry default");
    assert_eq!(run(&[], &["a", "b c"]), "entry a b c");
    assert_eq!(run(&["--entrypoint", "pwd"], &[]), "/work/new");
    assert_eq!(run(&["--entrypoint", "echo"], &["x"]), "x");
    assert_eq!(run(&["--entrypoint", r#"["echo", "list"]"#], &["x"]), "list x");
    assert_eq!(run(&["--entrypoint", ""], &["echo", "none"]), "none");
}

#[test]
fn without_any_command_we_say_so() {
    let lab = Lab::new();
    lab.run_image("configured", &["--entrypoint", ""], &[]).exited(125);
}

#[test]
fn an_image_of_another_architecture_is_refused_by_name() {
    let lab = Lab::new();
    lab.run_image("arm64", &[], &["true"]).exited(125).says("arm64");
    lab.run_image("multi", &["--platform", "linux/s390x"], &["true"]).exited(125).says("s390x");
}

#[test]
fn the_platform_asked_for_is_pulled() {
    let lab = Lab::new();
    lab.coracle(["pull", "-q", "--platform", "linux/arm64", &image("multi")]).ok();
    assert_eq!(lab.inspect(&image("multi"))["Architecture"], "arm64");
}

#[test]
fn an_unknown_image_is_refused_with_its_name() {
    let lab = Lab::new();
    lab.coracle(["run", "--rm", &image("nosuchimage"), "true"]).exited(125).says("nosuchimage");
    lab.coracle(["run", "--rm", "--pull", "never", &image("busybox"), "true"]).exited(125).says("busybox");
    lab.coracle(["run", "--rm", "127.0.0.1:1/x", "true"]).exited(125).says("127.0.0.1:1");
    lab.coracle(["run", "--rm", "NOT A NAME", "true"]).exited(125);
    lab.assert_clean();
}

#[test]
fn an_image_is_pulled_once_and_then_local() {
    let lab = Lab::new();
    lab.run_image("busybox", &[], &["true"]).ok();
    lab.run_image("busybox", &["--pull", "never"], &["true"]).ok();
    let output = lab.run_image("busybox", &[], &["true"]);
    assert_eq!(output.ok().errors(), "", "nothing to say the second time");
}

#[test]
fn images_lists_and_rmi_removes() {
    let lab = Lab::new();
    lab.pull("busybox");
    lab.pull("layers");
    let names = |lab: &Lab| lab.coracle(["images", "--format", "json"]).ok().json().as_array().unwrap().len();
    assert_eq!(names(&lab), 2);
    let table = lab.coracle(["images"]).ok().text();
    assert!(table.contains("busybox") && table.contains("layers") && table.contains("latest"), "{table}");
    lab.coracle(["rmi", &image("busybox")]).ok();
    assert_eq!(names(&lab), 1);
    lab.coracle(["rmi", &image("busybox")]).exited(1);
    lab.coracle(["rmi", &image("layers")]).ok();
    assert_eq!(names(&lab), 0);
}

#[test]
fn an_image_in_use_is_not_removed() {
    let lab = Lab::new();
    lab.coracle(["run", "--name", "user", &image("busybox"), "true"]).ok();
    lab.coracle(["rmi", &image("busybox")]).refused(2, "E_BUSY");
    lab.coracle(["rm", "user"]).ok();
    lab.coracle(["rmi", &image("busybox")]).ok();
}

#[test]
fn removing_all_images_gives_the_space_back() {
    let lab = Lab::new();
    for name in ["busybox", "layers", "layers-zstd"] {
        lab.pull(name);
    }
    for name in ["busybox", "layers", "layers-zstd"] {
        lab.coracle(["rmi", &image(name)]).ok();
    }
    for directory in ["blobs/sha256", "layers", "refs", "images"] {
        let left = std::fs::read_dir(lab.store().join(directory)).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{directory}");
    }
}

#[test]
fn inspect_shows_the_configuration() {
    let lab = Lab::new();
    lab.pull("configured");
    let image = lab.inspect(&image("configured"));
    assert_eq!(image["Architecture"], "amd64");
    let config = &image["Config"];
    assert_eq!(config["Labels"]["purpose"], "test");
    assert_eq!(config["WorkingDir"], "/work/new");
    assert_eq!(config["StopSignal"], "SIGINT");
    assert_eq!(config["Entrypoint"], serde_json::json!(["/bin/echo", "entry"]));
}

#[test]
fn pull_prints_the_id_that_inspect_shows() {
    let lab = Lab::new();
    let id = lab.pull("busybox");
    let id = id.trim_start_matches("sha256:");
    assert_eq!(lab.inspect(&image("busybox"))["Id"].as_str().unwrap().trim_start_matches("sha256:"), id);
    lab.coracle(["run", "--rm", &id[..12], "true"]).ok();
}

#[test]
fn several_images_are_pulled_in_one_go_and_told_in_their_order() {
    let lab = Lab::new();
    let names = ["layers", "nothing-there", "busybox", "layers-zstd", "busybox"].map(image);
    let pulled = lab.coracle(["pull"].iter().copied().chain(names.iter().map(String::as_str)));
    pulled.exited(125).says("nothing-there");
    let id = |name: &str| lab.inspect(name)["Id"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    let expected: Vec<String> = [0, 2, 3, 4].map(|position: usize| id(&names[position])).into();
    assert_eq!(pulled.text().lines().map(str::to_owned).collect::<Vec<_>>(), expected, "{pulled:?}");
    let lines = pulled.errors();
    assert!(lines.lines().filter(|line| line.starts_with("layer ")).count() >= 3, "{lines}");
}

/// Ownership in layers is recorded, not lost, though only one id is mapped.
#[test]
fn layers_of_many_owners_can_be_unpacked() {
    let lab = Lab::new();
    let text = lab.run_image("debian", &[], &["sh", "-c", "test -f /etc/shadow && echo there"]).ok().text();
    assert_eq!(text, "there");
}

/// `run --rmi`: the image goes with the container, unless somebody else has it.
#[test]
fn an_image_goes_with_its_container() {
    let lab = Lab::new();
    let busybox = image("busybox");
    let images = || lab.coracle(["images", "-q"]).ok().text();
    assert_eq!(lab.coracle(["run", "--rmi", "-q", &busybox, "echo", "ran"]).ok().text(), "ran");
    assert_eq!(images(), "");
    lab.assert_clean();
    // What has failed is gone all the same; the exit code is the command's.
    lab.coracle(["run", "--rmi", "-q", &busybox, "sh", "-c", "exit 7"]).exited(7);
    assert_eq!(images(), "");
    lab.coracle(["create", "-q", "--name", "other", &busybox]).ok();
    let kept = lab.coracle(["run", "--rmi", &busybox, "echo", "ran"]);
    assert_eq!(kept.ok().says("other").text(), "ran");
    assert_ne!(images(), "");
    lab.coracle(["run", "-d", "--rmi", &busybox, "true"]).exited(125).says("--detach");
}
