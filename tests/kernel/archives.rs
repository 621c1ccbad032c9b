//! Images in files and directories: what we write others read, what they write we read, and no digest changes.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{LIMIT, Lab, Output, coracle_path, image, output};

/// A program of others, which must succeed; what it wrote.
#[track_caller]
fn tool(lab: &Lab, program: &str, arguments: &[&str]) -> String {
    output::run(lab.program(program).args(arguments), &[], LIMIT).ok().text()
}

#[track_caller]
fn skopeo(lab: &Lab, arguments: &[&str]) -> String {
    let mut all = vec!["--insecure-policy"];
    all.extend(arguments);
    tool(lab, "skopeo", &all)
}

/// podman, which takes no long path for a run root, in a store of its own and with a file that lets it trust everything.
/// No process of it remains.
fn podman(lab: &Lab, verb: &str, arguments: &[&str]) -> Output {
    lab.write("policy.json", r#"{"default":[{"type":"insecureAcceptAnything"}]}"#);
    let (root, run, policy) = (lab.arg("podman"), lab.arg("r"), lab.arg("policy.json"));
    let begun = |verb: &[&str]| {
        let mut command = lab.program("podman");
        command.args(["--root", &root, "--runroot", &run, "--storage-driver", "vfs"]).args(verb);
        command
    };
    let trust = if matches!(verb, "load" | "pull") { vec!["--signature-policy", &policy] } else { Vec::new() };
    let outcome = output::run(begun(&[verb]).args(trust).args(arguments), &[], LIMIT);
    output::run(&mut begun(&["system", "migrate"]), &[], LIMIT).ok();
    outcome
}

fn arguments<'a>(verb: &'a [&'a str], more: &[&'a str]) -> Vec<&'a str> {
    verb.iter().chain(more).copied().collect()
}

/// Every format of `save`, and the transport that it is.
const FORMATS: [(&str, &str); 4] =
    [("docker-archive", "docker-archive"), ("oci-archive", "oci-archive"), ("oci-dir", "oci"), ("docker-dir", "dir")];

/// What must not change: identifier, digest of the manifest, and digests of the layers.
fn identity(lab: &Lab, name: &str) -> Value {
    let report = lab.inspect(name);
    serde_json::json!([report["Id"], report["Digest"], report["RootFS"]["Layers"]])
}

#[test]
fn what_was_pulled_is_the_same_after_save_and_load() {
    let lab = Lab::new();
    for name in ["layers", "busybox-docker", "layers-zstd", "busybox-plain"] {
        lab.pull(name);
        let before = identity(&lab, &image(name));
        for (format, _) in FORMATS {
            let path = lab.arg(&format!("{name}.{format}"));
            lab.coracle(["save", "-q", "--format", format, "-o", &path, &image(name)]).ok();
            let other = Lab::new();
            let loaded = other.coracle(["load", "-qi", &path]).ok().text();
            // A `dir:` has no place for a name.
            let id = before[0].as_str().unwrap();
            let found = if format == "docker-dir" { id.to_owned() } else { image(name) };
            let shown = if format == "docker-dir" { format!("sha256:{id}") } else { image(name) };
            assert_eq!(loaded, format!("Loaded image: {shown}"), "{name} {format}");
            assert_eq!(identity(&other, &found), before, "{name} {format}");
            assert_eq!(other.coracle(["run", "--rm", "--pull=never", &found, "echo", "runs"]).ok().text(), "runs");
            other.assert_clean();
        }
    }
}

#[test]
fn archives_come_through_pipes_and_compressed() {
    let lab = Lab::new();
    lab.pull("busybox");
    let before = identity(&lab, &image("busybox"));
    let plain = lab.coracle(["save", "-q", &image("busybox")]).ok().stdout.clone();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&plain).unwrap();
    let gzip = encoder.finish().unwrap();
    let zstd = zstd::encode_all(&plain[..], 1).unwrap();
    for (name, bytes) in [("plain", plain), ("gzip", gzip), ("zstd", zstd)] {
        for through_pipe in [true, false] {
            let other = Lab::new();
            if through_pipe {
                other.coracle_with_input(["load"], &bytes).ok();
            } else {
                let path = other.write(name, &bytes);
                other.coracle([Path::new("load"), Path::new("--input"), &path]).ok();
            }
            assert_eq!(identity(&other, &image("busybox")), before, "{name}");
            other.assert_clean();
        }
    }
}

