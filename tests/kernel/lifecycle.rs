//! Containers as records: what `ps`, `rm`, `inspect` show and do, with `--rm` and without, with `-d` and without.

use std::fs;

use crate::support::{Detached, Lab, busybox_arguments, image, is_running, wait_until};

/// A container that wrote nothing leaves empty directories to the next command, which keeps them for the one after that; one that
/// wrote leaves nothing.
#[test]
fn what_a_removed_container_leaves_does_not_add_up() {
    let lab = Lab::new();
    let bytes = |path: &std::path::PathBuf| {
        let find = std::process::Command::new("find").arg(path).args(["-type", "f", "-size", "+4k"]).output().unwrap();
        find.stdout.len()
    };
    let leftovers = || {
        let left = lab.leftovers().into_iter();
        left.filter(|path| !path.ends_with("tmp/spare.0")).collect::<Vec<_>>()
    };
    for _ in 0..4 {
        lab.run_image("busybox", &[], &["true"]).ok();
        let left = leftovers();
        assert!(left.len() <= 1 && left.iter().all(|path| bytes(path) == 0), "{left:?}");
    }
    lab.run_image("busybox", &[], &["sh", "-c", "head -c 100000 /dev/zero >/file"]).ok();
    assert_eq!(leftovers(), Vec::<std::path::PathBuf>::new());
    lab.run_image("busybox", &["-v", "/tmp:/made"], &["true"]).ok();
    assert_eq!(leftovers(), Vec::<std::path::PathBuf>::new(), "a mount's target was made");
    lab.run_image("busybox", &[], &["true"]).ok();
    lab.assert_clean();
}

/// `run NAME-FLAGS` of busybox that is kept.
fn keep(lab: &Lab, name: &str, command: &[&str]) -> crate::support::Output {
    let mut arguments = busybox_arguments(&["--name", name], command);
    arguments.remove(1); // --rm
    lab.coracle(arguments)
}

#[test]
fn rm_leaves_no_trace() {
    let lab = Lab::new();
    for command in [&["true"][..], &["false"], &["/no/such/command"]] {
        lab.busybox(&["--name", "gone"], command);
        assert_eq!(lab.containers().len(), 0);
        lab.assert_clean();
    }
    assert!(!lab.store().join("names").read_dir().is_ok_and(|mut names| names.next().is_some()));
}

#[test]
fn a_kept_container_is_shown_as_exited_with_its_code() {
    let lab = Lab::new();
    keep(&lab, "kept", &["sh", "-c", "exit 3"]).exited(3);
    let table = lab.coracle(["ps", "-a"]).ok().text();
    assert!(table.contains("kept") && table.contains("Exited (3)"), "{table}");
    assert!(!lab.coracle(["ps"]).ok().text().contains("kept"));
    let state = lab.inspect("kept")["State"].clone();
    assert_eq!((state["Status"].as_str(), state["ExitCode"].as_i64()), (Some("exited"), Some(3)));
    lab.coracle(["rm", "kept"]).ok();
    assert_eq!(lab.containers().len(), 0);
    lab.assert_clean();
}

