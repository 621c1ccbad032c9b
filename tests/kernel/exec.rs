//! `exec`: a second process in a container, what it has and may, and what the container can do to us meanwhile.

use nix::sys::signal::Signal;

use crate::support::{Detached, Lab, Output, Terminal, coracle_path, is_running, wait_until};

pub fn exec(lab: &Lab, flags: &[&str], container: &str, command: &[&str]) -> Output {
    let mut arguments = vec!["exec"];
    arguments.extend(flags);
    arguments.push(container);
    arguments.extend(command);
    lab.coracle(&arguments)
}

pub fn sh(lab: &Lab, flags: &[&str], container: &str, script: &str) -> String {
    exec(lab, flags, container, &["sh", "-c", script]).ok().text()
}

pub fn sleeper<'l>(lab: &'l Lab, flags: &[&str]) -> Detached<'l> {
    Detached::start(lab, flags, &["sleep", "1000"])
}

#[test]
fn a_process_has_what_the_containers_own_has() {
    let lab = Lab::new();
    let container = sleeper(&lab, &["-e", "MINE=1", "-w", "/etc", "--name", "web"]);
    let script = "for kind in mnt pid ipc uts cgroup net user; do readlink /proc/$1/ns/$kind; done
        grep -E '^(Uid|Gid|Cap|NoNewPrivs|Seccomp|Seccomp_filters)' /proc/$1/status; cat /proc/$1/limits";
    let of = |pid: &str| exec(&lab, &[], "web", &["sh", "-c", script, "sh", pid]).ok().text();
    assert_eq!(of("1"), of("self"));
    assert_eq!(
        sh(&lab, &[], "web", "echo $MINE $container; pwd; hostname"),
        format!("1 coracle\n/etc\n{}", &container.id[..12])
    );
    let own = sh(&lab, &[], &container.id[..12], "echo $$; cut -d' ' -f6 /proc/$$/stat; ls /proc/self/fd");
    let lines: Vec<&str> = own.lines().collect();
    assert_eq!(lines[0], lines[1], "a session of its own");
    // The listing has its own directory open.
    assert_eq!(lines[2..], ["0", "1", "2", "3"]);
}

#[test]
fn exit_codes_are_the_commands() {
    let lab = Lab::new();
    let container = sleeper(&lab, &[]);
    let id = container.id.as_str();
    exec(&lab, &[], id, &["sh", "-c", "exit 7"]).exited(7);
    exec(&lab, &[], id, &["sh", "-c", "kill -9 $$"]).exited(137);
    exec(&lab, &[], id, &["/etc"]).refused(126, "E_PERMISSION");
    exec(&lab, &[], id, &["no-such-program"]).refused(127, "E_NOTFOUND");
    exec(&lab, &[], "nosuch", &["true"]).refused(125, "E_NOTFOUND");
    exec(&lab, &[], id, &[]).refused(125, "E_CONFIG");
    exec(&lab, &["--detach-keys", "ctrl-1"], id, &["true"]).refused(125, "E_CONFIG");
    for keys in ["", "ctrl-p", "a,b"] {
        exec(&lab, &["--detach-keys", keys], id, &["true"]).ok();
    }
}

#[test]
fn a_container_that_does_not_run_is_refused() {
    let lab = Lab::new();
    let ended = Detached::start(&lab, &["--name", "ended"], &["true"]);
    wait_until("it has ended", || lab.inspect("ended")["State"]["Status"] == "exited");
    exec(&lab, &[], "ended", &["true"]).refused(125, "E_STATE").says("coracle start");
    drop(ended);
}