#[test]
fn the_same_images_make_the_same_archive() {
    let (lab, other) = (Lab::new(), Lab::new());
    let (one, two) = (image("busybox"), image("layers"));
    let archive = |lab: &Lab, format| lab.coracle(["save", "-q", "--format", format, &one, &two]).ok().stdout.clone();
    lab.pull("busybox");
    lab.pull("layers");
    let first = archive(&lab, "docker-archive");
    // Loaded in another order, at another time.
    other.pull("layers");
    other.coracle_with_input(["load", "-q"], &first).ok();
    assert!(first == archive(&other, "docker-archive"));
    assert!(archive(&lab, "oci-archive") == archive(&other, "oci-archive"));
    let text = other.coracle(["images", "-n", "--format", "{{.Repository}}"]).ok().text();
    assert_eq!(text.lines().count(), 2, "{text}");
}

#[test]
fn others_read_what_we_write() {
    let lab = Lab::new();
    lab.pull("busybox");
    let digest = lab.inspect(&image("busybox"))["Digest"].as_str().unwrap().to_owned();
    let id = lab.inspect(&image("busybox"))["Id"].as_str().unwrap().to_owned();
    for (format, transport) in FORMATS {
        let path = lab.arg(format);
        lab.coracle(["save", "-q", "--format", format, "-o", &path, &image("busybox"), "also:1"]).ok();
        let location = format!("{transport}:{path}");
        let which = if matches!(format, "docker-dir") { location } else { format!("{location}:localhost/also:1") };
        let copy = lab.arg(&format!("{format}.copy"));
        skopeo(&lab, &["copy", "-q", &which, &format!("dir:{copy}")]);
        let manifest: Value = serde_json::from_slice(&fs::read(format!("{copy}/manifest.json")).unwrap()).unwrap();
        assert_eq!(manifest["config"]["digest"], format!("sha256:{id}"), "{format}");
        if format != "docker-archive" {
            assert_eq!(skopeo(&lab, &["inspect", "--format", "{{.Digest}}", &which]), digest, "{format}");
        }
    }
    let layout = lab.arg("oci-dir");
    tool(&lab, "umoci", &["stat", "--image", &format!("{layout}:localhost/also:1")]);
    tool(
        &lab,
        "umoci",
        &["unpack", "--rootless", "--image", &format!("{layout}:localhost/also:1"), &lab.arg("bundle")],
    );
    assert!(lab.path("bundle/rootfs/bin/busybox").is_file());
    for format in ["docker-archive", "oci-archive"] {
        let lab = Lab::new();
        lab.pull("busybox");
        lab.coracle(["save", "-q", "--format", format, "-o", &lab.arg("a.tar"), &image("busybox")]).ok();
        assert!(podman(&lab, "load", &["-qi", &lab.arg("a.tar")]).ok().text().contains(&image("busybox")));
        let found = podman(&lab, "images", &["--no-trunc", "--format", "{{.ID}}"]).ok().text();
        assert_eq!(found, format!("sha256:{id}"), "{format}");
    }
}

#[test]
fn we_read_what_others_write() {
    let lab = Lab::new();
    lab.pull("layers");
    let id = lab.inspect(&image("layers"))["Id"].as_str().unwrap().to_owned();
    lab.coracle(["push", "-q", &image("layers"), &format!("oci:{}:base", lab.arg("base"))]).ok();
    let base = format!("oci:{}:base", lab.arg("base"));
    let read = |path: &str, names: &str| {
        let other = Lab::new();
        assert_eq!(other.coracle(["load", "-qi", path]).ok().text(), names, "{path}");
        let found = other.coracle(["images", "-q", "--no-trunc"]).ok().text();
        let script = "cat changed hardlink swap/again; ls -A opaque";
        let text = other.coracle(["run", "--rm", "--pull=never", &id, "sh", "-c", script]).ok().text();
        assert_eq!(text, "second\none\nthe third\nnew", "{path}: {found}");
        other.assert_clean();
    };
    let nameless = format!("Loaded image: sha256:{id}");
    let path = |transport: &str, name: &str| lab.arg(&format!("skopeo.{transport}{}", name.replace([':', '/'], "-")));
    for (transport, name, names) in [
        ("docker-archive", ":quay.io/some/image:5", "Loaded image: quay.io/some/image:5"),
        ("oci-archive", ":quay.io/some/image:5", "Loaded image: quay.io/some/image:5"),
        ("oci-archive", "", &nameless),
        ("oci", ":v5", "Loaded image: localhost/v5:latest"),
        ("dir", "", &nameless),
    ] {
        let path = path(transport, name);
        skopeo(&lab, &["copy", "-q", &base, &format!("{transport}:{path}{name}")]);
        read(&path, names);
    }
    podman(&lab, "load", &["-qi", &path("docker-archive", ":quay.io/some/image:5")]).ok();
    for format in ["docker-archive", "oci-archive", "oci-dir"] {
        let path = lab.arg(&format!("podman.{format}"));
        podman(&lab, "save", &["-q", "--format", format, "-o", &path, "quay.io/some/image:5"]).ok();
        read(&path, "Loaded image: quay.io/some/image:5");
    }
}

