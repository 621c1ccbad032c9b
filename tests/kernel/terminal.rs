//! `-t`: a person at a terminal.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Lab, Terminal, busybox_arguments, wait_until};

fn shell(lab: &Lab) -> Terminal {
    let mut terminal = Terminal::start(lab, busybox_arguments(&["-it", "-e", "PS1=ready> "], &["sh"]));
    terminal.expect("ready> ");
    terminal
}

/// Starts a program in the foreground and waits until it is there. What is typed is echoed: hence the quotes.
fn foreground(terminal: &mut Terminal) {
    terminal.send("sh -c 'echo fore\"\"ground; exec sleep 1000'\n");
    terminal.expect("foreground\r\n");
}

#[test]
fn a_shell_works_and_its_exit_code_is_ours() {
    let lab = Lab::new();
    let mut terminal = shell(&lab);
    terminal.send("echo $((6*7))\n");
    terminal.expect("42\r\n");
    terminal.send("exit 7\n");
    assert_eq!(terminal.wait(), 7);
    assert!(terminal.is_restored(), "{}", terminal.transcript());
}

#[test]
fn end_of_input_ends_the_shell() {
    let lab = Lab::new();
    let mut terminal = shell(&lab);
    terminal.send("\x04");
    assert_eq!(terminal.wait(), 0);
    assert!(terminal.is_restored());
}

#[test]
fn ctrl_c_ends_the_foreground_program_and_not_the_shell() {
    let lab = Lab::new();
    let mut terminal = shell(&lab);
    foreground(&mut terminal);
    terminal.send("\x03");
    terminal.expect("ready> ");
    terminal.send("echo alive=$?\n");
    terminal.expect("alive=130\r\n");
}

#[test]
fn ctrl_z_stops_and_fg_continues() {
    let lab = Lab::new();
    let mut terminal = shell(&lab);
    foreground(&mut terminal);
    terminal.send("\x1a");
    terminal.expect("Stopped");
    terminal.expect("ready> ");
    terminal.send("jobs\n");
    terminal.expect("Stopped");
    terminal.send("fg\n");
    terminal.expect("sleep 1000");
    // The shell gives the terminal away before the program runs again: what is typed then is the program's.
    std::thread::sleep(std::time::Duration::from_millis(200));
    terminal.send("\x03");
    terminal.expect("ready> ");
    terminal.send("echo again=$?\n");
    terminal.expect("again=130\r\n");
}

#[test]
fn the_window_has_our_size_and_follows_it() {
    let lab = Lab::new();
    let mut terminal = shell(&lab);
    terminal.send("stty size\n");
    terminal.expect("24 80\r\n");
    // Not in the shell itself, which gives every command it starts a process group of its own.
    terminal
        .send("sh -c 'trap \"echo resized to \\$(stty size)\" WINCH; echo wait\"\"ing; while :; do sleep 0.1; done'\n");
    terminal.expect("waiting\r\n");
    terminal.resize(40, 100);
    terminal.expect("resized to 40 100\r\n");
    for round in 0..200 {
        terminal.resize(30 + round % 7, 90);
    }
    terminal.resize(50, 132);
    terminal.expect("resized to 50 132\r\n");
}

#[test]
fn the_terminal_is_the_containers_own() {
    let lab = Lab::new();
    let mut terminal = Terminal::start(&lab, busybox_arguments(&["-it"], &["probe", "tty"]));
    assert_eq!(terminal.wait(), 0);
    let shown = terminal.transcript();
    assert!(shown.contains("tty /dev/") && shown.contains("size 24 80"), "{shown}");
    assert!(shown.contains("pid 1 sid 1 pgrp 1 foreground 1") && shown.contains("controlling ok"), "{shown}");
}

#[test]
fn the_terminal_is_restored_when_the_payload_is_killed() {
    let lab = Lab::new();
    let mut terminal = shell(&lab);
    assert!(!terminal.is_restored(), "it should be raw");
    let payload = lab.containers()[0]["Pid"].as_i64().unwrap() as i32;
    kill(Pid::from_raw(payload), Signal::SIGKILL).unwrap();
    assert_eq!(terminal.wait(), 137);
    assert!(terminal.is_restored());
}