#[test]
fn a_container_is_found_by_name_id_and_the_beginning_of_its_id() {
    let lab = Lab::new();
    keep(&lab, "kept", &["true"]).ok();
    let id = lab.inspect("kept")["Id"].as_str().unwrap().to_owned();
    assert!(id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    for selector in [id.as_str(), &id[..12], &id[..4]] {
        assert_eq!(lab.inspect(selector)["Name"].as_str().unwrap().trim_start_matches('/'), "kept");
    }
    lab.coracle(["rm", &id[..12]]).ok();
}

#[test]
fn containers_without_a_name_get_one() {
    let lab = Lab::new();
    let mut arguments = busybox_arguments(&[], &["true"]);
    arguments.remove(1);
    lab.coracle(&arguments).ok();
    lab.coracle(&arguments).ok();
    let names: Vec<String> = lab.containers().iter().map(|row| row["Names"].to_string()).collect();
    assert_eq!(names.len(), 2);
    assert_ne!(names[0], names[1]);
}

#[test]
fn rm_has_podmans_exit_codes() {
    let lab = Lab::new();
    lab.coracle(["rm", "nosuch"]).exited(1);
    let running = Detached::start(&lab, &["--name", "busy"], &["sleep", "1000"]);
    lab.coracle(["rm", "busy"]).exited(2);
    lab.coracle(["rm", "nosuch", "busy"]).exited(2);
    lab.coracle(["rm", "-f", "busy"]).ok();
    lab.coracle(["rm", "-f", "nosuch"]).ok();
    drop(running);
}

#[test]
fn a_name_is_given_once() {
    let lab = Lab::new();
    keep(&lab, "mine", &["true"]).ok();
    lab.busybox(&["--name", "mine"], &["true"]).exited(125).says("mine");
    lab.coracle(["rm", "mine"]).ok();
    lab.busybox(&["--name", "mine"], &["true"]).ok();
}

#[test]
fn of_two_at_once_one_gets_the_name() {
    let lab = Lab::new();
    for _ in 0..5 {
        let start = || lab.spawn(busybox_arguments(&["--name", "wanted"], &["sleep", "1"]));
        let (first, second) = (start(), start());
        let mut codes = [first.wait().code, second.wait().code];
        codes.sort_unstable();
        assert_eq!(codes, [0, 125]);
    }
    assert_eq!(lab.containers().len(), 0);
}

#[test]
fn many_at_once_do_not_disturb_each_other() {
    let lab = Lab::new();
    let running: Vec<_> =
        (0..12).map(|n| lab.spawn(busybox_arguments(&[], &["sh", "-c", &format!("exit {n}")]))).collect();
    for (number, container) in running.into_iter().enumerate() {
        container.wait().exited(i32::try_from(number).unwrap());
    }
    lab.assert_clean();
}

#[test]
fn the_cidfile_has_the_id_and_must_not_exist() {
    let lab = Lab::new();
    let cidfile = lab.arg("cid");
    let container = Detached::start(&lab, &["--cidfile", &cidfile], &["sleep", "1000"]);
    assert_eq!(fs::read_to_string(&cidfile).unwrap().trim_end(), container.id);
    lab.busybox(&["--cidfile", &cidfile], &["true"]).exited(125).says("cid");
    lab.busybox(&["--cidfile", "/no/such/directory/cid"], &["true"]).exited(125);
}

#[test]
fn a_cidfile_is_never_written_through_a_link() {
    let lab = Lab::new();
    lab.write("target", "untouched");
    std::os::unix::fs::symlink(lab.path("target"), lab.path("cid")).unwrap();
    lab.busybox(&["--cidfile", &lab.arg("cid")], &["true"]).exited(125);
    assert_eq!(fs::read_to_string(lab.path("target")).unwrap(), "untouched");
}

#[test]
fn a_detached_container_stays_until_it_is_removed() {
    let lab = Lab::new();
    let container = Detached::start(&lab, &["--name", "up"], &["sleep", "1000"]);
    assert!(container.id.len() == 64 && container.id.bytes().all(|b| b.is_ascii_hexdigit()), "{}", container.id);
    let table = lab.coracle(["ps"]).ok().text();
    assert!(table.contains(&container.id[..12]) && table.contains("Up "), "{table}");
    let payload = container.pid();
    assert_eq!(fs::read_to_string(format!("/proc/{payload}/comm")).unwrap(), "sleep\n");
    lab.coracle(["rm", "-f", "up"]).ok();
    wait_until("the payload is gone", || !is_running(payload));
    assert_eq!(lab.containers().len(), 0);
    lab.assert_clean();
}

#[test]
fn one_process_stays_beside_a_detached_payload() {
    let lab = Lab::new();
    let container = Detached::start(&lab, &[], &["sleep", "1000"]);
    let parent = |pid: i32| -> i32 {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat[stat.rfind(')').unwrap()..].split(' ').nth(2).unwrap().parse().unwrap()
    };
    let monitor = parent(container.pid());
    assert_eq!(crate::support::descendants(monitor), [container.pid()]);
    let above = fs::read_to_string(format!("/proc/{}/comm", parent(monitor))).unwrap();
    assert!(!above.starts_with("coracle"), "{above}");
    let status = fs::read_to_string(format!("/proc/{monitor}/status")).unwrap();
    assert!(status.contains("\nThreads:\t1\n"), "{status}");
}

#[test]
fn a_detached_container_that_ends_is_shown_as_exited() {
    let lab = Lab::new();
    let _container = Detached::start(&lab, &["--name", "short"], &["sh", "-c", "exit 5"]);
    wait_until("it has exited", || lab.inspect("short")["State"]["Status"] == "exited");
    assert_eq!(lab.inspect("short")["State"]["ExitCode"], 5);
}

#[test]
fn a_detached_container_with_rm_removes_itself() {
    let lab = Lab::new();
    let _container = Detached::start(&lab, &["--rm", "--name", "short"], &["sleep", "0.2"]);
    wait_until("it is removed", || lab.containers().is_empty());
    wait_until("its directory is removed", || lab.leftovers().is_empty());
}

#[test]
fn detaching_reports_a_command_that_cannot_start() {
    let lab = Lab::new();
    let mut arguments = busybox_arguments(&[], &["/no/such/command"]);
    arguments.insert(2, "-d".into());
    let output = lab.coracle(&arguments);
    assert!(output.exited(127).stdout.is_empty(), "{output:?}");
    wait_until("nothing is left", || lab.containers().is_empty());
}

fn parent(pid: i32) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat[stat.rfind(')').unwrap()..].split(' ').nth(2).unwrap().parse().unwrap()
}