/// What docker wrote before it had layouts: layers in directories of their own, and links to those that are there already.
#[test]
fn the_old_form_of_docker_is_read() {
    let lab = Lab::new();
    let script = r#"set -e
        printf one >file && tar -cf first.tar file && tar -cf second.tar --files-from=/dev/null
        mkdir aaaa bbbb && mv first.tar aaaa/layer.tar && ln -s ../aaaa/layer.tar bbbb/layer.tar
        diff=$(sha256sum <aaaa/layer.tar | cut -d' ' -f1)
        printf '{"architecture":"%s","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:%s","sha256:%s"]}}' \
            "$1" "$diff" "$diff" >config.json
        echo '[{"Config":"config.json","RepoTags":["busybox:9","quay.io/a/b:c"],"Layers":["aaaa/layer.tar","bbbb/layer.tar"]},
            {"Config":"config.json","RepoTags":null,"Layers":["aaaa/layer.tar","bbbb/layer.tar"]}]' >manifest.json
        tar -cf old.tar manifest.json config.json aaaa bbbb"#;
    let host = coracle::oci::platform::Platform::host();
    let mut sh: Command = lab.program("/bin/sh");
    output::run(sh.args(["-c", script, "sh", &host.architecture]), &[], LIMIT).ok();
    let text = lab.coracle(["load", "-qi", &lab.arg("old.tar")]).ok().text();
    assert!(text.starts_with("Loaded image: docker.io/library/busybox:9\nLoaded image: quay.io/a/b:c\n"), "{text}");
    assert_eq!(lab.inspect("busybox:9")["RootFS"]["Layers"].as_array().unwrap().len(), 2);
    // Its layers have no digests but their own: what is made of them can be saved again.
    lab.coracle(["save", "-q", "-o", &lab.arg("new.tar"), "busybox:9"]).ok();
    let pulled = lab.coracle(["pull", "-q", &format!("docker-archive:{}:@1", lab.arg("old.tar"))]).ok().text();
    assert_eq!(pulled, lab.inspect("busybox:9")["Id"].as_str().unwrap());
}

#[test]
fn an_index_stays_an_index() {
    let lab = Lab::new();
    lab.pull("multi");
    let digest = |lab: &Lab| lab.inspect(&image("multi"))["RepoDigests"][0].as_str().unwrap().to_owned();
    let before = digest(&lab);
    for format in ["docker-archive", "oci-archive", "oci-dir"] {
        let path = lab.arg(format);
        lab.coracle(["save", "-q", "--format", format, "-o", &path, &image("multi")]).ok();
        let other = Lab::new();
        other.coracle(["load", "-qi", &path]).ok();
        assert_eq!(digest(&other), before, "{format}");
    }
    // What of it is not there is said, and not asked for elsewhere.
    let other = Lab::new();
    other.coracle(["load", "-qi", &lab.arg("oci-dir"), "--platform", "linux/arm64"]).refused(125, "E_ARCHIVE");
    // The whole index, by skopeo, has both platforms.
    let whole = format!("oci:{}:whole", lab.arg("whole"));
    let from = format!("docker://{}", image("multi"));
    skopeo(&lab, &["copy", "-q", "--all", "--src-tls-verify=false", &from, &whole]);
    for platform in ["linux/amd64", "linux/arm64"] {
        let other = Lab::new();
        other.coracle(["load", "-qi", &lab.arg("whole"), "--platform", platform]).ok();
        assert_eq!(other.inspect("localhost/whole")["Architecture"], platform.strip_prefix("linux/").unwrap());
        // Another platform's image is loaded without a word, where it is the only one.
        other.coracle(["save", "-qo", &lab.arg("one"), "localhost/whole"]).ok();
        Lab::new().coracle(["load", "-qi", &lab.arg("one")]).ok();
    }
}

