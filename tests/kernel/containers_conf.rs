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

#[test]
fn names_and_networks_have_defaults() {
    let lab = Lab::new();
    lab.write("hosts", "192.0.2.7 nas\n");
    let conf = format!(
        "[containers]\ncontainer_name_as_hostname = true\nbase_hosts_file = \"{}\"\nnetns = \"none\"\n\
         dns_servers = [\"192.0.2.53\"]\ndns_searches = [\"example.test\"]\ndns_options = [\"ndots:3\"]\n",
        lab.arg("hosts")
    );
    let script = "hostname; grep -c nas /etc/hosts; ls /sys/class/net; grep -v '^#' /etc/resolv.conf";
    // The helper of the tests says --network none itself.
    let said = |flags: &[&str]| {
        let busybox = format!("{}:O", crate::support::busybox_tree().display());
        let config = lab.write("config/containers/containers.conf", &conf);
        let arguments = [&["run", "--rm", "--name=web"], flags, &["--rootfs", &busybox, "sh", "-c", script]].concat();
        let mut coracle = lab.command(arguments);
        coracle.env("XDG_CONFIG_HOME", config.parent().unwrap().parent().unwrap());
        output::run(&mut coracle, &[], LIMIT).ok().text()
    };
    let resolver = "nameserver 192.0.2.53\noptions ndots:3";
    assert_eq!(said(&[]), format!("web\n1\nlo\nsearch example.test\n{resolver}"));
    let given = ["--hostname=given", "--hosts-file=none", "--dns-search=given.test"];
    assert_eq!(said(&given), format!("given\n0\nlo\nsearch given.test\n{resolver}"));
    // A flag that cannot be had together with the default wins.
    assert!(said(&["--uts=host"]).contains("\n1\nlo\n"));
    let conf = "[containers]\nno_hosts = true\n";
    assert_eq!(sh(&lab, conf, &[], "cat /etc/hosts 2>/dev/null | wc -l"), "0");
    assert_eq!(sh(&lab, conf, &["--add-host=nas:192.0.2.7"], "grep -c nas /etc/hosts"), "1");
    for (conf, word) in [
        ("[containers]\nnetns = \"container:missing\"\n", "missing"),
        ("[network]\ndefault_rootless_network_cmd = \"other network\"\n", "other network"),
        ("[network]\npasta_options = [\"--no-such-option\"]\n", "--no-such-option"),
    ] {
        let busybox = format!("{}:O", crate::support::busybox_tree().display());
        let config = lab.write("config/containers/containers.conf", conf);
        let mut coracle = lab.command(["run", "--rm", "--rootfs", &busybox, "true"]);
        coracle.env("XDG_CONFIG_HOME", config.parent().unwrap().parent().unwrap());
        let said = output::run(&mut coracle, &[], LIMIT);
        assert!(said.code == 125, "{conf}");
        said.says(word);
    }
}

#[test]
fn devices_privileges_and_hooks_have_defaults() {
    let lab = Lab::new();
    assert_eq!(sh(&lab, "[containers]\ndevices = [\"/dev/fuse\"]\n", &[], "ls /dev/fuse"), "/dev/fuse");
    let bounding = "grep CapBnd /proc/self/status | cut -f2 | tr -d 0";
    let all = sh(&lab, "", &["--privileged"], bounding);
    assert_eq!(sh(&lab, "[containers]\nprivileged = true\n", &[], bounding), all);
    assert_ne!(sh(&lab, "", &[], bounding), all);
    let marker = lab.arg("executed");
    let hook = format!(
        "{{\"version\": \"1.0.0\", \"hook\": {{\"path\": \"/bin/touch\", \"args\": [\"touch\", \"{marker}\"]}}, \
         \"when\": {{\"always\": true}}, \"stages\": [\"poststop\"]}}"
    );
    lab.write("hooks/one.json", hook);
    let conf = format!("[engine]\nhooks_dir = [\"{}\", \"/no/such\"]\n", lab.arg("hooks"));
    run(&lab, &conf, &[], &["true"]).ok();
    assert!(std::path::Path::new(&marker).exists());
}