/// As systemd does when the user logs out or the machine goes down: everybody is asked to end.
fn ask_monitor_to_end(container: &Detached<'_>) {
    let monitor = nix::unistd::Pid::from_raw(parent(container.pid()));
    nix::sys::signal::kill(monitor, nix::sys::signal::Signal::SIGTERM).unwrap();
}

#[test]
fn a_monitor_that_is_asked_to_end_ends_a_deaf_container_in_its_stop_time() {
    let lab = Lab::new();
    let flags = ["--name", "deaf", "--stop-timeout", "1", "--restart", "always"];
    let deaf = Detached::start(&lab, &flags, &["sleep", "1000"]);
    ask_monitor_to_end(&deaf);
    wait_until("it was killed", || lab.inspect("deaf")["State"]["Status"] == "exited");
    assert_eq!(lab.inspect("deaf")["State"]["ExitCode"], 137);
    // The user has not ended it: it comes back with the machine.
    lab.coracle(["start", "--filter", "should-start-on-boot=true"]).ok();
    assert_eq!(lab.inspect("deaf")["State"]["Status"], "running");
}

#[test]
fn a_monitor_that_is_asked_to_end_passes_on_the_containers_own_signal() {
    let lab = Lab::new();
    let flags = ["--name", "polite", "--stop-signal", "USR1", "--stop-timeout", "600"];
    let script = "trap 'exit 7' USR1; echo ready; while :; do sleep 0.01; done";
    let polite = Detached::start(&lab, &flags, &["sh", "-c", script]);
    wait_until("it listens", || lab.coracle(["logs", "polite"]).ok().text() == "ready");
    ask_monitor_to_end(&polite);
    wait_until("it has ended", || lab.inspect("polite")["State"]["Status"] == "exited");
    assert_eq!(lab.inspect("polite")["State"]["ExitCode"], 7);
}

/// SECURITY.md 3.3: the monitor's death is the container's.
#[test]
fn death_of_the_monitor_ends_the_container_and_is_told() {
    let lab = Lab::new();
    let container = Detached::start(&lab, &["--name", "lost"], &["sleep", "1000"]);
    let payload = container.pid();
    let monitor = parent(payload);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(monitor), nix::sys::signal::Signal::SIGKILL).unwrap();
    wait_until("the payload is gone", || !is_running(payload));
    assert_eq!(lab.inspect("lost")["State"]["Status"], "exited");
    assert_eq!(lab.inspect("lost")["State"]["ExitCode"], 137);
    lab.coracle(["rm", "lost"]).ok();
}