#[test]
fn several_images_are_told_apart() {
    let lab = Lab::new();
    lab.pull("busybox");
    lab.pull("layers");
    let path = lab.arg("both.tar");
    lab.coracle(["save", "-mqo", &path, &image("busybox"), &image("layers")]).ok();
    let id = |name: &str| lab.inspect(&image(name))["Id"].as_str().unwrap().to_owned();
    let other = Lab::new();
    let pull = |member: &str| other.coracle(["pull", "-q", &format!("docker-archive:{path}{member}")]);
    assert_eq!(pull(&format!(":{}", image("layers"))).ok().text(), id("layers"));
    assert_eq!(pull(":@0").ok().text(), id("busybox"));
    assert_eq!(pull("").ok().text(), format!("{}\n{}", id("busybox"), id("layers")));
    pull(":@7").refused(125, "E_NOTFOUND").says(&image("layers"));
    pull(":nobody").refused(125, "E_NOTFOUND");
    let run = |member: &str| {
        other.coracle(["run", "--rm", &format!("docker-archive:{path}{member}"), "sh", "-c", "echo $LAYER."])
    };
    run("").refused(125, "E_NAME_INVALID").says(":@0");
    assert_eq!(run(":@1").ok().text(), "3.");
    let podman_reads = podman(&lab, "load", &["-qi", &path]).ok().text();
    assert!(podman_reads.contains(&image("busybox")) && podman_reads.contains(&image("layers")), "{podman_reads}");
    // An image that no image of that name is, is one with -m, and a name without.
    lab.coracle(["save", "-mqo", &path, &image("busybox"), "other:1"]).refused(125, "E_NOTFOUND");
    lab.coracle(["save", "-qo", &path, &image("busybox"), "other:1"]).ok();
    let loaded = Lab::new().coracle(["load", "-qi", &path]).ok().text();
    assert!(loaded.contains("Loaded image: localhost/other:1"), "{loaded}");
}

