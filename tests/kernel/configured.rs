//! What `containers.conf` says of more than a container's flags, by its effects.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::terminal::Terminal;
use crate::support::{Detached, LIMIT, Lab, busybox_arguments, coracle_path, image, output, wait_until};

/// A lab whose user has this file.
fn configured(conf: &str) -> Lab {
    let lab = Lab::new();
    configure(&lab, conf);
    lab
}

/// Replaces the file.
fn configure(lab: &Lab, conf: &str) {
    let directory = lab.root().join("config/containers");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("containers.conf"), conf).unwrap();
}

/// A program of this name in this directory of the lab.
fn program(lab: &Lab, directory: &str, name: &str, text: &str) {
    let path = lab.write(&format!("{directory}/{name}"), text);
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn what_has_no_meaning_is_told_once_and_shown_by_info() {
    let lab = configured("[engine]\nruntime = \"crun\"\nlock_type = \"shm\"\n[containers]\nmisspelt = 1\n");
    let first = lab.busybox(&[], &["true"]);
    first.ok().says("engine.runtime has no meaning here: containers are made and watched by coracle itself");
    first.says("engine.lock_type").says("containers.misspelt is not known");
    assert_eq!(lab.busybox(&[], &["true"]).ok().errors(), "");
    configure(&lab, "[engine]\nlock_type = \"shm\"\n");
    let changed = lab.busybox(&[], &["true"]);
    assert!(changed.ok().says("engine.lock_type").errors().lines().count() == 1, "{changed:?}");
    let info = lab.coracle(["info", "--format", "{{json .Configuration}}"]).ok().json();
    assert!(info["unused"][0].as_str().unwrap().contains("engine.lock_type"), "{info}");
    let ours = lab.root().join("config/containers/containers.conf");
    assert_eq!(info["files"].as_array().unwrap().last().unwrap(), ours.to_str().unwrap());
}

#[test]
fn commands_have_variables_of_it() {
    let lab = configured("[engine]\nenv = [\"GREETING=configured\", \"LANG=xx\"]\n");
    assert_eq!(lab.sh(&["-e", "GREETING", "-e", "LANG"], "echo $GREETING $LANG"), "configured C.UTF-8");
    assert_eq!(lab.sh(&[], "echo $GREETING"), "", "they are not the container's");
    configure(&lab, "[engine]\nenv = [\"GREETING\"]\n");
    lab.busybox(&[], &["true"]).ok().says("engine.env is not a list of variables like");
    lab.coracle(["version"]).ok();
}

#[test]
fn modules_are_read_where_they_are_named() {
    let lab = configured("[containers]\nenv = [\"A=1\"]\numask = \"0077\"\n");
    let modules = lab.root().join("config/containers/containers.conf.modules");
    fs::create_dir_all(&modules).unwrap();
    fs::write(modules.join("strict.conf"), "[containers]\numask = \"0027\"\n").unwrap();
    let other = lab.write("other.conf", "[containers]\nenv = [\"B=2\", {append = true}]\n");
    let run = |modules: &[&str]| {
        let flags: Vec<String> = modules.iter().map(|module| format!("--module={module}")).collect();
        lab.coracle([flags, busybox_arguments(&[], &["sh", "-c", "umask; echo $A $B"])].concat())
    };
    assert_eq!(run(&[]).ok().text(), "0077\n1");
    assert_eq!(run(&["strict.conf", other.to_str().unwrap()]).ok().text(), "0027\n1 2");
    run(&["missing.conf"]).refused(125, "E_NOTFOUND").says(modules.to_str().unwrap());
}

#[test]
fn the_keys_that_leave_a_container() {
    let lab = configured("[engine]\ndetach_keys = \"a,b\"\n");
    let mut first = Terminal::start(&lab, busybox_arguments(&["-it", "--name=left"], &["sh"]));
    first.send("echo one$((1+1))\n");
    first.expect("one2\r\n");
    first.send("ab");
    assert_eq!(first.wait(), 0);
    let mut again = Terminal::start(&lab, ["attach", "left"].map(String::from));
    again.send("echo two$((1+1))\n");
    again.expect("two2\r\n");
    again.send("ab");
    assert_eq!(again.wait(), 0);
    let mut beside = Terminal::start(&lab, ["exec", "-it", "left", "sh"].map(String::from));
    beside.send("echo three$((1+1))\n");
    beside.expect("three2\r\n");
    beside.send("ab");
    assert_eq!(beside.wait(), 0);
    configure(&lab, "[engine]\ndetach_keys = \"nonsense\"\n");
    lab.coracle(["attach", "left"]).refused(125, "E_CONFIG").says("engine.detach_keys: \"nonsense\"");
    lab.coracle(["rm", "-f", "left"]).ok();
}

#[test]
fn logs_have_a_directory() {
    let lab = Lab::new();
    configure(&lab, &format!("[containers]\nlog_path = \"{}\"\n", lab.arg("logs")));
    let image = image("busybox");
    let id = lab.coracle(["run", "-d", "--network=none", "--name=a", &image, "echo", "written"]).ok().text();
    lab.coracle(["wait", "a"]).ok();
    let log = lab.path("logs").join(&id).join("ctr.log");
    assert_eq!(lab.coracle(["logs", "a"]).ok().text(), "written");
    assert_eq!(lab.inspect("a")["LogPath"], log.to_str().unwrap());
    lab.coracle(["rm", "a"]).ok();
    assert!(fs::read_to_string(log).unwrap().contains("written"), "it stays, as podman's does");
    let chosen = format!("path={}", lab.arg("chosen.log"));
    lab.busybox(&["--log-opt", &chosen], &["echo", "there"]).ok();
    assert!(fs::read_to_string(lab.path("chosen.log")).unwrap().contains("there"));
    assert_eq!(fs::read_dir(lab.path("logs")).unwrap().count(), 1);
}

#[test]
fn the_host_has_an_address() {
    let lab = configured("[containers]\nhost_containers_internal_ip = \"192.0.2.77\"\n");
    let script = "grep -E 'host.containers.internal|gate' /etc/hosts || echo none";
    let named = "192.0.2.77\thost.containers.internal host.docker.internal";
    assert_eq!(lab.sh(&["--add-host", "gate:host-gateway"], script), format!("192.0.2.77\tgate\n{named}"));
    configure(&lab, "[containers]\nhost_containers_internal_ip = \"none\"\n");
    assert_eq!(lab.sh(&["--network", "host"], script), "none");
    let refused = lab.busybox(&["--network", "host", "--add-host", "gate:host-gateway"], &["true"]);
    refused.refused(125, "E_NETWORK").says("host_containers_internal_ip");
    configure(&lab, "[containers]\nhost_containers_internal_ip = \"gate\"\n");
    lab.busybox(&[], &["true"]).refused(125, "E_CONFIG").says("containers.conf").says("\"gate\"");
}

#[test]
fn the_session_keyring_may_be_the_callers() {
    let lab = Lab::new();
    let inside = || {
        let mut keyctl = lab.program("/usr/bin/keyctl");
        let script = r#"keyctl add user coracle-test-key secret @s >/dev/null && exec "$@""#;
        keyctl.args(["session", "-", "/bin/sh", "-c", script, "sh"]).arg(coracle_path());
        let probe = ["probe", "keyring", "coracle-test-key"];
        keyctl.args(busybox_arguments(&["--security-opt", "seccomp=unconfined"], &probe));
        output::run(&mut keyctl, &[], LIMIT).ok().text()
    };
    for (conf, is_shared) in [("keyring = false", true), ("keyring = true", false)] {
        configure(&lab, &format!("[containers]\n{conf}\n"));
        assert_eq!(inside().contains("key FOUND"), is_shared, "{conf}");
    }
}

#[test]
fn specifications_of_devices_have_directories() {
    let lab = Lab::new();
    let specification = |name: &str| {
        format!(
            "cdiVersion: 0.6.0\nkind: vendor.com/thing\ndevices:\n- name: {name}\n  containerEdits:\n    env: [THING={name}]\n"
        )
    };
    lab.write("cdi/a.yaml", specification("one"));
    let usual = lab.root().join("config/cdi");
    fs::create_dir_all(&usual).unwrap();
    fs::write(usual.join("b.yaml"), specification("two")).unwrap();
    configure(&lab, &format!("[engine]\ncdi_spec_dirs = [\"{}\"]\n", lab.arg("cdi")));
    assert_eq!(lab.sh(&["--device", "vendor.com/thing=one"], "echo $THING"), "one");
    lab.busybox(&["--device", "vendor.com/thing=two"], &["true"]).refused(125, "E_NOTFOUND").says(&lab.arg("cdi"));
    configure(&lab, "");
    assert_eq!(lab.sh(&["--device", "vendor.com/thing=two"], "echo $THING"), "two");
}

#[test]
fn volume_drivers_have_sockets() {
    let lab = Lab::new();
    let socket = lab.path("elsewhere.sock");
    let asked = crate::volume_files::serve_at(&lab, &socket);
    configure(&lab, &format!("[engine.volume_plugins]\nnamed = \"{}\"\n", socket.display()));
    lab.coracle(["volume", "create", "-d", "named", "data"]).ok();
    lab.busybox(&["-v", "data:/v"], &["sh", "-c", "echo kept >/v/file"]).ok();
    assert_eq!(fs::read_to_string(lab.path("served/file")).unwrap(), "kept\n");
    assert_eq!(asked.lock().unwrap().first().map(String::as_str), Some("/VolumeDriver.Create"));
}

#[test]
fn programs_have_directories() {
    let lab = Lab::new();
    program(&lab, "helpers", "slirp4netns", "#!/bin/sh\nexit 77\n");
    program(&lab, "helpers", "other-slirp", "#!/bin/sh\nexit 78\n");
    let found = || lab.coracle(["info", "--format", "{{.Host.Slirp4netns.Executable}}"]).ok().text();
    configure(&lab, &format!("[engine]\nhelper_binaries_dir = [\"/no/such\", \"{}\"]\n", lab.arg("helpers")));
    assert_eq!(found(), lab.arg("helpers/slirp4netns"));
    // It is what is executed.
    lab.busybox(&["--network", "slirp4netns"], &["true"]).exited(125).says("77");
    configure(&lab, &format!("[engine]\nnetwork_cmd_path = \"{}\"\n", lab.arg("helpers/other-slirp")));
    assert_eq!(found(), lab.arg("helpers/other-slirp"));
    lab.busybox(&["--network", "slirp4netns"], &["true"]).exited(125).says("78");
    configure(&lab, "[engine]\nnetwork_cmd_options = [\"no_such_option=1\"]\n");
    let busybox = format!("{}:O", crate::support::busybox_tree().display());
    lab.coracle(["run", "--rm", "--rootfs", &busybox, "true"]).refused(125, "E_CONFIG").says("no_such_option");
}

#[test]
fn checks_of_health_need_not_be_events() {
    let lab = configured("[engine]\nhealthcheck_events = false\n");
    let checked = ["--name=web", "--health-cmd=true", "--health-interval=200ms"];
    let _web = Detached::start(&lab, &checked, &["sleep", "1000"]);
    let is_healthy = || lab.inspect("web")["State"]["Health"]["Status"] == "healthy";
    wait_until("it is well", is_healthy);
    lab.coracle(["healthcheck", "run", "web"]).ok();
    let events = || lab.coracle(["events", "--stream=false", "--format", "{{.Status}}"]).ok().text();
    assert!(!events().contains("health_status") && events().contains("start"), "{}", events());
    configure(&lab, "");
    lab.coracle(["healthcheck", "run", "web"]).ok();
    assert!(events().contains("health_status"));
}

#[test]
fn images_have_formats_and_compressions() {
    let lab = configured(
        "[engine]\nimage_default_format = \"v2s2\"\ncompression_format = \"zstd\"\nmulti_image_archive = true\n",
    );
    let busybox = image("busybox");
    lab.coracle(["run", "--name=c", "--network=none", &busybox, "touch", "/new"]).ok();
    lab.coracle(["commit", "c", "made:1"]).ok();
    let inspected = lab.coracle(["image", "inspect", "localhost/made:1"]).ok().json();
    assert_eq!(inspected[0]["ManifestType"], "application/vnd.docker.distribution.manifest.v2+json");
    let layers = |flags: &[&str], directory: &str| {
        let to = format!("oci:{}", lab.arg(directory));
        lab.coracle([&["push", "-q"], flags, &[busybox.as_str(), &to]].concat()).ok();
        let blobs = lab.path(directory).join("blobs/sha256");
        let texts = fs::read_dir(blobs).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap());
        texts.filter(|bytes| bytes.starts_with(b"\x28\xb5\x2f\xfd")).count()
    };
    assert!(layers(&[], "zstd") > 0);
    assert_eq!(layers(&["--compression-format", "gzip"], "gzip"), 0);
    lab.coracle(["save", "-q", "-o", &lab.arg("all.tar"), &busybox, "localhost/made:1"]).ok();
    let listed = output::run(lab.program("tar").args(["-xOf", &lab.arg("all.tar"), "manifest.json"]), &[], LIMIT);
    assert_eq!(listed.ok().json().as_array().unwrap().len(), 2);
    for (conf, verb) in [
        ("image_default_format = \"v2s1\"", &["commit", "c", "made:2"][..]),
        ("compression_format = \"lz4\"", &["push", "localhost/made:1", "dir:x"]),
        ("compression_level = 44", &["push", "localhost/made:1", "dir:x"]),
        ("retry_delay = \"soon\"", &["pull", "localhost/made:1"]),
    ] {
        configure(&lab, &format!("[engine]\n{conf}\n"));
        let key = conf.split(' ').next().unwrap();
        lab.coracle(verb).refused(125, "E_CONFIG").says(&format!("containers.conf: engine.{key}"));
    }
}

