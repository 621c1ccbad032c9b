//! Networks of root: attached to the host by devices of the kernel and rules of nftables, on a host that the test makes, which is a network
//! namespace with a neighbour. `tests/run` runs this program as root.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use support::output::Output;
use support::{LIMIT, Lab, Running, busybox_arguments, output, parent, wait_until};

/// Prints who asks.
const WHO: &str = "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\necho \"$REMOTE_ADDR\"\n";

/// A host, 192.0.2.1 and 2001:db8::1, with one neighbour, 192.0.2.9 and 2001:db8::9, over which all ways lead.
struct World {
    lab: Lab,
    host: Running,
    neighbour: Running,
}

impl World {
    fn new() -> Self {
        let lab = Lab::new();
        let start = || {
            let script = "ip link set lo up; echo up; exec sleep 1000";
            let mut running = Running::start(lab.program("unshare").args(["-n", "sh", "-ec", script]));
            running.expect("up");
            running
        };
        let (host, neighbour) = (start(), start());
        let who = lab.write("www/cgi-bin/who", WHO);
        fs::set_permissions(who, fs::Permissions::from_mode(0o755)).unwrap();
        let world = Self { lab, host, neighbour };
        let pid = world.neighbour.pid();
        world.host(&format!("ip link add lan0 type veth peer name lan0 netns {pid}"));
        for (running, number) in [(&world.host, 1), (&world.neighbour, 9)] {
            let script = format!(
                "ip addr add 192.0.2.{number}/24 dev lan0; ip addr add 2001:db8::{number}/64 dev lan0 nodad; ip link set lan0 up"
            );
            world.at(running, &["sh", "-ec", &script]).ok();
        }
        world.host("ip route add default via 192.0.2.9; ip -6 route add default via 2001:db8::9");
        world
    }

    fn at(&self, running: &Running, words: &[&str]) -> Output {
        let mut command = self.lab.program("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", running.pid())).args(words);
        output::run(&mut command, &[], LIMIT)
    }

    /// A script on the host.
    fn host(&self, script: &str) -> String {
        self.at(&self.host, &["sh", "-ec", script]).ok().text()
    }

    fn coracle(&self, words: &[&str]) -> Output {
        let coracle = support::coracle_path();
        self.at(&self.host, &[&[coracle.to_str().unwrap()], words].concat())
    }

    fn start(&self, name: &str, flags: &[&str], command: &[&str]) {
        let flags = [&["--name", name, "--cap-add", "net_raw"], flags].concat();
        let mut words = busybox_arguments(&flags, command);
        words[1] = "-d".to_owned();
        self.coracle(&words.iter().map(String::as_str).collect::<Vec<_>>()).ok();
    }

    /// A web server that tells who asks.
    fn serve(&self, name: &str, flags: &[&str]) {
        let mount = format!("{}:/www:ro", self.lab.path("www").display());
        self.start(name, &[&["-v", &mount], flags].concat(), &["httpd", "-f", "-p", "80", "-h", "/www"]);
    }

    fn exec(&self, name: &str, script: &str) -> Output {
        self.coracle(&["exec", name, "sh", "-c", script])
    }

    /// Who asked, if the server was reached.
    fn asked(&self, by: &Running, address: &str) -> Option<String> {
        let output = self.at(by, &["curl", "-gfsS", "-m", "5", &format!("http://{address}/cgi-bin/who")]);
        (output.code == 0).then(|| output.text())
    }

    #[track_caller]
    fn assert_asked(&self, by: &Running, address: &str, who: &str) {
        wait_until("the server is reached", || self.asked(by, address).is_some());
        let asked = self.asked(by, address).unwrap();
        assert!(asked.contains(who), "{address} was asked by {asked}, not {who}");
    }

    /// The process that holds a network.
    fn holder(&self, network: &str) -> Option<i32> {
        let path = self.lab.root().join(format!("runtime/coracle/networks/{network}/holder.json"));
        let record: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        let pid = i32::try_from(record["pid"].as_i64()?).ok()?;
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        (name.trim() == "coracle-netns").then_some(pid)
    }

    /// Waits until the host is as it was.
    fn assert_untouched(&self) {
        let devices = || self.host("ls /proc/sys/net/ipv4/conf");
        wait_until("the devices are gone", || devices() == "all\ndefault\nlan0\nlo");
        wait_until("the rules are gone", || self.host("nft list ruleset").is_empty());
    }
}

