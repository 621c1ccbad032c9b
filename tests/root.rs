//! What root is given: the same containers, without the limits of one mapped id. `tests/run` runs this program as root.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;

use support::{Detached, Lab, descendants, image, is_running, parent, wait_until};

#[test]
fn root_is_who_runs_this() {
    assert!(nix::unistd::geteuid().is_root(), "tests/as-user must run this program as root");
}

#[test]
fn root_runs_containers_and_images() {
    let lab = Lab::new();
    assert_eq!(lab.sh(&[], "id -u; echo $$"), "0\n1");
    assert_eq!(lab.run_image("busybox", &[], &["echo", "ran"]).ok().text(), "ran");
    lab.assert_clean();
}

#[test]
fn root_changes_owners_inside() {
    let lab = Lab::new();
    let script =
        "touch /x && chown 33:1000 /x && stat -c %u:%g /x && su app -c 'id -u; touch /tmp/y; stat -c %u:%g /tmp/y'";
    assert_eq!(lab.sh(&["--security-opt", "no-new-privileges=false"], script), "33:1000\n1000\n1000:1000");
}

#[test]
fn root_of_a_container_has_a_user_namespace() {
    let lab = Lab::new();
    assert_ne!(
        lab.sh(&[], "readlink /proc/self/ns/user"),
        fs::read_link("/proc/self/ns/user").unwrap().to_str().unwrap()
    );
}

#[test]
fn root_cannot_reach_the_hosts_kernel_from_inside() {
    let lab = Lab::new();
    let before = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let script = "mount -t tmpfs none /tmp 2>/dev/null && echo mounted; hostname evil 2>/dev/null && echo renamed; \
        echo 1 2>/dev/null >/proc/sys/kernel/panic && echo written; mknod /tmp/x b 8 0 2>/dev/null && cat /tmp/x | head -c 1; true";
    assert_eq!(lab.sh(&["--cap-add", "MKNOD"], script), "");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), before);
}

#[test]
fn root_groups_are_the_images() {
    let lab = Lab::new();
    assert_eq!(lab.sh(&["-u", "app"], "id -G"), "1000 29 50");
    assert_eq!(lab.sh(&[], "id -G"), "0");
}

/// Memory of another process can be read by root only: hence here. The release binary needs half of what podman's conmon does;
/// that of a debug build is larger, and has a bound too.
#[test]
fn root_measures_what_stays_behind_a_detached_container() {
    let lab = Lab::new();
    let container = Detached::start(&lab, &[], &["sleep", "1000"]);
    let stat = fs::read_to_string(format!("/proc/{}/stat", container.pid())).unwrap();
    let monitor: i32 = stat[stat.rfind(')').unwrap()..].split(' ').nth(2).unwrap().parse().unwrap();
    let bound = if support::is_release() { 500 } else { 2000 };
    // It gives memory back when nothing has happened for a moment.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let rollup = fs::read_to_string(format!("/proc/{monitor}/smaps_rollup")).unwrap();
        let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap().trim().trim_end_matches(" kB");
        if pss.parse::<u32>().unwrap() <= bound {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "the monitor has a PSS of {pss} kB:\n{rollup}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn root_and_a_user_do_not_share_a_store() {
    let lab = Lab::new();
    lab.pull("busybox");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(lab.store()).unwrap().permissions().mode() & 0o077, 0);
    let mut user = lab.program("/usr/bin/setpriv");
    user.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(support::coracle_path());
    let output = support::output::run(
        user.args(["run", "--rm", "--pull", "never", &image("busybox"), "true"]),
        &[],
        support::LIMIT,
    );
    output.exited(125);
}

/// With several ids inside, a process can be started as any user, with that user's groups, home and capabilities.
#[test]
fn root_executes_as_other_users() {
    let lab = Lab::new();
    for flags in [&[][..], &["--init"], &["-u", "app"]] {
        let container = Detached::start(&lab, flags, &["sleep", "1000"]);
        let sh = |flags: &[&str], script: &str| {
            let words = [&["exec"], flags, &[&container.id, "sh", "-c", script]].concat();
            lab.coracle(words).ok().text()
        };
        assert_eq!(sh(&["-u", "app"], "id -u; id -G; echo $HOME; grep CapEff /proc/self/status").replace('\t', " "), {
            let home = lab.sh(&["-u", "app"], "echo $HOME");
            format!("1000\n1000 29 50\n{home}\nCapEff: 0000000000000000")
        });
        assert_eq!(sh(&["-u", "33:44"], "id -u; id -g"), "33\n44");
        assert_eq!(sh(&["-u", "0"], "id -u; id -G"), "0\n0");
        let own = if flags == ["-u", "app"] { "1000\n1000 29 50" } else { "0\n0" };
        assert_eq!(sh(&[], "id -u; id -G"), own);
        let tty = sh(&["-t", "-u", "0"], "tty").replace('\r', "");
        assert!(tty.starts_with("/dev/pts/"), "{tty}");
    }
}