#[test]
fn a_copy_may_keep_its_owner() {
    let lab = Lab::new();
    let busybox = image("busybox");
    let owner = |conf: &str, name: &str| {
        configure(&lab, conf);
        lab.coracle(["run", "-d", "--network=none", "--ids=emulate", "--name", name, &busybox, "sleep", "1000"]).ok();
        lab.coracle(["exec", name, "sh", "-c", "echo x >/f; chown 12:34 /f"]).ok();
        let tar = output::run(&mut lab.command(["cp", &format!("{name}:/f"), "-"]), &[], LIMIT);
        let mut into = lab.command(["cp", "-", &format!("{name}:/tmp")]);
        output::run(&mut into, &tar.ok().stdout, LIMIT).ok();
        let seen = lab.coracle(["exec", name, "stat", "-c", "%u:%g", "/tmp/f"]).ok().text();
        lab.coracle(["rm", "-f", name]).ok();
        seen
    };
    assert_eq!(owner("", "a"), "0:0");
    assert_eq!(owner("[engine]\nchown_copied_files = false\n", "b"), "12:34");
}

#[test]
fn networks_have_subnets_and_names() {
    let pools = "default_subnet_pools = [{base = \"10.201.8.0/23\", size = 24}]";
    let lab =
        configured(&format!("[network]\ndefault_network = \"front\"\ndefault_subnet = \"10.200.7.0/24\"\n{pools}\n"));
    let subnet = |name: &str| {
        let network = lab.coracle(["network", "inspect", name]).ok().json()[0].clone();
        (network["name"].as_str().unwrap().to_owned(), network["subnets"][0]["subnet"].as_str().unwrap().to_owned())
    };
    let front = ("front".to_owned(), "10.200.7.0/24".to_owned());
    assert_eq!((subnet("front"), subnet("bridge")), (front.clone(), front));
    for (name, expected) in [("a", "10.201.8.0/24"), ("b", "10.201.9.0/24")] {
        lab.coracle(["network", "create", name]).ok();
        assert_eq!(subnet(name).1, expected);
    }
    lab.coracle(["network", "create", "c"]).refused(125, "E_CONFIG").says("no subnet is free");
    assert_eq!(lab.coracle(["network", "ls", "-q"]).ok().text(), "a\nb\nfront");
    lab.coracle(["network", "rm", "front"]).refused(125, "E_CONFIG").says("default");
    // It is a network as podman's is, unless the default one is.
    lab.coracle(["network", "inspect", "podman"]).exited(125);
    if crate::networks::can("networks_have_subnets_and_names") {
        configure(
            &lab,
            &format!("[containers]\ninterface_name = \"device\"\n[network]\ndefault_network = \"front\"\n{pools}\n"),
        );
        let device = lab.coracle(["network", "inspect", "front"]).ok().json()[0]["network_interface"].clone();
        assert_eq!(lab.sh(&["--network", "bridge"], "ls /sys/class/net | grep -v lo"), device);
        let named = lab.sh(&["--network", "bridge:interface_name=net7"], "ls /sys/class/net | grep -v lo");
        assert_eq!(named, "net7");
    }
    for (conf, key) in
        [("default_network = \"a/b\"", "default_network"), ("default_subnet = \"10.0.0.0\"", "default_subnet")]
    {
        configure(&lab, &format!("[network]\n{conf}\n"));
        lab.coracle(["network", "inspect", "bridge"]).exited(125).says(&format!("network.{key}"));
    }
    configure(&lab, "[network]\ndefault_subnet = \"10.201.8.0/24\"\n");
    lab.coracle(["network", "inspect", "bridge"]).exited(125).says("overlaps");
}