#[test]
fn root_is_connected_by_devices() {
    let world = World::new();
    let subnets = ["--subnet", "10.201.1.0/24", "--subnet", "fd00:201::/64"];
    world.coracle(&[&["network", "create"], &subnets[..], &["front"]].concat()).ok();
    world.serve("web", &["--network", "front", "-p", "8080:80"]);
    // The host has the router's address; no program is in between.
    assert!(world.host("ip -o addr show coracle1").contains("10.201.1.1/24"));
    assert_eq!(support::descendants(world.holder("front").unwrap()), Vec::<i32>::new());
    // Neighbours are seen under their own addresses, the host and members under those that they have in the network.
    world.assert_asked(&world.neighbour, "192.0.2.1:8080", "192.0.2.9");
    world.assert_asked(&world.neighbour, "[2001:db8::1]:8080", "2001:db8::9");
    for address in ["127.0.0.1:8080", "192.0.2.1:8080", "10.201.1.2"] {
        world.assert_asked(&world.host, address, "10.201.1.1");
    }
    world.start("other", &["--network", "front"], &["sleep", "1000"]);
    // busybox's wget cannot be used: linked statically, it crashes in the C library's resolver.
    let fetch = |from: &str, address: &str| {
        let output = world.exec(from, &format!("printf 'GET /cgi-bin/who HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {address}"));
        if output.code == 0 { output.text() } else { String::new() }
    };
    assert!(fetch("other", "10.201.1.2 80").contains("10.201.1.3"));
    world.exec("other", "ping -c 1 -W 5 web").ok();
    assert!(fetch("other", "192.0.2.1 8080").contains("200 OK"));
    world.exec("other", "nslookup -type=a web.dns.podman").ok();
    // Outside, members are the host.
    let www = world.lab.path("www");
    let mut server = world.lab.program("nsenter");
    server.arg(format!("--net=/proc/{}/ns/net", world.neighbour.pid()));
    let _server = Running::start(server.args(["busybox", "httpd", "-f", "-p", "80", "-h", www.to_str().unwrap()]));
    wait_until("the neighbour serves", || !fetch("other", "192.0.2.9 80").is_empty());
    assert!(fetch("other", "192.0.2.9 80").contains("192.0.2.1"));
    assert!(fetch("other", "2001:db8::9 80").contains("2001:db8::1"));
    // Other networks are apart, but for what is published. Nor does a neighbour get in who knows the way.
    world.coracle(&["network", "create", "--subnet", "10.201.2.0/24", "back"]).ok();
    world.start("apart", &["--network", "back"], &["sleep", "1000"]);
    assert_eq!(fetch("apart", "10.201.1.2 80"), "");
    assert!(fetch("apart", "192.0.2.1 8080").contains("200 OK"));
    world.at(&world.neighbour, &["ip", "route", "add", "10.201.0.0/16", "via", "192.0.2.1"]).ok();
    assert_eq!(world.asked(&world.neighbour, "10.201.1.2"), None);
    world.coracle(&["rm", "-f", "-t", "0", "web"]).ok();
    assert_eq!(world.asked(&world.neighbour, "192.0.2.1:8080"), None);
    // Nothing of it stays.
    world.coracle(&["rm", "-f", "-t", "0", "other", "apart"]).ok();
    world.assert_untouched();
}

#[test]
fn root_leaves_nothing_whatever_is_killed() {
    let world = World::new();
    world.serve("web", &["--network", "bridge", "-p", "8080:80"]);
    world.assert_asked(&world.neighbour, "192.0.2.1:8080", "192.0.2.9");
    // The default network is the same while it is there.
    let subnet = || world.coracle(&["network", "inspect", "bridge"]).ok().json()[0]["subnets"][0]["subnet"].clone();
    assert_eq!(subnet(), "10.88.0.0/16");
    let old = world.holder("bridge").unwrap();
    kill(Pid::from_raw(old), Signal::SIGKILL).unwrap();
    world.assert_untouched();
    world.coracle(&["network", "reload", "--all"]).ok();
    assert!(world.holder("bridge").is_some_and(|pid| pid != old));
    world.assert_asked(&world.neighbour, "192.0.2.1:8080", "192.0.2.9");
    // At once, too, when the kernel has not removed everything yet.
    kill(Pid::from_raw(world.holder("bridge").unwrap()), Signal::SIGKILL).unwrap();
    wait_until("nobody holds it", || world.holder("bridge").is_none());
    world.coracle(&["network", "reload", "--all"]).ok();
    world.assert_asked(&world.neighbour, "192.0.2.1:8080", "192.0.2.9");
    let init = world.coracle(&["inspect", "web"]).ok().json()[0]["State"]["Pid"].as_i64().unwrap() as i32;
    kill(Pid::from_raw(parent(init).unwrap()), Signal::SIGKILL).unwrap();
    wait_until("nobody holds it", || world.holder("bridge").is_none());
    world.assert_untouched();
    world.coracle(&["rm", "-f", "web"]).ok();
}