#[test]
fn the_terminal_is_restored_when_we_are_told_to_end() {
    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        let lab = Lab::new();
        let mut terminal =
            Terminal::start(&lab, busybox_arguments(&["-it", "--init"], &["sh", "-c", "echo ready; exec sleep 1000"]));
        terminal.expect("ready");
        let payload = lab.containers()[0]["Pid"].as_i64().unwrap() as i32;
        terminal.signal(signal);
        assert_ne!(terminal.wait(), 0);
        assert!(terminal.is_restored(), "after {signal}");
        wait_until("its process is gone", || !crate::support::is_running(payload));
        assert_eq!(lab.containers().len(), 0);
    }
}

#[test]
fn the_terminal_is_restored_when_the_command_cannot_start() {
    let lab = Lab::new();
    let mut terminal = Terminal::start(&lab, busybox_arguments(&["-it"], &["/no/such/command"]));
    assert_eq!(terminal.wait(), 127);
    assert!(terminal.is_restored());
    assert!(terminal.transcript().contains("/no/such/command"), "{}", terminal.transcript());
}

/// CVE-2017-5226, CVE-2023-28100, CVE-2019-10063: nothing can be typed into the user's shell.
#[test]
fn nothing_can_be_typed_into_our_terminal() {
    for flags in [&["-it"][..], &["-i"], &["-t"], &[]] {
        let lab = Lab::new();
        let mut terminal = Terminal::start(&lab, busybox_arguments(flags, &["probe", "inject"]));
        assert_eq!(terminal.wait(), 0);
        let shown = terminal.transcript().replace('\r', "");
        assert!(shown.contains("0 TIOCSTI "), "{shown}");
        for line in shown.lines().filter(|line| line.contains(" TIOC")) {
            assert!(line.ends_with("EPERM"), "{flags:?}: {line}");
        }
    }
}

/// SECURITY.md R18: without `-t` the payload gets pipes or files, never the user's terminal.
#[test]
fn without_t_our_terminal_is_never_passed_in() {
    let inside = "for fd in 0 1 2; do [ -t $fd ] && echo $fd is a terminal; done; probe tty; ls /proc/self/fd -l";
    for flags in [&["-i"][..], &[]] {
        let lab = Lab::new();
        let mut terminal = Terminal::start(&lab, busybox_arguments(flags, &["sh", "-c", inside]));
        assert_eq!(terminal.wait(), 0);
        let shown = terminal.transcript();
        assert!(!shown.contains("is a terminal") && !shown.contains("/dev/pts"), "{shown}");
        assert!(shown.contains("tty none") && shown.contains("controlling ENXIO"), "{shown}");
    }
}

#[test]
fn without_t_what_is_typed_is_read_with_i() {
    let lab = Lab::new();
    let mut terminal =
        Terminal::start(&lab, busybox_arguments(&["-i"], &["sh", "-c", "echo ready; read line; echo got:$line"]));
    terminal.expect("ready");
    terminal.send("typed\n");
    terminal.expect("got:typed");
    assert_eq!(terminal.wait(), 0);
}

#[test]
fn without_t_ctrl_c_reaches_the_payload() {
    let lab = Lab::new();
    let mut terminal =
        Terminal::start(&lab, busybox_arguments(&["--init"], &["sh", "-c", "echo ready; exec sleep 1000"]));
    terminal.expect("ready");
    terminal.send("\x03");
    assert_eq!(terminal.wait(), 130);
    assert!(terminal.is_restored());
}

#[test]
fn t_without_i_shows_and_does_not_read() {
    let lab = Lab::new();
    let script = "[ -t 0 ] && echo terminal; read -t 1 line; echo got:$line";
    let mut terminal = Terminal::start(&lab, busybox_arguments(&["-t"], &["sh", "-c", script]));
    terminal.send("typed\n");
    terminal.expect("terminal");
    assert_eq!(terminal.wait(), 0);
    assert!(terminal.transcript().contains("got:\r\n"), "{}", terminal.transcript());
    assert!(terminal.is_restored());
}