#[test]
fn flags_change_what_a_process_has() {
    let lab = Lab::new();
    let container = sleeper(&lab, &["-e", "A=1", "-e", "B=1"]);
    let id = container.id.as_str();
    lab.write("variables", "B=2\nC=2\n");
    let variables = lab.arg("variables");
    assert_eq!(sh(&lab, &["-e", "C=3", "--env-file", &variables], id, "echo $A $B $C"), "1 2 3");
    assert_eq!(sh(&lab, &["-w", "/etc"], id, "pwd"), "/etc");
    assert_eq!(sh(&lab, &["-u", "0:0"], id, "id -u; echo $HOME"), "0\n/root");
    assert_eq!(sh(&lab, &["--privileged"], id, "grep CapEff /proc/self/status").replace('\t', " "), {
        let last: u32 = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap().trim().parse().unwrap();
        format!("CapEff: {:016x}", (1_u64 << (last + 1)) - 1)
    });
    // The words after the container are the command's.
    assert_eq!(exec(&lab, &[], id, &["echo", "-e", "-i", "--tty"]).ok().text(), "-i --tty");
    let words = lab.coracle(["exec", "--latest", "echo", "latest"]);
    assert_eq!(words.ok().text(), "latest");
    lab.write("cid", &container.id);
    assert_eq!(lab.coracle(["exec", "--cidfile", &lab.arg("cid"), "echo", "file"]).ok().text(), "file");
    assert_eq!(lab.coracle(["container", "exec", id, "echo", "group"]).ok().text(), "group");
    if !nix::unistd::geteuid().is_root() {
        exec(&lab, &["-u", "1000"], id, &["true"]).refused(125, "E_USER_INVALID");
    }
}

#[test]
fn standard_input_is_read_only_when_asked() {
    let lab = Lab::new();
    let container = sleeper(&lab, &[]);
    let cat = |flags: &[&str]| {
        let arguments: Vec<&str> =
            ["exec"].iter().chain(flags).copied().chain([container.id.as_str(), "cat"]).collect();
        lab.coracle_with_input(&arguments, b"typed").ok().text()
    };
    assert_eq!((cat(&[]), cat(&["-i"])), (String::new(), "typed".to_owned()));
}

#[test]
fn a_terminal_is_the_containers_own() {
    let lab = Lab::new();
    for flags in [&[][..], &["-t"], &["--init"], &["--read-only"]] {
        let container = sleeper(&lab, flags);
        let mut terminal = Terminal::start(&lab, ["exec", "-it", "-e", "PS1=ready> ", &container.id, "sh"]);
        terminal.expect("ready> ");
        terminal.send("tty; stty size; echo TERM=$TERM\n");
        terminal.expect("/dev/pts/");
        terminal.expect("24 80\r\n");
        terminal.expect("TERM=xterm\r\n");
        terminal.resize(30, 90);
        terminal.send("until stty size | grep '^30 90'; do :; done; sh -c 'echo fore\"\"ground; exec sleep 1000'\n");
        terminal.expect("30 90\r\n");
        terminal.expect("foreground\r\n");
        terminal.send("\x03");
        terminal.expect("ready> ");
        terminal.send("exit 5\n");
        assert_eq!(terminal.wait(), 5);
        assert!(terminal.is_restored());
    }
}

#[test]
fn signals_reach_the_process() {
    let lab = Lab::new();
    let container = sleeper(&lab, &[]);
    let script = "trap 'echo caught; exit 3' TERM; echo up; while :; do sleep 0.05; done";
    let mut running = lab.spawn(["exec", &container.id, "sh", "-c", script]);
    running.expect("up");
    running.signal(Signal::SIGTERM);
    let output = running.wait();
    assert!(output.exited(3).text().ends_with("caught"), "{output:?}");
}

#[test]
fn a_detached_process_outlives_its_command_and_not_its_container() {
    let lab = Lab::new();
    let container = sleeper(&lab, &[]);
    for flags in [&["-d"][..], &["-dt"]] {
        let output = exec(&lab, flags, &container.id, &["sh", "-c", "echo lost; echo $$ >/tmp/pid; exec sleep 1000"]);
        assert_eq!(output.ok().text(), "");
        wait_until("it has started", || !sh(&lab, &[], &container.id, "cat /tmp/pid 2>/dev/null || true").is_empty());
        let inside = sh(&lab, &[], &container.id, "cat /tmp/pid; rm /tmp/pid");
        sh(&lab, &[], &container.id, &format!("grep -q sleep /proc/{inside}/cmdline"));
    }
    exec(&lab, &["-d"], &container.id, &["no-such-program"]).refused(127, "E_NOTFOUND");
    let pids = crate::support::descendants(container.pid());
    lab.coracle(["rm", "-f", &container.id]).ok();
    wait_until("all have ended", || !pids.iter().any(|&pid| is_running(pid)));
}