/// Without a word root gets what everybody gets, which leaves the host as it is; with a setting, or a word, devices.
#[test]
fn root_is_in_user_mode_unless_told_otherwise() {
    let world = World::new();
    let start = |name: &str, port: &[&str]| {
        let tree = format!("{}:O", support::busybox_tree().display());
        let mount = format!("{}:/www:ro", world.lab.path("www").display());
        let words = [&["run", "-d", "--name", name, "-v", &mount], port, &["--rootfs", &tree]].concat();
        world.coracle(&[&words[..], &["httpd", "-f", "-p", "80", "-h", "/www"]].concat()).ok();
    };
    start("plain", &[]);
    let device = |name: &str| world.exec(name, "ip -o -4 addr show eth0").ok().text();
    assert!(device("plain").contains("10.0.2.100/24"), "{}", device("plain"));
    world.assert_untouched();
    assert_eq!(world.host("cat /proc/sys/net/ipv4/ip_forward"), "0");
    let conf = world.lab.root().join("config/containers/containers.conf");
    fs::create_dir_all(conf.parent().unwrap()).unwrap();
    fs::write(&conf, "[containers]\nnetns = \"bridge\"\n").unwrap();
    start("bridged", &["-p", "8080:80"]);
    assert!(device("bridged").contains("10.88.0."), "{}", device("bridged"));
    world.assert_asked(&world.neighbour, "192.0.2.1:8080", "192.0.2.9");
    world.coracle(&["rm", "-f", "-t", "0", "plain", "bridged"]).ok();
    world.assert_untouched();
}

#[test]
fn root_looks_into_a_network() {
    let world = World::new();
    world.coracle(&["network", "create", "--subnet", "10.201.7.0/24", "front"]).ok();
    world.start("web", &["--network", "front:ip=10.201.7.9"], &["sleep", "1000"]);
    let inside = |words: &[&str]| world.coracle(&[&["unshare", "--rootless-netns=front"], words].concat());
    let shown = inside(&["ip", "-o", "link"]).ok().text();
    assert!(shown.contains("master coracle1") && shown.contains("veth"), "{shown}");
    // It may be changed there, and what is not held by a container goes with who looks.
    inside(&["ip", "link", "add", "br7", "type", "bridge"]).ok();
    assert!(!world.host("ip -o link").contains("br7"));
    world.coracle(&["rm", "-f", "-t", "0", "web"]).ok();
    inside(&["ip", "link", "show", "coracle1"]).ok();
    world.assert_untouched();
    world.coracle(&["network", "rm", "front"]).ok();
    inside(&["true"]).refused(125, "E_NOTFOUND");
}

/// The first packet of a container of a user without privileges gets there, by whichever program, and through a network with a name.
#[test]
fn root_watches_users_reach_others_by_ipv6() {
    let world = World::new();
    // Root's own temporary files are in a directory that nobody else can enter.
    let shared = std::env::temp_dir().parent().unwrap().to_owned();
    let lab = tempfile::Builder::new().prefix("user.").tempdir_in(shared).unwrap();
    let user = nix::unistd::User::from_name("coracle-test").unwrap().unwrap();
    nix::unistd::chown(lab.path(), Some(user.uid), Some(user.gid)).unwrap();
    let www = world.lab.path("www");
    let mut server = world.lab.program("nsenter");
    server.arg(format!("--net=/proc/{}/ns/net", world.neighbour.pid()));
    let _server = Running::start(server.args(["busybox", "httpd", "-f", "-p", "[::]:80", "-h", www.to_str().unwrap()]));
    let address = "[2001:db8::9]";
    wait_until("the neighbour serves", || world.asked(&world.host, address).is_some());
    let as_user = |words: &[&str]| {
        let home = lab.path().to_str().unwrap();
        let user = ["setpriv", "--reuid=coracle-test", "--regid=coracle-test", "--clear-groups"];
        let environment = [
            "env",
            "-i",
            &format!("--chdir={home}"),
            &format!("HOME={home}"),
            &format!("XDG_RUNTIME_DIR={home}"),
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
        ]
        .map(str::to_owned);
        let environment: Vec<&str> = environment.iter().map(String::as_str).collect();
        let coracle = support::coracle_path();
        world.at(&world.host, &[&user[..], &environment, &[coracle.to_str().unwrap()], words].concat())
    };
    as_user(&["network", "create", "--ipv6", "front"]).ok();
    for network in ["slirp4netns:enable_ipv6=true", "pasta", "front"] {
        let curl = ["curl", "-gfsS", "-m", "10", "http://[2001:db8::9]/cgi-bin/who"];
        let run = ["run", "--rm", "--network", network, "--rootfs", "/:O"];
        let seen = as_user(&[&run[..], &curl].concat()).ok().text();
        assert!(seen.contains("2001:db8::1"), "{network}: {seen}");
    }
    let holder = lab.path().join("coracle/networks/front/holder.json");
    wait_until("nobody holds the network", || !holder.exists());
}