#[test]
fn t_works_without_a_terminal_of_ours() {
    let lab = Lab::new();
    let output = lab.busybox(&["-t"], &["sh", "-c", "[ -t 0 ] && [ -t 1 ] && echo terminal"]);
    assert_eq!(output.ok().text(), "terminal\r");
    let output =
        lab.coracle_with_input(busybox_arguments(&["-it"], &["sh", "-c", "read line; echo got:$line"]), b"piped\n");
    assert!(output.ok().text().contains("got:piped"), "{output:?}");
}

#[test]
fn much_output_comes_through_whole() {
    let lab = Lab::new();
    let mut terminal = Terminal::start(&lab, busybox_arguments(&["-it"], &["seq", "1", "50000"]));
    assert_eq!(terminal.wait(), 0);
    let expected: String = (1..=50000).map(|n| format!("{n}\r\n")).collect();
    assert!(terminal.transcript() == expected, "{} bytes of {}", terminal.transcript().len(), expected.len());
}

#[test]
fn input_is_unchanged_by_the_relay() {
    let lab = Lab::new();
    let script = "stty raw -echo; echo ready; head -c 256 | od -An -v -tu1 | tr -s ' \\n' ' '; echo; echo end";
    let flags = ["-it", "--detach-keys", ""];
    let mut terminal = Terminal::start(&lab, busybox_arguments(&flags, &["sh", "-c", script]));
    terminal.expect("ready");
    // Control characters too, but for those beyond ASCII, which `send` would encode.
    let bytes: String = (0..=127_u8).chain(0..=127).map(char::from).collect();
    terminal.send(&bytes);
    let once: String = (0..=127).map(|n| format!("{n} ")).collect();
    terminal.expect(&format!("{once}{}", once.trim_end()));
    terminal.expect("end");
    assert_eq!(terminal.wait(), 0);
}

#[test]
fn our_terminal_going_away_ends_the_container() {
    let lab = Lab::new();
    let mut terminal = shell(&lab);
    terminal.send("echo $$\n");
    terminal.expect("1\r\n");
    terminal.hang_up();
    wait_until("the container is gone", || lab.containers().is_empty());
    assert_ne!(terminal.wait(), 125);
}

/// Nobody's terminal is pulled down with the command that showed it.
#[test]
fn a_container_outlives_the_command_that_was_killed() {
    let lab = Lab::new();
    let mut terminal = Terminal::start(&lab, busybox_arguments(&["-it", "--name", "left"], &["sh"]));
    terminal.send("echo in$((1+1))\n");
    terminal.expect("in2\r\n");
    terminal.signal(Signal::SIGKILL);
    terminal.wait();
    let mut again = Terminal::start(&lab, ["attach", "left"].map(String::from));
    again.send("exit 3\n");
    assert_eq!(again.wait(), 3);
    wait_until("it is removed, as was asked for", || lab.containers().is_empty());
}

#[test]
fn the_keys_leave_the_container_and_attach_comes_back() {
    let lab = Lab::new();
    let mut arguments = busybox_arguments(&["-it", "--name", "left"], &["sh"]);
    arguments.remove(1); // --rm
    let mut terminal = Terminal::start(&lab, arguments);
    terminal.send("echo in$((1+1))\n");
    terminal.expect("in2\r\n");
    terminal.send("\u{10}\u{11}");
    assert_eq!(terminal.wait(), 0);
    assert!(terminal.is_restored());
    assert_eq!(lab.inspect("left")["State"]["Status"], "running");
    let mut again = Terminal::start(&lab, ["attach", "left"].map(String::from));
    again.send("echo back$((1+1))\n");
    again.expect("back2\r\n");
    // The first key alone is the container's.
    again.send("exit 6\n");
    assert_eq!(again.wait(), 6);
    let mut started = Terminal::start(&lab, ["start", "-ai", "--detach-keys", "a,b", "left"].map(String::from));
    started.send("echo third$((1+1))\n");
    started.expect("third2\r\n");
    started.send("ab");
    assert_eq!(started.wait(), 0);
    lab.coracle(["rm", "-f", "left"]).ok();
    lab.assert_clean();
}
