//! What a service manager is told (`--sdnotify`), and containers for one as their first process (`--systemd`).

use std::os::unix::net::UnixDatagram;
use std::process::Command;

use crate::exec;
use crate::support::{Detached, LIMIT, Lab, busybox_arguments, output, wait_until};

/// A manager that waits to be told.
struct Manager {
    socket: UnixDatagram,
    path: String,
}

impl Manager {
    fn new(lab: &Lab) -> Self {
        let path = lab.arg("manager");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        Self { socket, path }
    }

    fn hears(&self) -> String {
        let mut message = [0; 4096];
        let length = self.socket.recv(&mut message).expect("the manager is told something");
        String::from_utf8(message[..length].to_vec()).unwrap()
    }

    fn has_heard_all(&self) {
        self.socket.set_nonblocking(true).unwrap();
        let mut message = [0; 4096];
        if let Ok(length) = self.socket.recv(&mut message) {
            panic!("{}", String::from_utf8_lossy(&message[..length]));
        }
        self.socket.set_nonblocking(false).unwrap();
    }

    fn command(&self, lab: &Lab, arguments: &[String]) -> Command {
        let mut command = lab.command(arguments);
        command.env("NOTIFY_SOCKET", &self.path);
        command
    }

    fn run(&self, lab: &Lab, flags: &[&str], command: &[&str]) -> output::Output {
        output::run(&mut self.command(lab, &busybox_arguments(flags, command)), &[], LIMIT)
    }
}

/// Has perl, which can send to a socket, where busybox cannot.
fn says(words: &str) -> Vec<String> {
    let script = format!(
        "use Socket; socket(S, AF_UNIX, SOCK_DGRAM, 0) or die; \
         send(S, \"{words}\", 0, pack_sockaddr_un($ENV{{NOTIFY_SOCKET}})) or die; sleep 1000"
    );
    ["run", "-d", "--network=none", "--rootfs", "/:O", "perl", "-e", &script].map(str::to_owned).to_vec()
}

#[test]
fn a_container_speaks_through_its_monitor() {
    let lab = Lab::new();
    let manager = Manager::new(&lab);
    let words = r"STATUS=half way\nMAINPID=1\nFDSTORE=1\nREADY=1";
    let id = output::run(&mut manager.command(&lab, &says(words)), &[], LIMIT).ok().text();
    let monitor = lab.inspect(&id)["State"]["ConmonPid"].as_i64().unwrap();
    assert_eq!(manager.hears(), format!("MAINPID={monitor}"), "who is to be looked after is nobody in the container");
    assert_eq!(manager.hears(), "STATUS=half way\nREADY=1");
    let shown = lab.coracle(["exec", &id, "sh", "-c", "echo $NOTIFY_SOCKET; ls -l $NOTIFY_SOCKET"]).ok().text();
    assert!(shown.starts_with("/run/notify/notify.sock\nsrwxrwxrwx"), "{shown}");
    lab.coracle(["rm", "-f", "-t", "0", &id]).ok();
    manager.has_heard_all();
}

#[test]
fn a_manager_is_told_by_who_was_asked_to() {
    let lab = Lab::new();
    let manager = Manager::new(&lab);
    let told = |flags: &[&str], command: &[&str]| manager.run(&lab, flags, command).ok().text();
    assert_eq!(
        told(&["--sdnotify=ignore"], &["sh", "-c", "echo $NOTIFY_SOCKET; ls /run/notify 2>/dev/null; true"]),
        ""
    );
    manager.has_heard_all();
    assert_eq!(told(&["--sdnotify=conmon"], &["sh", "-c", "echo $NOTIFY_SOCKET"]), "");
    let heard = manager.hears();
    assert!(heard.starts_with("MAINPID=") && heard.ends_with("\nREADY=1"), "{heard}");
    // Nobody waits: nothing is given.
    assert_eq!(lab.sh(&["--sdnotify=container"], "echo $NOTIFY_SOCKET; ls /run/notify 2>/dev/null; true"), "");
    let flags = ["--sdnotify=healthy", "--health-cmd=test -e /well", "--health-interval=20ms"];
    let mut arguments = busybox_arguments(&flags, &["sleep", "1000"]);
    arguments[1] = "-d".into();
    let id = output::run(&mut manager.command(&lab, &arguments), &[], LIMIT).ok().text();
    assert!(manager.hears().starts_with("MAINPID="));
    manager.has_heard_all();
    exec::exec(&lab, &[], &id, &["touch", "/well"]).ok();
    assert_eq!(manager.hears(), "READY=1");
    assert_eq!(lab.inspect(&id)["Config"]["sdNotifyMode"], "healthy");
    lab.coracle(["rm", "-f", "-t", "0", &id]).ok();
    manager.has_heard_all();
}

