//! Programs that need many users, as Debian packages them, run by a user who has one id: once, again after the container was
//! stopped and started, and again in the image that was made of it, pushed and pulled.

use std::time::Duration;

use crate::registry::RealRegistry;
use crate::support::{Lab, image, output};

/// How long one step may take: dpkg waits for a disk that others use, too.
const PATIENCE: Duration = Duration::from_secs(300);

/// What files of a container belong to, by its own tools.
const OWNERS: &str = "find /etc /home /srv /var /root /usr -xdev \\( ! -user 0 -o ! -group 0 -o -perm /7000 \\) -printf '%y %m %U:%G %p\\n' | \
    grep -v -e /var/log -e /var/cache -e /var/lib/postgresql/15/main/ -e /var/spool/cron/atjobs | sort";

/// A container that lives for a while, and in which programs are executed.
struct World<'a> {
    lab: &'a Lab,
    name: &'a str,
}

impl World<'_> {
    fn sh(&self, script: &str) -> String {
        let script = format!("set -e; export DEBIAN_FRONTEND=noninteractive; {script}");
        let output = output::run(&mut self.lab.command(["exec", self.name, "bash", "-c", &script]), &[], PATIENCE);
        output.ok().text()
    }

    fn start<'a>(lab: &'a Lab, name: &'a str, image: &str, flags: &[&str]) -> World<'a> {
        let arguments =
            [&["run", "-d", "--ids=emulate", "--name", name], flags, &[image, "sleep", "infinity"]].concat();
        output::run(&mut lab.command(arguments), &[], PATIENCE).ok();
        World { lab, name }
    }
}

/// Prepares a container of `from` by `setup`, and has `check` say the same in it at each stage. Owners stay what they are.
fn through_all_stages(from: &str, flags: &[&str], setup: &str, check: &str, expected: &str) {
    let lab = Lab::new();
    let first = World::start(&lab, "first", &image(from), flags);
    first.sh(setup);
    assert_eq!(first.sh(check), expected, "at first");
    let owners = first.sh(OWNERS);
    assert!(owners.lines().count() > 3, "{owners}");
    lab.coracle(["stop", "-t", "2", "first"]).ok();
    lab.coracle(["start", "first"]).ok();
    assert_eq!(first.sh(OWNERS), owners, "owners after a stop and a start");
    assert_eq!(first.sh(check), expected, "after a stop and a start");
    lab.coracle(["stop", "-t", "2", "first"]).ok();
    let registry = RealRegistry::start("");
    let there = registry.image("made:1");
    output::run(&mut lab.command(["commit", "-q", "first", "made"]), &[], PATIENCE).ok();
    output::run(&mut lab.command(["push", "-q", "--tls-verify=false", "made", &there]), &[], PATIENCE).ok();
    lab.coracle(["rmi", "made"]).ok();
    output::run(&mut lab.command(["pull", "-q", "--tls-verify=false", &there]), &[], PATIENCE).ok();
    let second = World::start(&lab, "second", &there, flags);
    assert_eq!(second.sh(OWNERS), owners, "owners after commit, push and pull");
    assert_eq!(second.sh(check), expected, "after commit, push and pull");
    lab.coracle(["rm", "-f", "-t", "0", "first", "second"]).ok();
}

#[test]
fn postgres_is_initialised_started_and_knows_its_peers() {
    let setup = "su postgres -c '/usr/lib/postgresql/15/bin/initdb -N -A peer -D /var/lib/postgresql/new' >/dev/null; \
        useradd -m alice; echo 'fsync = off' >>/etc/postgresql/15/main/postgresql.conf";
    let check = "pg_ctlcluster 15 main start; \
        su postgres -c \"psql -Atc 'select current_user'\"; \
        su postgres -c 'createuser alice' 2>/dev/null || true; \
        su alice -c \"psql -Atc 'select current_user' postgres\"; \
        psql -U postgres -c 'select 1' 2>&1 | grep -o 'Peer authentication failed'; \
        stat -c '%U %G %a' /var/lib/postgresql/new /var/run/postgresql/.s.PGSQL.5432; \
        pg_ctlcluster 15 main stop; \
        su postgres -c '/usr/lib/postgresql/15/bin/pg_ctl -s -w -D /var/lib/postgresql/new -o \"-p 5433\" start' >/dev/null; \
        su postgres -c 'psql -p 5433 -Atc \"select 1\"'; su postgres -c '/usr/lib/postgresql/15/bin/pg_ctl -s -D /var/lib/postgresql/new stop'";
    let expected = "postgres\nalice\nPeer authentication failed\npostgres postgres 700\npostgres postgres 777\n1";
    through_all_stages("services", &[], setup, check, expected);
}