#[test]
fn root_shares_devices_of_the_host() {
    let world = World::new();
    let create = |words: &[&str]| world.coracle(&[&["network", "create"], words].concat());
    let lan = ["--subnet", "192.0.2.0/24", "--ip-range", "192.0.2.100/30", "--gateway", "192.0.2.9"];
    create(&["-d", "macvlan", "lan"]).refused(125, "E_CONFIG").says("--subnet");
    create(&[&["-d", "macvlan", "-o", "parent=lan7"], &lan[..], &["lan"]].concat())
        .refused(125, "E_NOTFOUND")
        .says("lan7");
    create(&[&["-d", "macvlan", "-o", "mode=l2"], &lan[..], &["lan"]].concat()).refused(125, "E_CONFIG").says("vepa");
    create(&[&["-d", "macvlan", "-o", "parent=lan0"], &lan[..], &["lan"]].concat()).ok();
    world
        .coracle(&["run", "--rm", "--network", "lan", "-p", "80:80", "--rootfs", "/", "true"])
        .refused(125, "E_CONFIG")
        .says("macvlan");
    world.serve("web", &["--network", "lan"]);
    let shown = world.exec("web", "ip -o -4 addr show eth0; ip route").ok().text();
    assert!(shown.contains("192.0.2.100/24") && shown.contains("default via 192.0.2.9"), "{shown}");
    world.assert_asked(&world.neighbour, "192.0.2.100", "192.0.2.9");
    // It needs nobody once it is there; who holds it next finds it as it is.
    kill(Pid::from_raw(world.holder("lan").unwrap()), Signal::SIGKILL).unwrap();
    world.assert_asked(&world.neighbour, "192.0.2.100", "192.0.2.9");
    world.coracle(&["network", "reload", "--all"]).ok();
    world.assert_asked(&world.neighbour, "192.0.2.100", "192.0.2.9");
    world.coracle(&["network", "disconnect", "lan", "web"]).ok();
    assert_ne!(world.exec("web", "ip addr show eth0").code, 0);
    world.coracle(&["network", "connect", "lan", "web"]).ok();
    world.assert_asked(&world.neighbour, "192.0.2.100", "192.0.2.9");
    world.coracle(&["rm", "-f", "-t", "0", "web"]).ok();
    world.coracle(&["network", "rm", "lan"]).ok();
    world.assert_untouched();
    // ipvlan is not in every kernel.
    create(&[&["-d", "ipvlan", "-o", "parent=lan0"], &lan[..], &["lan"]].concat()).ok();
    let has_ipvlan =
        world.at(&world.host, &["ip", "link", "add", "link", "lan0", "name", "ipv0", "type", "ipvlan"]).code == 0;
    if has_ipvlan {
        world.host("ip link del ipv0");
        world.serve("web", &["--network", "lan"]);
        world.assert_asked(&world.neighbour, "192.0.2.100", "192.0.2.9");
        world.coracle(&["rm", "-f", "-t", "0", "web"]).ok();
    } else {
        let words = busybox_arguments(&["--network", "lan"], &["true"]);
        world.coracle(&words.iter().map(String::as_str).collect::<Vec<_>>()).refused(125, "E_NETWORK").says("ipvlan");
    }
    world.assert_untouched();
}