/// An end of the container while processes are started in it: each is told, none hangs.
#[test]
fn the_end_of_the_container_ends_an_exec() {
    let lab = Lab::new();
    for flags in [&[][..], &["--init"]] {
        let container = sleeper(&lab, flags);
        let mut running = lab.spawn(["exec", &container.id, "sh", "-c", "echo up; exec sleep 1000"]);
        running.expect("up");
        std::thread::scope(|scope| {
            let starters: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let mut codes = Vec::new();
                        while codes.last().is_none_or(|&code| code == 0) {
                            let output = exec(&lab, &[], &container.id, &["true"]);
                            assert!(!output.errors().contains("panicked"), "{output:?}");
                            codes.push(output.code);
                        }
                        codes
                    })
                })
                .collect();
            lab.coracle(["rm", "-f", &container.id]).ok();
            for starter in starters {
                let last = starter.join().unwrap().pop().unwrap();
                assert!([125, 137].contains(&last), "{last}");
            }
        });
        running.wait().exited(137);
    }
}

#[test]
fn many_at_once_do_not_disturb_each_other() {
    let lab = Lab::new();
    let container = sleeper(&lab, &["--init"]);
    std::thread::scope(|scope| {
        for number in 0..16 {
            let (lab, id) = (&lab, &container.id);
            scope.spawn(move || assert_eq!(sh(lab, &[], id, &format!("echo {number}")), number.to_string()));
        }
    });
}

/// CVE-2024-21626: a working directory leads into the container or nowhere.
#[test]
fn a_working_directory_outside_is_refused() {
    let lab = Lab::new();
    let container = sleeper(&lab, &[]);
    let id = container.id.as_str();
    sh(&lab, &[], id, "for n in $(seq 3 30); do ln -s /proc/self/fd/$n /tmp/fd$n; done; ln -s /proc/1/root /tmp/root");
    for number in 3..30 {
        for path in [format!("/proc/self/fd/{number}"), format!("/tmp/fd{number}")] {
            let output = exec(&lab, &["-w", &path], id, &["pwd"]);
            assert!(output.exited(125).stdout.is_empty(), "{output:?}");
        }
    }
    exec(&lab, &["-w", "/proc/self/cwd"], id, &["pwd"]).refused(125, "E_CWD_OUTSIDE");
    exec(&lab, &["-w", "/tmp/root"], id, &["pwd"]).refused(125, "E_CWD_OUTSIDE");
    exec(&lab, &["-w", "/no/such"], id, &["pwd"]).exited(125);
    assert_eq!(sh(&lab, &[], id, "ls -d /no 2>/dev/null || echo none"), "none", "nothing is made");
    assert_eq!(exec(&lab, &["-w", "/../../etc/.."], id, &["pwd"]).ok().text(), "/");
}

/// A user database that the container has replaced neither hangs nor leads outside.
#[test]
fn a_replaced_user_database_is_harmless() {
    let lab = Lab::new();
    let secret = lab.write("passwd", "outsider:x:0:0::/:/bin/sh\n");
    let container = sleeper(&lab, &[]);
    let id = container.id.as_str();
    assert_eq!(sh(&lab, &["-u", "root"], id, "id -u"), "0");
    for script in [
        "rm -f /etc/passwd; mkfifo /etc/passwd".to_owned(),
        "rm -rf /etc/passwd; mkdir /etc/passwd".to_owned(),
        format!("rm -rf /etc/passwd; ln -s {} /etc/passwd", secret.display()),
        format!("rm -rf /etc/passwd; ln -s /proc/1/root/../../../../{} /etc/passwd", secret.display()),
        "rm -rf /etc/passwd; ln -s /dev/zero /etc/passwd".to_owned(),
        "rm -rf /etc/passwd; ln -s passwd /etc/passwd".to_owned(),
    ] {
        sh(&lab, &[], id, &script);
        let output = exec(&lab, &["-u", "outsider"], id, &["true"]);
        assert!(output.exited(125).errors().contains("E_USER"), "{script}: {output:?}");
    }
}

/// Our program as a user has it who has built it: a file that is the user's own. And what is in it.
fn own_program(lab: &Lab) -> (std::path::PathBuf, Vec<u8>) {
    let own = lab.path("own/coracle");
    std::fs::create_dir(lab.path("own")).unwrap();
    std::fs::copy(coracle_path(), &own).unwrap();
    let content = std::fs::read(&own).unwrap();
    (own, content)
}

