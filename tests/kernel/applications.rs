//! Programs that need many users, as Debian packages them, run by a user who has one id: once, again after the container was
//! stopped and started, and again in the image that was made of it, pushed and pulled.

use std::time::Duration;

use crate::registry::RealRegistry;
use crate::support::{Lab, fixture, image, output};

/// How long one step may take: dpkg waits for a disk that others use, too.
const PATIENCE: Duration = Duration::from_secs(300);

/// What files of a container belong to, by its own tools.
const OWNERS: &str = "find /etc /home /srv /var /root /usr -xdev \\( ! -user 0 -o ! -group 0 -o -perm /7000 \\) -printf '%y %m %U:%G %p\\n' | \
    grep -v -e /var/log -e /var/cache -e /var/lib/postgresql/15/main/ -e /var/lib/nginx/body/ -e /var/spool/cron/atjobs | sort";

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

#[test]
fn tools_of_many_users_see_them_and_keep_them() {
    let setup = "useradd -m -s /bin/bash -G www-data alice; useradd -m bob; passwd -l bob >/dev/null; groupadd -g 4242 team; \
        echo 'alice ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/alice; chmod 440 /etc/sudoers.d/alice; \
        mkdir -p /srv/a/b; echo x >/srv/a/b/file; ln -s file /srv/a/b/link; mkfifo /srv/a/b/pipe; \
        chown -R alice:team /srv/a; chmod 2775 /srv/a; chmod 4711 /srv/a/b/file; chown -h bob /srv/a/b/link; \
        su alice -c 'git init -q ~/r && cd ~/r && echo x >f && git add f && git -c user.name=a -c user.email=a@a commit -qm m'";
    let check = "su alice -c 'id -un; id -Gn; sudo -n id -u; sudo -n -u bob id -un; whoami'; su - bob -s /bin/bash -c pwd; \
        find /srv/a ! -user alice -printf '%p %u\\n'; \
        rm -rf /tmp/x /tmp/y; mkdir /tmp/x; tar -C /srv -cpf /tmp/a.tar a; tar -C /tmp/x -xpf /tmp/a.tar; rsync -a /srv/a /tmp/y; \
        tree() { (cd $1; find . -printf '%p %y %m %u:%g\\n' | sort); }; \
        [ \"$(tree /srv/a)\" = \"$(tree /tmp/x/a)\" ] && echo tar; [ \"$(tree /srv/a)\" = \"$(tree /tmp/y/a)\" ] && echo rsync; \
        stat -c '%n %U:%G %a' /srv/a /srv/a/b/file /srv/a/b/link /srv/a/b/pipe /etc/shadow /home/alice /usr/bin/sudo; \
        su alice -c 'git -C ~/r log --format=%s'; su bob -c 'git -C /home/alice/r status' 2>&1 | grep -o 'dubious ownership'; \
        setpriv --reuid=bob --regid=bob --clear-groups id -u; \
        strace -f -qq -e trace=setuid -o /tmp/strace su alice -c true; grep -o 'setuid(1000) *= 0' /tmp/strace | tr -s ' '; \
        gdb -q -batch -ex 'catch syscall 107' -ex run --args /usr/bin/id -u 2>&1 | grep -o 'Catchpoint 1 (call' | tail -1; \
        su alice -c 'cd /srv/a && touch new && stat -c %U:%G new && rm new'; su bob -c 'chown bob /srv/a' 2>&1 | grep -o 'not permitted'";
    let expected = "alice\nalice www-data\n0\nbob\nalice\n/home/bob\n/srv/a/b/link bob\ntar\nrsync\n\
        /srv/a alice:team 2775\n/srv/a/b/file alice:team 4711\n/srv/a/b/link bob:team 777\n/srv/a/b/pipe alice:team 644\n\
        /etc/shadow root:shadow 640\n/home/alice alice:alice 755\n/usr/bin/sudo root:root 4755\nm\ndubious ownership\n1001\n\
        setuid(1000) = 0\nCatchpoint 1 (call\nalice:team\nnot permitted";
    through_all_stages("services", &[], setup, check, expected);
}