#[test]
fn secrets_have_a_keeper() {
    let lab = Lab::new();
    let kept = lab.arg("kept");
    configure(
        &lab,
        &format!(
            "[secrets]\ndriver = \"shell\"\n[secrets.opts]\nstore = \"cat >{kept}\"\nlookup = \"cat {kept}\"\ndelete = \"rm {kept}\"\n"
        ),
    );
    lab.coracle_with_input(["secret", "create", "word", "-"], b"open").ok();
    assert_eq!(fs::read_to_string(&kept).unwrap(), "open");
    assert_eq!(lab.sh(&["--secret", "word"], "cat /run/secrets/word"), "open");
    lab.coracle(["secret", "rm", "word"]).ok();
    assert!(!fs::exists(&kept).unwrap());
    // What is named has none of these options.
    lab.coracle_with_input(["secret", "create", "-d", "file", "word", "-"], b"open").ok();
}

#[test]
fn new_volumes_may_be_filled_at_once() {
    let lab = Lab::new();
    let busybox = image("busybox");
    let made = |name: &str| {
        lab.coracle(["create", "--network=none", "--name", name, "-v", &format!("{name}:/etc"), &busybox, "true"]).ok();
        lab.store().join("volumes").join(name).join("data/passwd").exists()
    };
    assert!(!made("later"));
    configure(&lab, "[containers]\nprepare_volume_on_create = true\n");
    assert!(made("now"));
    // And not again.
    fs::remove_file(lab.store().join("volumes/now/data/passwd")).unwrap();
    lab.coracle(["start", "-a", "now"]).ok();
    assert!(!lab.store().join("volumes/now/data/passwd").exists());
}
