//! `containers.conf`: what containers are by default.

use crate::support::{LIMIT, Lab, Output, busybox_arguments, output};

/// `run --rm FLAGS … COMMAND` with this file as the user's.
fn run(lab: &Lab, conf: &str, flags: &[&str], command: &[&str]) -> Output {
    let config = lab.write("config/containers/containers.conf", conf);
    let mut coracle = lab.command(busybox_arguments(flags, command));
    coracle.env("XDG_CONFIG_HOME", config.parent().unwrap().parent().unwrap());
    output::run(&mut coracle, &[], LIMIT)
}

fn sh(lab: &Lab, conf: &str, flags: &[&str], script: &str) -> String {
    run(lab, conf, flags, &["sh", "-c", script]).ok().text()
}

#[test]
fn values_are_defaults_and_flags_win() {
    let lab = Lab::new();
    let conf = "[containers]
umask = \"0077\"
env = [\"GREETING=configured\", \"OTHER=1\"]
tz = \"Asia/Kolkata\"
userns = \"keep-id:uid=7,gid=8\"
default_sysctls = [\"net.ipv4.ip_forward=1\"]
shm_size = \"1m\"
default_ulimits = [\"nofile=77:77\"]
";
    let script = "umask; echo $GREETING $OTHER; date -d @0 +%H:%M; id -u; cat /proc/sys/net/ipv4/ip_forward; ulimit -n
        df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2";
    assert_eq!(sh(&lab, conf, &[], script), "0077\nconfigured 1\n05:30\n7\n1\n77\n1024");
    let flags =
        ["--umask=0022", "-e", "GREETING=given", "--tz=UTC", "--userns=private", "--sysctl=net.ipv4.ip_forward=0"];
    let flags = [&flags[..], &["--ulimit=nofile=88:88", "--shm-size=2m"]].concat();
    assert_eq!(sh(&lab, conf, &flags, script), "0022\ngiven 1\n00:00\n0\n0\n88\n2048");
}

#[test]
fn switches_can_be_switched_off_again() {
    let lab = Lab::new();
    let conf = "[containers]\nread_only = true\ninit = true\n";
    let script = "touch /x 2>/dev/null && echo written; cat /proc/1/comm; true";
    assert_eq!(sh(&lab, conf, &[], script), "coracle-init");
    assert_eq!(sh(&lab, conf, &["--read-only=false", "--init=false"], script), "written\nsh");
}

#[test]
fn volumes_capabilities_and_the_profile() {
    let lab = Lab::new();
    lab.write("shared/file", "from the host\n");
    let conf = format!(
        "[containers]\nvolumes = [\"{}:/shared:ro\"]\ndefault_capabilities = [\"CHOWN\", \"SYS_PTRACE\"]\n",
        lab.arg("shared")
    );
    let script = "cat /shared/file; grep CapBnd /proc/self/status | cut -f2";
    assert_eq!(sh(&lab, &conf, &[], script), "from the host\n0000000000080001");
    assert_eq!(
        sh(
            &lab,
            &conf,
            &["--cap-drop=SYS_PTRACE", "--tmpfs=/shared"],
            "ls /shared; grep CapBnd /proc/self/status | cut -f2"
        ),
        { "0000000000000001" }
    );
    assert_eq!(sh(&lab, &conf, &["--cap-drop=all"], "grep CapBnd /proc/self/status | cut -f2"), "0000000000000000");
    let conf = "[containers]\nseccomp_profile = \"/no/such/profile\"\n";
    run(&lab, conf, &[], &["true"]).refused(125, "E_SECCOMP").says("/no/such/profile");
    run(&lab, conf, &["--security-opt", "seccomp=unconfined"], &["true"]).ok();
}

/// A setting of the machine that this container's namespaces cannot have is left out; the same on the command line is refused.
#[test]
fn a_default_that_does_not_fit_is_left_out() {
    let lab = Lab::new();
    let conf = "[containers]\ndefault_sysctls = [\"net.ipv4.ping_group_range=0 0\"]\npids_limit = 2048\n";
    run(&lab, conf, &["--network", "host"], &["true"]).ok();
    run(&lab, "[containers]\npids_limit = 0\n", &[], &["true"]).ok();
}

#[test]
fn a_broken_file_is_a_warning_with_its_place() {
    let lab = Lab::new();
    let broken = run(&lab, "[containers]\numask = \"0077\"\ntz = \n", &[], &["sh", "-c", "umask"]);
    assert_eq!(broken.ok().says("containers.conf: line 3 column").text(), "0022");
    let kind = run(&lab, "[containers]\nunknown = 1\numask = 77\ninit = \"yes\"\n", &[], &["cat", "/proc/1/comm"]);
    assert_eq!(kind.ok().says("line 4 column 1: containers.init is not true or false").text(), "cat");
    let value = run(&lab, "[containers]\numask = \"rwx\"\n", &[], &["true"]);
    value.refused(125, "E_CONFIG").says("containers.conf").says("rwx");
    run(&lab, "[containers]\numask = \"rwx\"\n", &["--umask", "0"], &["true"]).ok();
    for verb in ["version", "info", "ps"] {
        let mut command = lab.command([verb]);
        command.env("XDG_CONFIG_HOME", lab.path("config"));
        output::run(&mut command, &[], LIMIT).ok();
    }
}

#[test]
fn files_are_merged_and_variables_name_others() {
    let lab = Lab::new();
    lab.write("config/containers/containers.conf.d/10-a.conf", "[containers]\nenv = [\"B=2\", {append = true}]\n");
    lab.write("config/containers/containers.conf.d/20-b.conf", "[containers]\numask = \"0002\"\n");
    lab.write("config/containers/containers.conf.d/ignored.txt", "[containers]\numask = \"0777\"\n");
    let conf = "[containers]\nenv = [\"A=1\"]\numask = \"0077\"\n";
    assert_eq!(sh(&lab, conf, &[], "echo $A $B; umask"), "1 2\n0002");
    let named = lab.write("named.conf", "[containers]\numask = \"0027\"\n");
    let with = |variables: &[(&str, &str)]| {
        let mut command = lab.command(busybox_arguments(&[], &["sh", "-c", "umask; echo $A"]));
        command.env("XDG_CONFIG_HOME", lab.path("config")).envs(variables.iter().copied());
        output::run(&mut command, &[], LIMIT)
    };
    let named = named.to_str().unwrap();
    assert_eq!(with(&[("CONTAINERS_CONF", named)]).ok().text(), "0027\n");
    assert_eq!(with(&[("CONTAINERS_CONF_OVERRIDE", named)]).ok().text(), "0027\n1");
    with(&[("CONTAINERS_CONF", "/no/such.conf")]).ok().says("/no/such.conf");
}

#[test]
fn the_view_of_the_own_id_may_come_from_the_environment() {
    let lab = Lab::new();
    let mut command = lab.command(busybox_arguments(&[], &["id", "-u"]));
    command.env("PODMAN_USERNS", "keep-id:uid=99");
    assert_eq!(output::run(&mut command, &[], LIMIT).ok().text(), "99");
    let mut command = lab.command(busybox_arguments(&["--userns=host"], &["id", "-u"]));
    command.env("PODMAN_USERNS", "keep-id:uid=99");
    assert_eq!(output::run(&mut command, &[], LIMIT).ok().text(), "0");
}