/// A change of user makes the kernel forget with whom a process is to end.
#[test]
fn root_processes_of_other_users_end_with_their_parents() {
    let lab = Lab::new();
    let container = Detached::start(&lab, &["-u", "app"], &["sleep", "1000"]);
    let mut running = lab.spawn(["exec", "-u", "33:44", &container.id, "sh", "-c", "echo up; exec sleep 1000"]);
    running.expect("up");
    let process = descendants(running.pid())[0];
    running.signal(nix::sys::signal::Signal::SIGKILL);
    wait_until("the process has ended", || !is_running(process));
    let init = container.pid();
    let monitor = parent(init).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(monitor), nix::sys::signal::Signal::SIGKILL).unwrap();
    wait_until("the container has ended", || !is_running(init));
}

#[test]
fn root_pauses_and_looks_at_processes_of_other_users() {
    let lab = Lab::new();
    let container = Detached::start(&lab, &["-u", "app"], &["sleep", "1000"]);
    let top = lab.coracle(["top", &container.id, "user", "huser", "capeff"]).ok().text();
    let row: Vec<&str> = top.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row, ["app", "1000", "none"]);
    let state = || fs::read_to_string(format!("/proc/{}/stat", container.pid())).unwrap();
    lab.coracle(["pause", &container.id]).ok();
    support::wait_until("it is stopped", || state().contains(") T "));
    lab.coracle(["unpause", &container.id]).ok();
    support::wait_until("it goes on", || state().contains(") S "));
}

/// Control groups of version 2 that were delegated to a user, in a mount namespace that shows no others: who made them is root.
/// Which controllers version 2 has here is the machine's affair; to freeze and to kill needs none.
#[test]
fn root_delegates_a_v2_group() {
    let lab = Lab::new();
    let user = "coracle-test";
    let prepare = format!(
        "set -e
        if [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then
            umount -R /sys/fs/cgroup
            mount -t cgroup2 cgroup2 /sys/fs/cgroup
        fi
        parent=/sys/fs/cgroup/$(basename {lab})
        sed 's/\\<./+&/g' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
        mkdir $parent $parent/runner
        for group in $parent $parent/runner; do
            chown {user}: $group $group/cgroup.procs $group/cgroup.subtree_control
        done
        home=$(mktemp -d /var/tmp/coracle-v2.XXXXXX)
        chown {user}: $home
        leave() {{
            echo $$ >/sys/fs/cgroup/cgroup.procs
            # The kernel takes its time to bury what has connected the last container's network.
            while grep -q 'populated 1' $parent/cgroup.events; do sleep 0.01; done
            find $parent -depth -type d -exec rmdir {{}} +
            rm -rf $home
        }}
        trap leave EXIT
        echo $$ >$parent/runner/cgroup.procs
        cd /
        setpriv --reuid {user} --regid {user} --clear-groups \
            env -u XDG_DATA_HOME -u XDG_CONFIG_HOME -u XDG_CACHE_HOME -u XDG_RUNTIME_DIR HOME=$home bash -eu -c \"$SCRIPT\"",
        lab = lab.root().display()
    );
    let script = r#"
        run() { "$CORACLE" "$@"; }
        run info --format '{{.Host.CgroupVersion}} {{.Host.CgroupManager}} {{.Host.CgroupDelegated}}'
        id=$(run run -d --cgroups=enabled --rootfs "$ROOTFS:O" sh -c 'while :; do :; done')
        pid=$(run inspect --format '{{.State.Pid}}' $id)
        grep -q "^0::/.*/coracle-$id/container$" /proc/$pid/cgroup && echo inside
        run exec $id cat /proc/self/cgroup | grep '^0::'
        used() { cut -d' ' -f14 /proc/$pid/stat; }
        run pause $id >/dev/null
        before=$(used); end=$(($(date +%s%N) + 300000000))
        until [ "$(date +%s%N)" -gt $end ]; do :; done
        [ "$(used)" = "$before" ] && echo frozen
        run unpause $id >/dev/null
        until [ "$(used)" != "$before" ]; do :; done; echo running
        run pause $id >/dev/null
        run rm -f $id >/dev/null
        find /sys/fs/cgroup -name "coracle-$id"
        run run --rm --cgroups=enabled --rootfs "$ROOTFS:O" sh -c 'ls /sys/fs/cgroup | grep -c cgroup.procs; cat /proc/self/cgroup | grep 0::'
        run run --rm --cgroup-conf nothing.max=1 --rootfs "$ROOTFS:O" true 2>&1 | grep -o E_LIMIT_UNENFORCEABLE
        if grep -qw hugetlb /sys/fs/cgroup/cgroup.controllers; then
            run run --rm --cgroup-conf hugetlb.2MB.max=4194304 --rootfs "$ROOTFS:O" true && echo limited
        else
            echo limited
        fi
    "#;
    let rootfs = support::busybox_tree();
    let output = support::output::run(
        lab.program("unshare")
            .args(["--mount", "bash", "-c", &prepare, "bash"])
            .env("SCRIPT", script)
            .env("CORACLE", support::coracle_path())
            .env("ROOTFS", &rootfs),
        &[],
        support::LIMIT,
    );
    assert_eq!(
        output.ok().text(),
        "v2 cgroupfs true\ninside\n0::/\nfrozen\nrunning\n1\n0::/\nE_LIMIT_UNENFORCEABLE\nlimited"
    );
}