#[test]
fn what_cannot_be_told_is_refused() {
    let lab = Lab::new();
    lab.busybox(&["--sdnotify=healthy"], &["true"]).refused(125, "E_CONFIG").says("--health-cmd");
    lab.busybox(&["--sdnotify=later"], &["true"]).refused(125, "E_CONFIG").says("conmon");
    // A manager that is gone is none of the container's business.
    let mut command = lab.command(busybox_arguments(&["--sdnotify=conmon"], &["echo", "ran"]));
    command.env("NOTIFY_SOCKET", lab.arg("gone"));
    assert_eq!(output::run(&mut command, &[], LIMIT).ok().text(), "ran");
    command.env("NOTIFY_SOCKET", "@coracle-test-of-nobody");
    assert_eq!(output::run(&mut command, &[], LIMIT).ok().text(), "ran");
}

/// What a container is prepared with for systemd, by who can be told: mounts, variable, stop signal.
#[test]
fn a_container_is_prepared_for_systemd() {
    let lab = Lab::new();
    let script = "for d in /run /run/lock /tmp /var/log/journal; do grep -c \" $d tmpfs \" /proc/mounts; done; echo ${#container_uuid}";
    assert_eq!(lab.sh(&["--systemd=always"], script), "1\n1\n1\n1\n32");
    assert_eq!(lab.sh(&["--systemd", "always"], script), "1\n1\n1\n1\n32", "as podman's, it takes the next word");
    assert_eq!(lab.sh(&["--systemd=false"], script), "0\n0\n0\n0\n0");
    assert_eq!(lab.sh(&[], script), "0\n0\n0\n0\n0", "a shell is not systemd");
    // The user's own mount stays.
    lab.write("own/file", "mine");
    let own = format!("{}:/tmp", lab.arg("own"));
    assert_eq!(lab.sh(&["--systemd=always", "-v", &own], "cat /tmp/file"), "mine");
    let signal = |flags: &[&str]| {
        let container = Detached::start(&lab, flags, &["sh", "-c", "trap 'exit 7' 37; while :; do sleep 0.01; done"]);
        let report = lab.inspect(&container.id);
        (report["Config"]["StopSignal"].clone(), report["Config"]["SystemdMode"].clone())
    };
    assert_eq!(signal(&["--systemd=always"]), ("SIGRTMIN+3".into(), true.into()));
    assert_eq!(signal(&["--systemd=always", "--stop-signal=SIGTERM"]), ("SIGTERM".into(), true.into()));
    assert_eq!(signal(&[]), ("SIGTERM".into(), false.into()));
    lab.busybox(&["--systemd=yes"], &["true"]).refused(125, "E_CONFIG").says("always");
}

#[test]
fn systemd_is_stopped_by_its_own_signal() {
    let lab = Lab::new();
    let script = "trap 'exit 7' 37; echo up >/up; while :; do sleep 0.01; done";
    let container = Detached::start(&lab, &["--systemd=always"], &["sh", "-c", script]);
    wait_until("it listens", || exec::exec(&lab, &[], &container.id, &["cat", "/up"]).code == 0);
    lab.coracle(["stop", "-t", "60", &container.id]).ok();
    assert_eq!(lab.inspect(&container.id)["State"]["ExitCode"], 7);
}

#[test]
fn programs_named_like_systemd_are_known() {
    use std::os::unix::fs::PermissionsExt;
    let lab = Lab::new();
    let program = lab.write("systemd", "#!/bin/sh\nexec sleep 1000\n");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let shown = format!("{}:/opt/systemd:ro", program.display());
    for (flags, expected) in [(&[][..], true), (&["--systemd=false"], false)] {
        let container = Detached::start(&lab, &[&["-v", shown.as_str()], flags].concat(), &["/opt/systemd"]);
        assert_eq!(lab.inspect(&container.id)["Config"]["SystemdMode"], expected);
    }
}