#[test]
fn a_layout_is_added_to() {
    let lab = Lab::new();
    lab.pull("busybox");
    lab.pull("layers");
    let layout = lab.arg("layout");
    let push = |name: &str, tag: &str| lab.coracle(["push", "-q", &image(name), &format!("oci:{layout}:{tag}")]);
    push("busybox", "one").ok();
    push("layers", "two").ok();
    push("layers", "one").ok();
    let digest = lab.inspect(&image("layers"))["Digest"].as_str().unwrap().to_owned();
    for tag in ["one", "two"] {
        assert_eq!(skopeo(&lab, &["inspect", "--format", "{{.Digest}}", &format!("oci:{layout}:{tag}")]), digest);
    }
    let index: Value = serde_json::from_slice(&fs::read(lab.path("layout/index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
    // What is something else stays what it is.
    lab.write("full/file", "precious");
    for format in ["oci-dir", "docker-dir", "oci-archive"] {
        lab.coracle(["save", "-q", "--format", format, "-o", &lab.arg("full"), &image("busybox")])
            .refused(125, "E_ARCHIVE");
    }
    assert_eq!(fs::read_to_string(lab.path("full/file")).unwrap(), "precious");
    // A `dir:` is replaced as a whole, through a link to it, too.
    std::os::unix::fs::symlink("real", lab.path("link")).unwrap();
    fs::create_dir(lab.path("real")).unwrap();
    for name in ["busybox", "layers"] {
        lab.coracle(["save", "-q", "--format", "docker-dir", "-o", &lab.arg("link"), &image(name)]).ok();
    }
    assert_eq!(skopeo(&lab, &["inspect", "--format", "{{.Digest}}", &format!("dir:{}", lab.arg("real"))]), digest);
    assert_eq!(fs::read_dir(lab.path("real")).unwrap().count(), 6, "three layers and three files");
}

#[test]
fn layers_are_compressed_in_another_way_when_asked() {
    let lab = Lab::new();
    lab.pull("layers-zstd");
    lab.pull("busybox-plain");
    let layers = |path: &str| {
        let text = skopeo(&lab, &["inspect", "--raw", path]);
        let manifest: Value = serde_json::from_str(&text).unwrap();
        let types = manifest["layers"].as_array().unwrap().iter();
        types
            .map(|layer| layer["mediaType"].as_str().unwrap().rsplit('.').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let (tar, dir) = (lab.arg("a.tar"), lab.arg("dir"));
    lab.coracle(["save", "-q", "--uncompressed", "--format", "oci-archive", "-o", &tar, &image("layers-zstd")]).ok();
    assert_eq!(layers(&format!("oci-archive:{tar}")), ["tar", "tar", "tar"]);
    lab.coracle(["save", "-q", "--compress", "--format", "docker-dir", "-o", &dir, &image("busybox-plain")]).ok();
    assert_eq!(layers(&format!("dir:{dir}")), ["tar+gzip"]);
    for (path, name) in [(&tar, "layers-zstd"), (&dir, "busybox-plain")] {
        let other = Lab::new();
        other.coracle(["load", "-qi", path]).ok();
        let id = other.coracle(["images", "-q", "--no-trunc"]).ok().text();
        assert!(id.ends_with(lab.inspect(&image(name))["Id"].as_str().unwrap()), "{id}");
    }
    for flags in [["--compress", "--format=oci-archive"], ["--uncompressed", "--format=docker-archive"]] {
        lab.coracle(["save", "-q", flags[0], flags[1], "-o", &tar, &image("layers-zstd")]).refused(125, "E_CONFIG");
    }
}

/// coracle below strace, which injects `action` into the first call that copies a blob.
fn injured(lab: &Lab, action: &str, arguments: &[&str]) -> Output {
    let calls = "copy_file_range,sendfile";
    let mut strace: Command = lab.program("/usr/bin/strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
    strace.args(["-e", &format!("inject={calls}:{action}:when=1")]).arg(coracle_path()).args(arguments);
    output::run(&mut strace, &[], LIMIT)
}

#[test]
fn what_cannot_be_finished_is_not_there() {
    let lab = Lab::new();
    lab.pull("busybox");
    for (format, _) in FORMATS {
        let path = lab.arg("out");
        let save = ["save", "-q", "--format", format, "-o", &path, &image("busybox")];
        injured(&lab, "error=ENOSPC", &save).refused(125, "E_NOSPACE");
        assert_eq!(fs::read_dir(lab.path("")).unwrap().count(), 0, "{format}");
        injured(&lab, "signal=INT", &save).exited(130);
        assert_eq!(fs::read_dir(lab.path("")).unwrap().count(), 0, "{format}");
        lab.coracle(save).ok();
        assert_eq!(fs::read_dir(lab.path("")).unwrap().count(), 1, "{format}");
        if !format.ends_with("dir") {
            let before = fs::read(&path).unwrap();
            injured(&lab, "error=ENOSPC", &save).refused(125, "E_NOSPACE");
            assert!(fs::read(&path).unwrap() == before, "the old one stays");
        }
        coracle::state::temporary::remove(Path::new(&path)).unwrap();
    }
    lab.coracle(["save", "-q", "-o", "/dev/full", &image("busybox")]).refused(125, "E_NOSPACE");
    lab.coracle(["save", "-q", "-o", "/nowhere/at/all.tar", &image("busybox")]).refused(125, "E_NOTFOUND");
    lab.coracle(["save", "-q", "--format", "oci-dir", &image("busybox")]).refused(125, "E_CONFIG");
}

#[test]
fn nothing_is_written_to_or_read_from_a_terminal() {
    let lab = Lab::new();
    lab.pull("busybox");
    let script = |command: &str| {
        let mut script = lab.program("script");
        output::run(script.args(["-qec", command, "/dev/null"]), &[], LIMIT)
    };
    let ours = coracle_path();
    let saved = script(&format!("{} save {}", ours.display(), image("busybox")));
    assert!(saved.exited(125).text().contains("-o FILE"), "{saved:?}");
    let loaded = script(&format!("{} load", ours.display()));
    assert!(loaded.exited(125).text().contains("-i FILE"), "{loaded:?}");
}

#[test]
fn images_are_copied_between_machines() {
    let (lab, other) = (Lab::new(), Lab::new());
    lab.pull("busybox");
    // Another machine is another store; the last of ssh's words are the command.
    let there = format!(
        "#!/bin/sh\necho \"$@\" >>{}\nwhile [ \"$1\" != -- ]; do shift; done\n[ \"$2\" = good ] || exit 255\nshift 3\nexec {} --root {} --runroot {} \"$@\"\n",
        lab.arg("asked"),
        coracle_path().display(),
        other.store().display(),
        other.root().join("runtime/coracle").display(),
    );
    let ssh = lab.write("ssh", there);
    fs::set_permissions(&ssh, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let ssh = ssh.to_str().unwrap();
    let scp = |words: &[&str]| lab.coracle(arguments(&["image", "scp", "-q", "--ssh", ssh], words));
    let name = image("busybox");
    assert_eq!(scp(&[&name, "good::"]).ok().text(), format!("Loaded image: {name}"));
    assert_eq!(identity(&other, &name), identity(&lab, &name));
    assert_eq!(fs::read_to_string(lab.path("asked")).unwrap(), "-- good coracle load --quiet\n");
    let before = identity(&lab, &name);
    lab.coracle(["rmi", &name]).ok();
    assert_eq!(scp(&[&format!("good:22::{name}")]).ok().text(), format!("Loaded image: {name}"));
    assert_eq!(identity(&lab, &name), before);
    scp(&[&format!("good::{name}"), "good::"]).ok();
    scp(&["good::nobody"]).refused(125, "E_REMOTE");
    scp(&[&name, "bad::"]).refused(125, "E_REMOTE");
    scp(&[&name, "somebody@localhost::"]).refused(125, "E_CONFIG").says("sudo -iu somebody coracle load");
    scp(&["--", &name, "-oProxyCommand=x::"]).refused(125, "E_NAME_INVALID");
    scp(&[&name, "good::renamed"]).refused(125, "E_CONFIG");
    lab.assert_clean();
}

#[test]
fn what_is_pushed_to_a_file_can_be_changed_on_the_way() {
    let lab = Lab::new();
    lab.pull("layers");
    let (tar, dir) = (format!("oci-archive:{}:new", lab.arg("a.tar")), format!("dir:{}", lab.arg("d")));
    let push = |flags: &[&str], to: &str| {
        let digest = lab.arg("digest");
        let name = image("layers");
        let flags = [&["push", "-q", "--digestfile", &digest], flags, &[&name, to]].concat();
        lab.coracle(flags).ok();
        let manifest: Value = serde_json::from_str(&skopeo(&lab, &["inspect", "--raw", to])).unwrap();
        assert_eq!(skopeo(&lab, &["inspect", "--format", "{{.Digest}}", to]), fs::read_to_string(digest).unwrap());
        manifest
    };
    let manifest = push(&["--compression-format", "zstd"], &tar);
    assert!(manifest["layers"][2]["mediaType"].as_str().unwrap().ends_with("tar+zstd"), "{manifest}");
    let manifest = push(&["--format", "v2s2"], &dir);
    assert_eq!(manifest["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
    for location in [&tar, &dir] {
        let other = Lab::new();
        let id = other.coracle(["pull", "-q", location]).ok().text();
        assert_eq!(id, lab.inspect(&image("layers"))["Id"].as_str().unwrap());
        assert_eq!(other.coracle(["run", "--rm", "--pull=never", &id, "cat", "changed"]).ok().text(), "second");
        other.assert_clean();
    }
    lab.coracle(["push", "-q", &image("layers"), "containers-storage:other"]).refused(125, "E_CONFIG");
    lab.coracle(["push", "-q", "nobody", &dir]).refused(125, "E_NOTFOUND");
}

#[test]
fn a_list_goes_into_a_file_with_its_images() {
    let lab = Lab::new();
    lab.pull("busybox");
    lab.coracle(["manifest", "create", "many"]).ok();
    let layout = format!("oci:{}:many", lab.arg("layout"));
    lab.coracle(["manifest", "push", "-q", "many", &layout])
        .refused(125, "E_CONFIG")
        .says("manifest add localhost/many");
    assert!(!lab.path("layout").exists());
    lab.coracle(["manifest", "add", "many", &image("busybox")]).ok();
    for verb in [&["manifest", "push", "-q", "many"][..], &["push", "-q", "many"]] {
        lab.coracle(arguments(verb, &[&layout])).ok();
        let index: Value = serde_json::from_str(&skopeo(&lab, &["inspect", "--raw", &layout])).unwrap();
        assert_eq!(index["manifests"][0]["digest"], lab.inspect(&image("busybox"))["Digest"]);
    }
    for (format, _) in FORMATS {
        let path = lab.arg(format);
        lab.coracle(["save", "-q", "--format", format, "-o", &path, "many"]).ok();
        let other = Lab::new();
        other.coracle(["load", "-qi", &path]).ok();
        let id = other.coracle(["images", "-q", "--no-trunc"]).ok().text();
        assert!(id.ends_with(lab.inspect(&image("busybox"))["Id"].as_str().unwrap()), "{format}: {id}");
    }
}