/// CVE-2019-5736: whatever makes our program start in the container cannot be used to change it. CVE-2016-9962: nothing of us
/// can be looked into while we join.
#[test]
fn our_program_and_our_descriptors_are_out_of_reach() {
    let lab = Lab::new();
    let (own, before) = own_program(&lab);
    let exec = |lab: &Lab, flags: &[&str], id: &str, command: &[&str]| {
        let words = [&["exec"], flags, &[id], command].concat();
        crate::support::output::run(lab.program(&own).args(words), &[], crate::support::LIMIT)
    };
    let spy = r#"
        ln -sf /proc/self/exe /tmp/self; printf '#!/proc/self/exe\n' >/tmp/script; chmod 755 /tmp/script
        echo ready
        while [ ! -e /tmp/stop ]; do
            for process in /proc/[0-9]*; do
                case $process in /proc/1|/proc/$$) continue;; esac
                exe=$(readlink $process/exe 2>/dev/null) && case $exe in *busybox*|'') ;; *) echo "saw exe $exe" >>/tmp/seen;; esac
                readlink $process/cwd $process/root $process/fd/* 2>/dev/null | grep -vE '^/($|dev/null|dev/pts|proc|tmp)|^(pipe|socket|anon_inode):' | sed 's/^/saw fd /' >>/tmp/seen
                (: >>$process/exe) 2>/dev/null && echo "opened $process/exe" >>/tmp/seen
            done
        done
        touch /tmp/stopped; exec sleep 1000"#;
    for flags in [&[][..], &["--init"], &["--cap-add", "ALL", "--security-opt", "seccomp=unconfined"]] {
        let container = Detached::start(&lab, flags, &["sh", "-c", spy]);
        let id = container.id.as_str();
        wait_until("the spy is there", || exec(&lab, &[], id, &["test", "-e", "/tmp/script"]).code == 0);
        for _ in 0..20 {
            exec(&lab, &[], id, &["true"]).ok();
            exec(&lab, &[], id, &["/tmp/self", "version"]);
            exec(&lab, &[], id, &["/tmp/script"]);
            exec(&lab, &[], id, &["/proc/self/exe", "version"]);
        }
        sh(&lab, &[], id, "touch /tmp/stop");
        wait_until("the spy has stopped", || exec(&lab, &[], id, &["test", "-e", "/tmp/stopped"]).code == 0);
        let seen = exec(&lab, &[], id, &["sh", "-c", "cat /tmp/seen 2>/dev/null || true"]).ok().text();
        let ours = lab.root().display().to_string();
        assert!(!seen.contains("opened") && !seen.contains(&ours), "{flags:?}: {seen}");
        assert!(before == std::fs::read(&own).unwrap(), "our program was changed");
    }
}

/// Whoever has our program open, by executing it in the container, has it on a read-only mount.
#[test]
fn our_program_in_the_container_is_read_only() {
    let lab = Lab::new();
    let container = sleeper(&lab, &[]);
    // A program of ours that waits: the completion of a command line reads no input, but a FIFO for an environment file is
    // opened for reading, and blocks.
    sh(&lab, &[], &container.id, "mkfifo /tmp/fifo");
    let (own, before) = own_program(&lab);
    let mut command = lab.program(&own);
    command.args(["exec", &container.id, "/proc/self/exe", "run", "--env-file", "/tmp/fifo", "x"]);
    let running = crate::support::Running::start(&mut command);
    let find = "for p in /proc/[0-9]*; do grep -qs env-file $p/cmdline && ! grep -qs grep $p/cmdline && echo $p; done | head -n 1";
    wait_until("it waits", || !sh(&lab, &[], &container.id, find).is_empty());
    let script = format!(
        "p=$({find}); exec 8<$p/exe; echo x >/tmp/fifo; while [ -e $p/exe ]; do sleep 0.02; done
        {{ echo broken >/proc/self/fd/8; }} 2>&1; chmod 777 /proc/self/fd/8 2>&1; true"
    );
    let refused = sh(&lab, &[], &container.id, &script);
    assert_eq!(refused.matches("Read-only file system").count(), 2, "{refused}");
    drop(running);
    assert!(before == std::fs::read(&own).unwrap(), "our program was changed");
}

#[test]
fn networks_and_volumes_are_the_containers() {
    let lab = Lab::new();
    lab.write("shared/file", "of the host");
    let volume = format!("{}:/shared", lab.arg("shared"));
    let container = sleeper(&lab, &["--network", "host", "-v", &volume, "--read-only", "--init"]);
    assert_eq!(sh(&lab, &[], &container.id, "cat /shared/file"), "of the host");
    assert_eq!(
        sh(&lab, &[], &container.id, "readlink /proc/self/ns/net"),
        std::fs::read_link("/proc/self/ns/net").unwrap().to_str().unwrap()
    );
    exec(&lab, &[], &container.id, &["touch", "/file"]).exited(1);
}

#[test]
fn containers_of_images_are_joined_too() {
    let lab = Lab::new();
    let image = crate::support::image("busybox");
    let id = lab.coracle(["run", "-d", "--name", "image", &image, "sleep", "1000"]).ok().text();
    assert_eq!(sh(&lab, &[], &id, "echo joined; touch /made; ls /made"), "joined\n/made");
    lab.coracle(["rm", "-f", "image"]).ok();
}

/// Descriptors 3 and 5 of a shell, which becomes coracle.
const WITH_DESCRIPTORS: &str = r#"exec 3<three 5<five; exec "$0" exec "$@""#;

#[test]
fn descriptors_are_passed_on_when_asked() {
    let lab = Lab::new();
    let container = sleeper(&lab, &[]);
    lab.write("three", "3\n");
    lab.write("five", "5\n");
    let run = |program: &std::path::Path, words: &[&str]| {
        let mut command = lab.program("/bin/sh");
        command.args(["-c", WITH_DESCRIPTORS]).arg(program).args(words);
        crate::support::output::run(&mut command, &[], crate::support::LIMIT)
    };
    let (own, _) = own_program(&lab);
    let id = container.id.as_str();
    let show = "cat <&3; cat <&5; ls /proc/self/fd";
    for program in [coracle_path(), own] {
        let both = run(&program, &["--preserve-fds", "1", "--preserve-fd", "5,3", id, "sh", "-c", show]).ok().text();
        assert_eq!(both.split_whitespace().collect::<String>(), "35012345", "the listing has its own directory open");
        let terminal = run(&program, &["-t", "--preserve-fd", "3,5", id, "sh", "-c", show]).ok().text();
        assert_eq!(terminal.split_whitespace().collect::<String>(), "35012345");
        assert_eq!(run(&program, &[id, "ls", "/proc/self/fd"]).ok().text(), "0\n1\n2\n3");
    }
    let program = coracle_path();
    run(&program, &["--preserve-fds", "2", id, "true"]).refused(125, "E_CONFIG").says("descriptor 4");
    run(&program, &["--preserve-fd", "9", id, "true"]).refused(125, "E_CONFIG").says("descriptor 9");
    for wrong in ["2", "-1", "x", "", "3,,5", "99999999999"] {
        run(&program, &["--preserve-fd", wrong, id, "true"]).exited(125);
        run(&program, &["--preserve-fds", "-1", id, "true"]).exited(125);
    }
    run(&program, &["--no-session", id, "true"]).ok();
}

/// Nobody but the process keeps it open, so whoever waits for its end sees it.
#[test]
fn a_descriptor_that_was_passed_on_is_the_processes_alone() {
    let lab = Lab::new();
    let container = sleeper(&lab, &[]);
    let script = r#""$0" exec -d --preserve-fd 5 "$1" sh -c 'echo through >&5; exec 5>&-; exec sleep 1001' 5>&1 | cat"#;
    let mut command = lab.program("/bin/sh");
    command.args(["-c", script]).arg(coracle_path()).arg(&container.id);
    assert_eq!(crate::support::output::run(&mut command, &[], crate::support::LIMIT).ok().text(), "through");
    assert_eq!(sh(&lab, &[], &container.id, "ps | grep -c '[s]leep 1001'"), "1");
}

/// SECURITY.md R18: not even on request.
#[test]
fn a_terminal_is_not_passed_on() {
    let lab = Lab::new();
    let container = sleeper(&lab, &[]);
    let script = r#"exec 3<>/dev/tty; exec "$0" exec --preserve-fds 1 "$1" true"#;
    let mut command = lab.program("/usr/bin/setsid");
    command.args(["--ctty", "/bin/sh", "-c", script]).arg(coracle_path()).arg(&container.id);
    let mut terminal = Terminal::start_command(&mut command);
    assert_eq!(terminal.wait(), 125);
    assert!(terminal.transcript().contains("it is a terminal"), "{}", terminal.transcript());
}