#[test]
fn a_user_logs_in_over_ssh() {
    let setup = "useradd -m -s /bin/bash alice; install -d -m 700 -o alice -g alice /home/alice/.ssh; mkdir -p -m 700 /root/.ssh; \
        ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id; install -m 600 -o alice -g alice /root/.ssh/id.pub /home/alice/.ssh/authorized_keys; \
        mkdir -p /run/sshd";
    let check = "mkdir -p /run/sshd; /usr/sbin/sshd -p 2222 -o ListenAddress=127.0.0.1 -o PidFile=/run/test-sshd.pid; \
        ssh() { command ssh -q -p 2222 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -i /root/.ssh/id \"$@\"; }; \
        ssh alice@127.0.0.1 'id -un; id -u; pwd; rm -f x; umask 022; echo >x; stat -c %U:%G:%a x; sudo -n true 2>/dev/null || echo no'; \
        ssh root@127.0.0.1 true 2>/dev/null || echo refused; \
        kill $(cat /run/test-sshd.pid); while [ -e /run/test-sshd.pid ]; do sleep 0.1; done";
    through_all_stages("services", &[], setup, check, "alice\n1000\n/home/alice\nalice:alice:644\nno\nrefused");
}

/// Without the GNU C library, and without any: nothing depends on what a program is linked to.
#[test]
fn busybox_and_musl_have_users_too() {
    for from in ["busybox", "musl"] {
        let lab = Lab::new();
        let sh = |container: &str, script: &str| {
            lab.coracle(["exec", container, "sh", "-c", &format!("set -e; {script}")]).ok().text()
        };
        let start = |name: &str, image: &str| {
            lab.coracle(["run", "-d", "--ids=emulate", "--name", name, image, "sleep", "1000"]).ok();
        };
        start("c", &image(from));
        sh(
            "c",
            "echo bob:x:1001:1001::/home/bob:/bin/sh >>/etc/passwd; echo bob:x:1001: >>/etc/group; mkdir /home/bob; \
             chown bob:bob /home/bob; mkdir -p /srv/d; echo x >/srv/d/f; ln -s f /srv/d/l; chown -R bob:staff /srv/d; \
             chown -h app /srv/d/l; chmod 4755 /srv/d/f; cp /bin/identities /bin/sid; chown app:audio /bin/sid; chmod 6755 /bin/sid",
        );
        let check = "su bob -s /bin/sh -c 'id -u; id -un; : >/home/bob/x; stat -c %U:%G /home/bob/x'; \
            stat -c '%n %U:%G %a' /srv/d /srv/d/f /srv/d/l /bin/sid; su bob -s /bin/sh -c '/bin/sid state' | cut -d' ' -f1-4; \
            rm -rf /tmp/x; mkdir /tmp/x; tar -C /srv -cf - d | tar -C /tmp/x -xpf -; stat -c '%U:%G %a' /tmp/x/d/f";
        let expected = "1001\nbob\nbob:bob\n/srv/d bob:staff 755\n/srv/d/f bob:staff 4755\n/srv/d/l app:staff 777\n\
            /bin/sid app:audio 6755\nuid 1001/1000/1000/1000 gid 1001/29/29/29\nbob:staff 4755";
        assert_eq!(sh("c", check), expected, "{from}");
        lab.coracle(["restart", "-t", "0", "c"]).ok();
        assert_eq!(sh("c", check), expected, "{from} after a restart");
        lab.coracle(["commit", "-q", "c", "made"]).ok();
        start("again", "made");
        assert_eq!(sh("again", check), expected, "{from} in the image made of it");
        lab.coracle(["rm", "-f", "-t", "0", "c", "again"]).ok();
    }
}