/// apt downloads as its own user, packages make users and give them files, and their servers become these users.
#[test]
fn apt_installs_servers_that_change_their_user() {
    let repository = format!("{}:/repository:ro", fixture("apt").display());
    let setup = "rm -f /etc/apt/sources.list.d/*; echo 'deb [trusted=yes] copy:/repository ./' >/etc/apt/sources.list; \
        apt-get -q update >/tmp/update; apt-get -q -y --no-install-recommends install nginx-light redis-server dbus cron >/tmp/install 2>&1; \
        sed -i 's/listen 80/listen 8080/; s/listen \\[::\\]:80/listen [::]:8080/; s/server {/server { client_body_in_file_only on; client_max_body_size 1m; location = \\/post { proxy_pass http:\\/\\/127.0.0.1:8080\\/; }/' /etc/nginx/sites-available/default; \
        useradd -m alice; echo 'echo \"$(id -un)\" >/home/alice/by-cron' >/home/alice/job; chown alice /home/alice/job; \
        echo '* * * * * sh /home/alice/job' | crontab -u alice -";
    let check = "stat -c '%U %a' /var/lib/apt/lists/partial; \
        nginx; exec 3<>/dev/tcp/127.0.0.1/8080; printf 'POST /post HTTP/1.0\\r\\nContent-Length: 4\\r\\n\\r\\nbody' >&3; head -1 <&3 | tr -d '\\r'; \
        find /var/lib/nginx/body -type f -printf '%u\\n' | sort -u; nginx -s stop; \
        setpriv --reuid=redis --regid=redis --init-groups redis-server --port 0 --unixsocket /run/test-redis.sock --dir /var/lib/redis --daemonize yes >/dev/null; \
        while ! redis-cli -s /run/test-redis.sock ping 2>/dev/null; do sleep 0.1; done; redis-cli -s /run/test-redis.sock set k v; \
        redis-cli -s /run/test-redis.sock save; redis-cli -s /run/test-redis.sock shutdown nosave || true; stat -c '%U:%G' /var/lib/redis/dump.rdb; \
        mkdir -p /run/dbus; rm -f /run/dbus/pid; dbus-daemon --system --fork --print-pid >/run/test-dbus.pid; \
        su alice -c 'dbus-send --system --print-reply --dest=org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus.GetConnectionUnixUser string:org.freedesktop.DBus' | grep -o 'uint32 .*' | tr -d a-z; \
        id -u messagebus; kill $(cat /run/test-dbus.pid); \
        stat -c '%U:%G %a' /var/spool/cron/crontabs/alice /usr/bin/crontab; su alice -c 'crontab -l'";
    let expected = "_apt 700\nHTTP/1.1 405 Not Allowed\nwww-data\nPONG\nOK\nOK\nredis:redis\n32 100\n100\nalice:crontab 600\nroot:crontab 2755\n* * * * * sh /home/alice/job";
    through_all_stages("debian-owned", &["-v", &repository], setup, check, expected);
}

/// cron wakes once a minute.
#[test]
fn cron_runs_jobs_as_their_users() {
    let lab = Lab::new();
    let repository = format!("{}:/repository:ro", fixture("apt").display());
    let world = World::start(&lab, "cron", &image("debian-owned"), &["-v", &repository]);
    world.sh("dpkg -i /repository/cron-daemon-common*.deb >/dev/null; dpkg -i /repository/sensible-utils*.deb /repository/cron_*.deb >/dev/null; useradd -m alice; \
        echo '* * * * * id -un >/home/alice/by-cron' | crontab -u alice -; cron");
    let seen = world.sh("while [ ! -s /home/alice/by-cron ]; do sleep 0.2; done; cat /home/alice/by-cron; stat -c %U /home/alice/by-cron");
    assert_eq!(seen, "alice\nalice");
    lab.coracle(["rm", "-f", "-t", "0", "cron"]).ok();
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