#[test]
fn death_of_the_monitor_is_told_to_who_stays_with_the_container() {
    let lab = Lab::new();
    lab.coracle(["create", "--name", "lost", &image("busybox"), "sh", "-c", "echo up; sleep 1000"]).ok();
    let mut client = lab.spawn(["start", "-a", "lost"]);
    client.expect("up");
    let payload = lab.inspect("lost")["State"]["Pid"].as_i64().unwrap() as i32;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(parent(payload)), nix::sys::signal::Signal::SIGKILL).unwrap();
    client.wait().exited(137).says("its monitor was killed");
}

#[test]
fn losing_the_runtime_directory_loses_nothing() {
    let lab = Lab::new();
    keep(&lab, "kept", &["true"]).ok();
    fs::remove_dir_all(lab.root().join("runtime/coracle")).ok();
    assert_eq!(lab.inspect("kept")["State"]["Status"], "exited");
    lab.coracle(["rm", "kept"]).ok();
}

#[test]
fn labels_are_kept() {
    let lab = Lab::new();
    let file = lab.write("labels", "from=file\nboth=file\n");
    let mut arguments = busybox_arguments(
        &["--name", "l", "--label-file", file.to_str().unwrap(), "--label", "both=flag", "-l", "bare"],
        &["true"],
    );
    arguments.remove(1);
    lab.coracle(&arguments).ok();
    let labels = lab.inspect("l")["Config"]["Labels"].clone();
    assert_eq!((&labels["from"], &labels["both"], &labels["bare"]), (&"file".into(), &"flag".into(), &"".into()));
}

#[test]
fn inspecting_nothing_is_125_and_an_empty_list() {
    let lab = Lab::new();
    let output = lab.coracle(["inspect", "nosuch"]);
    assert_eq!(output.exited(125).text(), "[]");
}

#[test]
fn everything_on_disk_is_the_users_alone() {
    let lab = Lab::new();
    keep(&lab, "kept", &["true"]).ok();
    use std::os::unix::fs::PermissionsExt;
    for path in [lab.store(), lab.root().join("runtime/coracle"), lab.store().join("containers")] {
        let mode =
            fs::metadata(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
    }
}

/// Templates of scripts name what podman and docker have.
#[test]
fn inspect_has_the_names_that_scripts_use() {
    let lab = Lab::new();
    lab.pull("busybox");
    let name = crate::support::image("busybox");
    lab.coracle(["create", "--name", "c", "--health-cmd", "true", "-v", "/data", &name, "sh", "-c", "echo 12345 >/f"])
        .ok();
    lab.coracle(["start", "-a", "c"]).ok();
    let fields = ".GraphDriver.Name .GraphDriver.Data.UpperDir .GraphDriver.Data.LowerDir .ImageDigest .LogPath .StaticDir \
        .State.ConmonPid .State.Health.Status .State.OciVersion .Config.StopTimeout .Config.Healthcheck.Test .Config.Domainname \
        .Config.Volumes .HostConfig.PortBindings .HostConfig.Runtime .HostConfig.Dns .ExecIDs .IsInfra .Pod .OCIRuntime \
        .NetworkSettings.Ports .Mounts .Dependencies .ProcessLabel .AppArmorProfile";
    for field in fields.split_whitespace() {
        lab.coracle(["inspect", "-t", "container", "-f", &format!("{{{{{field}}}}}"), "c"]).ok();
    }
    let text = |template: &str| lab.coracle(["inspect", "-s", "-f", template, "-l"]).ok().text();
    assert_eq!(std::fs::read_to_string(format!("{}/f", text("{{.GraphDriver.Data.UpperDir}}"))).unwrap(), "12345\n");
    assert!(std::path::Path::new(&text("{{.LogPath}}")).is_file());
    assert!(text("{{.ImageDigest}}").starts_with("sha256:"));
    assert_eq!(text("{{json .Config.Healthcheck.Test}}"), r#"["CMD","/bin/sh","-c","true"]"#);
    let (written, all): (u64, u64) = (text("{{.SizeRw}}").parse().unwrap(), text("{{.SizeRootFs}}").parse().unwrap());
    assert!(written > 0 && all > written);
    assert!(lab.inspect("c").get("SizeRw").is_none(), "finding it out takes time");
    lab.coracle(["inspect"]).refused(125, "E_CONFIG");
}
