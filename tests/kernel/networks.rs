//! Networks that have names: `coracle network`, and containers that find each other in them.

use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::{Detached, LIMIT, Lab, Output, busybox_arguments, output, skip, wait_until};

/// Whether networks can be made here at all.
pub fn can(test: &str) -> bool {
    let has_program = ["slirp4netns", "pasta"].iter().any(|name| fs::exists(format!("/usr/bin/{name}")).unwrap());
    let has_tun = fs::File::options().read(true).write(true).open("/dev/net/tun").is_ok();
    if !has_program || !has_tun {
        skip(test, "neither slirp4netns nor pasta, or no /dev/net/tun");
    }
    has_program && has_tun
}

fn inspect(lab: &Lab, name: &str) -> Value {
    lab.coracle(["network", "inspect", name]).ok().json()[0].clone()
}

fn address(lab: &Lab, network: &str, container: &str) -> String {
    let members = inspect(lab, network)["Containers"].clone();
    let member = members.as_object().unwrap().values().find(|member| member["Name"] == container).unwrap().clone();
    member["IPv4Address"].as_str().unwrap().split('/').next().unwrap().to_owned()
}

/// The process that holds a network, if there is one.
fn holder(lab: &Lab, network: &str) -> Option<i32> {
    let record = fs::read(lab.root().join(format!("runtime/coracle/networks/{network}/holder.json"))).ok()?;
    let record: Value = serde_json::from_slice(&record).ok()?;
    let pid = i32::try_from(record["pid"].as_i64()?).ok()?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    (name.trim() == "coracle-netns").then_some(pid)
}

fn sleeper<'a>(lab: &'a Lab, network: &str, name: &str, more: &[&str]) -> Detached<'a> {
    // Without CAP_NET_RAW busybox cannot ping.
    let flags = [&["--network", network, "--name", name, "--cap-add", "net_raw"], more].concat();
    Detached::start(lab, &flags, &["sleep", "1000"])
}

fn exec(lab: &Lab, container: &str, script: &str) -> String {
    lab.coracle(["exec", container, "sh", "-c", script]).ok().text()
}

#[track_caller]
fn fails(output: &Output) {
    assert_ne!(output.code, 0, "{output:?}");
}

const LOOK_UP: &str = "nslookup -type=a";

#[test]
fn records_of_networks() {
    let lab = Lab::new();
    let made = lab.coracle(["network", "create", "--label", "a=b", "--subnet", "10.101.1.0/24", "front"]).ok().text();
    assert_eq!(made, "front");
    let front = inspect(&lab, "front");
    assert_eq!(front["subnets"][0]["gateway"], "10.101.1.1");
    assert_eq!(front["IPAM"]["Config"][0]["Subnet"], "10.101.1.0/24");
    assert_eq!((&front["labels"]["a"], &front["Labels"]["a"]), (&"b".into(), &"b".into()));
    assert_eq!(front["dns_enabled"], true);
    lab.coracle(["network", "create", "front"]).refused(125, "E_EXISTS");
    lab.coracle(["network", "create", "--ignore", "front"]).ok();
    // Names, and what is refused.
    let names = |flags: &[&str]| lab.coracle([&["network", "ls", "-q"], flags].concat()).ok().text();
    assert_eq!(names(&[]), "bridge\nfront");
    assert_eq!(names(&["--filter", "label=a=b"]), "front");
    assert_eq!(names(&["--filter", "type=builtin"]), "bridge");
    let id = front["id"].as_str().unwrap();
    assert_eq!(inspect(&lab, &id[..12])["name"], "front");
    assert_eq!(inspect(&lab, "podman")["name"], "bridge");
    lab.coracle(["network", "exists", "podman"]).ok();
    lab.coracle(["network", "exists", "nobody"]).exited(1);
    for (flags, code, word) in [
        (&["--subnet", "10.101.1.128/25"][..], "E_CONFIG", "front"),
        (&["--subnet", "10.101.0.0/16"], "E_CONFIG", "front"),
        (&["--subnet", "10.101.2.0"], "E_CONFIG", "--subnet"),
        (&["--subnet", "10.101.2.0/24", "--gateway", "10.101.3.1"], "E_CONFIG", "--gateway"),
        (&["--subnet", "10.101.2.0/24", "--ip-range", "10.101.3.0/25"], "E_CONFIG", "--ip-range"),
        (&["--gateway", "10.101.3.1"], "E_CONFIG", "--gateway"),
        (&["--driver", "overlay"], "E_UNSUPPORTED", "overlay"),
        (&["--driver", "macvlan", "--subnet", "10.101.2.0/24", "--opt", "parent=eth0"], "E_PERMISSION", "root"),
        (&["--driver", "ipvlan"], "E_CONFIG", "--subnet"),
        (&["--opt", "parent=lo"], "E_CONFIG", "parent"),
        (&["--opt", "mtu=1"], "E_CONFIG", "mtu"),
    ] {
        lab.coracle([&["network", "create"], flags, &["other"]].concat()).refused(125, code).says(word);
    }
    for bad in ["-v", "a/b", "host", "..", "a b"] {
        lab.coracle(["network", "create", "--", bad]).refused(125, "E_NAME_INVALID");
    }
    // Docker's options are understood, or told of.
    lab.coracle([
        "network",
        "create",
        "-o",
        "com.docker.network.driver.mtu=1400",
        "-o",
        "com.docker.network.x=y",
        "docker",
    ])
    .ok()
    .says("com.docker.network.x");
    assert_eq!(inspect(&lab, "docker")["options"]["mtu"], "1400");
    lab.coracle(["network", "rm", "docker", "front"]).ok();
    lab.coracle(["network", "rm", "front"]).exited(1);
    lab.coracle(["network", "rm", "bridge"]).refused(125, "E_CONFIG");
    assert_eq!(names(&[]), "bridge");
    // What is not there.
    lab.coracle(["network", "inspect", "nobody"]).exited(125).says("nobody");
    lab.coracle(["network", "connect", "nobody", "web"]).exited(125);
    lab.coracle(["network", "update", "--dns-add", "192.0.2.53", "nobody"]).refused(125, "E_NOTFOUND");
    assert_eq!(lab.containers().len(), 0);
}

#[test]
fn members_find_each_other_by_name() {
    if !can("members_find_each_other_by_name") {
        return;
    }
    let lab = Lab::new();
    lab.coracle(["network", "create", "--ipv6", "front"]).ok();
    let web = sleeper(&lab, "front", "web", &["--network-alias", "www.example"]);
    let address = address(&lab, "front", "web");
    let _other = sleeper(&lab, "front", "other", &[]);
    for name in ["web", "WEB", "www.example", &web.id[..12], "web.dns.podman"] {
        let found = exec(&lab, "other", &format!("{LOOK_UP} {name}"));
        assert!(found.contains(&address), "{name}: {found}");
    }
    assert!(exec(&lab, "other", &format!("nslookup {address}")).contains("web"), "reverse");
    assert!(exec(&lab, "other", "nslookup -type=aaaa web").contains("fd"), "IPv6");
    exec(&lab, "other", "ping -c 1 -W 5 web");
    exec(&lab, "other", "ping -6 -c 1 -W 5 web");
    assert!(exec(&lab, "web", "cat /etc/hosts").contains(&format!("{address}\t{} web", &web.id[..12])));
    // Who is gone is not found.
    lab.coracle(["rm", "-f", "web"]).ok();
    let script = format!("{LOOK_UP} web.dns.podman");
    wait_until("web is forgotten", || lab.coracle(["exec", "other", "sh", "-c", &script]).code != 0);
}

#[test]
fn the_default_network_has_names_and_a_way_out() {
    if !can("the_default_network_has_names_and_a_way_out") {
        return;
    }
    let lab = Lab::new();
    let _web = sleeper(&lab, "bridge", "web", &[]);
    let found = lab.sh(&["--network", "bridge"], &format!("{LOOK_UP} web; ip route"));
    assert!(found.contains(&address(&lab, "podman", "web")) && found.contains("default via"), "{found}");
    // Nothing of it stays.
    lab.coracle(["rm", "-f", "web"]).ok();
    wait_until("nobody holds it", || holder(&lab, "bridge").is_none());
}

#[test]
fn networks_are_apart_and_internal_ones_are_closed() {
    if !can("networks_are_apart_and_internal_ones_are_closed") {
        return;
    }
    let lab = Lab::new();
    lab.coracle(["network", "create", "front"]).ok();
    lab.coracle(["network", "create", "--internal", "back"]).ok();
    let _web = sleeper(&lab, "front", "web", &[]);
    let _db = sleeper(&lab, "back", "db", &[]);
    let _both = sleeper(&lab, "front,back", "both", &[]);
    let (web, db) = (address(&lab, "front", "web"), address(&lab, "back", "db"));
    for name in ["web", "db"] {
        exec(&lab, "both", &format!("ping -c 1 -W 5 {name}"));
    }
    for (from, to) in [("web", &db), ("db", &web)] {
        fails(&lab.coracle(["exec", from, "ping", "-c", "1", "-W", "1", to]));
    }
    fails(&lab.coracle(["exec", "web", "sh", "-c", &format!("{LOOK_UP} db.dns.podman")]));
    assert!(!exec(&lab, "db", "ip route").contains("default"));
    fails(&lab.coracle(["exec", "db", "sh", "-c", &format!("{LOOK_UP} example.org")]));
    lab.coracle(["network", "rm", "front"]).exited(2);
}

/// Clients of other machines, that is; this one by its loopback device is the router.
#[test]
fn clients_keep_their_address() {
    if !can("clients_keep_their_address") {
        return;
    }
    let lab = Lab::new();
    let who =
        lab.write("www/cgi-bin/who", "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\necho $REMOTE_ADDR\n");
    fs::set_permissions(&who, fs::Permissions::from_mode(0o755)).unwrap();
    lab.coracle(["network", "create", "--subnet", "10.106.1.0/24", "--subnet", "fd00:106::/64", "front"]).ok();
    let mount = format!("{}:/www:ro", lab.path("www").display());
    let flags = ["--network", "front", "--name", "web", "-v", &mount, "-p", "80", "-p", "[::1]::80"];
    let _web = Detached::start(&lab, &flags, &["httpd", "-f", "-p", "80", "-h", "/www"]);
    let published = lab.coracle(["port", "web", "80"]).ok().text();
    let port = |beginning: &str| {
        let line = published.lines().find(|line| line.starts_with(beginning)).unwrap();
        line.rsplit(':').next().unwrap().to_owned()
    };
    let (any, six) = (port("0.0.0.0:"), port("[::1]:"));
    let own = crate::user_network::own_address();
    for (address, seen) in [
        (format!("{own}:{any}"), own.as_str()),
        (format!("127.0.0.1:{any}"), "10.106.1.1"),
        (format!("[::1]:{six}"), "fd00:106::1"),
    ] {
        let asked = || crate::user_network::heard_at(&address, "/cgi-bin/who");
        wait_until("the server is there", || asked().is_some());
        let client = asked().unwrap();
        assert!(client.contains(seen), "{address}: {client}");
    }
}

/// Nothing is half made where a network cannot be connected.
#[test]
fn programs_that_are_missing_or_die_are_told_of() {
    if !can("programs_that_are_missing_or_die_are_told_of") {
        return;
    }
    let lab = Lab::new();
    let run = busybox_arguments(&["--network", "bridge", "--name", "web"], &["true"]).join(" ");
    for (program, code) in [("/dev/null", "E_NO_HELPER"), ("/bin/false", "E_HELPER_DIED")] {
        let hidden = format!("for f in slirp4netns passt; do mount --bind {program} /usr/bin/$f; done;");
        let script = format!("{hidden} exec {} {run}", crate::support::coracle_path().display());
        let mut command = lab.program("unshare");
        let output = output::run(command.args(["-rm", "sh", "-ec", &script]), &[], LIMIT);
        output.refused(125, code);
        assert_eq!((lab.containers().len(), holder(&lab, "bridge")), (0, None));
        assert_eq!(inspect(&lab, "bridge")["Containers"].as_object().unwrap().len(), 0);
    }
    lab.coracle(busybox_arguments(&["--network", "bridge", "--name", "web"], &["true"])).ok();
}

#[test]
fn containers_come_and_go_while_they_run() {
    if !can("containers_come_and_go_while_they_run") {
        return;
    }
    let lab = Lab::new();
    lab.coracle(["network", "create", "--subnet", "10.102.1.0/24", "front"]).ok();
    lab.coracle(["network", "create", "--subnet", "10.102.2.0/24", "back"]).ok();
    let _web = sleeper(&lab, "front", "web", &[]);
    let _db = sleeper(&lab, "back", "db", &[]);
    fails(&lab.coracle(["exec", "web", "ping", "-c", "1", "-W", "1", "10.102.2.2"]));
    lab.coracle(["network", "connect", "--ip", "10.102.2.77", "--alias", "www", "back", "web"]).ok();
    assert!(exec(&lab, "web", "ip addr show eth1").contains("10.102.2.77/24"));
    exec(&lab, "db", "ping -c 1 -W 5 www");
    let shown = lab.inspect("web")["NetworkSettings"].clone();
    let (front, back) = (&shown["Networks"]["front"], &shown["Networks"]["back"]);
    assert_eq!((&shown["IPAddress"], &shown["Gateway"]), (&front["IPAddress"], &front["Gateway"]));
    assert_eq!((&back["IPAddress"], &back["IPPrefixLen"]), (&"10.102.2.77".into(), &24.into()));
    assert_eq!((&back["Gateway"], &back["Aliases"][1]), (&"10.102.2.1".into(), &"www".into()));
    assert!(exec(&lab, "web", "cat /sys/class/net/eth1/address").trim() == back["MacAddress"]);
    lab.coracle(["network", "connect", "back", "web"]).refused(125, "E_EXISTS");
    lab.coracle(["network", "disconnect", "back", "web"]).ok();
    fails(&lab.coracle(["exec", "web", "ip", "addr", "show", "eth1"]));
    lab.coracle(["network", "disconnect", "back", "web"]).refused(125, "E_NOTFOUND");
    // The resolver is that of a network in which it is.
    lab.coracle(["network", "connect", "back", "web"]).ok();
    assert!(exec(&lab, "web", "cat /etc/resolv.conf").contains("nameserver 10.102.1.1"));
    lab.coracle(["network", "disconnect", "front", "web"]).ok();
    wait_until("there is another resolver", || {
        exec(&lab, "web", "cat /etc/resolv.conf").contains("nameserver 10.102.2.1")
    });
    exec(&lab, "web", "ping -c 1 -W 5 db");
    assert_eq!(
        lab.inspect("web")["NetworkSettings"]["IPAddress"],
        lab.inspect("web")["NetworkSettings"]["Networks"]["back"]["IPAddress"]
    );
    let alone = Detached::start(&lab, &["--network", "none"], &["sleep", "1000"]);
    lab.coracle(["network", "connect", "back", &alone.id]).refused(125, "E_CONFIG");
}

#[test]
fn addresses_are_those_that_were_asked_for() {
    if !can("addresses_are_those_that_were_asked_for") {
        return;
    }
    let lab = Lab::new();
    let range = ["--subnet", "10.103.1.0/24", "--ip-range", "10.103.1.10-10.103.1.11"];
    lab.coracle([&["network", "create"], &range[..], &["front"]].concat()).ok();
    let asked = "front:ip=10.103.1.77,mac=92:d0:c6:0a:29:33,interface_name=net7";
    let _web = sleeper(&lab, asked, "web", &[]);
    let seen = exec(&lab, "web", "ip addr show net7");
    assert!(seen.contains("10.103.1.77/24") && seen.contains("92:d0:c6:0a:29:33"), "{seen}");
    lab.busybox(&["--network", "front:ip=10.103.1.77"], &["true"]).refused(125, "E_BUSY").says("web");
    lab.busybox(&["--network", "front:ip=10.104.1.77"], &["true"]).refused(125, "E_CONFIG");
    lab.busybox(&["--network", "front:ip=10.103.1.1"], &["true"]).refused(125, "E_CONFIG");
    lab.busybox(&["--network", "nobody"], &["true"]).refused(125, "E_NOTFOUND").says("nobody");
    let _a = sleeper(&lab, "front", "a", &[]);
    let _b = sleeper(&lab, "front", "b", &[]);
    lab.busybox(&["--network", "front"], &["true"]).refused(125, "E_BUSY").says("10.103.1.10 to 10.103.1.11");
    // A dead one's is free again.
    lab.coracle(["kill", "a"]).ok();
    lab.coracle(["wait", "a"]).ok();
    assert!(lab.sh(&["--network", "front"], "ip addr").contains("10.103.1.1"));
}

#[test]
fn whatever_is_killed_comes_back() {
    if !can("whatever_is_killed_comes_back") {
        return;
    }
    let lab = Lab::new();
    lab.coracle(["network", "create", "front"]).ok();
    let _web = sleeper(&lab, "front", "web", &["-p", "127.0.0.1::80"]);
    let _other = sleeper(&lab, "front", "other", &[]);
    let (web, published) = (address(&lab, "front", "web"), lab.coracle(["port", "web", "80"]).ok().text());
    // The program that connects it with the outside is started again.
    let old = holder(&lab, "front").unwrap();
    let program = || crate::support::descendants(old).first().copied();
    let first = program().unwrap();
    kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
    wait_until("the program lives again", || program().is_some_and(|pid| pid != first));
    exec(&lab, "other", "ping -c 1 -W 5 web");
    // Whoever holds it is started again by a command, and all members are attached to it anew.
    kill(Pid::from_raw(old), Signal::SIGKILL).unwrap();
    wait_until("the network is gone", || holder(&lab, "front").is_none());
    wait_until("the devices are gone", || !exec(&lab, "web", "ip -o link").contains("eth0"));
    lab.coracle(["network", "reload", "--all"]).ok();
    assert!(holder(&lab, "front").is_some_and(|pid| pid != old));
    exec(&lab, "other", "ping -c 1 -W 5 web");
    assert_eq!(address(&lab, "front", "web"), web);
    drop(TcpStream::connect(&published).unwrap());
    // A monitor's death is the container's, and its address is free.
    let monitor = crate::support::parent(_web.pid()).unwrap();
    kill(Pid::from_raw(monitor), Signal::SIGKILL).unwrap();
    let script = format!("{LOOK_UP} web.dns.podman");
    wait_until("web is forgotten", || lab.coracle(["exec", "other", "sh", "-c", &script]).code != 0);
    wait_until("its port is closed", || TcpStream::connect(&published).is_err());
    exec(&lab, "other", "ip addr show eth0");
}

#[test]
fn ports_lead_to_members() {
    if !can("ports_lead_to_members") {
        return;
    }
    let lab = Lab::new();
    lab.coracle(["network", "create", "front"]).ok();
    let serve = "while :; do echo hello | nc -l -p 80; done";
    let flags = ["--network", "front", "--name", "web", "-p", "127.0.0.1::80"];
    let _web = Detached::start(&lab, &flags, &["sh", "-c", serve]);
    let published = lab.coracle(["port", "web", "80"]).ok().text();
    let heard = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(&published)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    wait_until("the port answers", || heard().is_ok_and(|text| text == "hello\n"));
    let port = published.rsplit(':').next().unwrap();
    let taken = format!("127.0.0.1:{port}:80");
    lab.busybox(&["--network", "front", "-p", &taken], &["true"]).refused(125, "E_PORT_IN_USE").says("web");
    lab.coracle(["rm", "-f", "web"]).ok();
    wait_until("the port is closed", || TcpStream::connect(&published).is_err());
}

#[test]
fn the_resolver_survives_garbage() {
    if !can("the_resolver_survives_garbage") {
        return;
    }
    let lab = Lab::new();
    lab.coracle(["network", "create", "front"]).ok();
    let _web = sleeper(&lab, "front", "web", &[]);
    let gateway = inspect(&lab, "front")["subnets"][0]["gateway"].as_str().unwrap().to_owned();
    // Pointers that lead to themselves, lengths that lie, nothing, noise.
    for octal in [
        "",
        "\\000",
        "\\001\\002\\001\\000\\000\\001\\000\\000\\000\\000\\000\\000\\300\\014\\000\\001\\000\\001",
        "\\001\\002\\001\\000\\377\\377\\377\\377\\377\\377\\377\\377",
        "\\001\\002\\200\\000\\000\\001\\000\\000\\000\\000\\000\\000\\077aaaa",
    ] {
        exec(
            &lab,
            "web",
            &format!("printf '{octal}' | nc -u -w 1 {gateway} 53; printf '{octal}' | nc -w 1 {gateway} 53; true"),
        );
    }
    exec(&lab, "web", &format!("head -c 20000 /dev/urandom | nc -w 1 {gateway} 53; true"));
    assert!(exec(&lab, "web", &format!("{LOOK_UP} web")).contains("Address"));
}

#[test]
fn many_start_at_once() {
    if !can("many_start_at_once") {
        return;
    }
    let lab = Lab::new();
    lab.coracle(["network", "create", "front"]).ok();
    let started: Vec<_> = (0..50)
        .map(|number| {
            let flags = ["--network=front", "--cap-add=net_raw", "--name"].map(str::to_owned);
            let flags = [&flags[..], &[format!("m{number}")]].concat();
            let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
            let mut arguments = crate::support::busybox_arguments(&flags, &["sleep", "1000"]);
            arguments[1] = "-d".to_owned();
            lab.spawn(&arguments)
        })
        .collect();
    for command in started {
        command.wait().ok();
    }
    let members = inspect(&lab, "front")["Containers"].as_object().unwrap().clone();
    let addresses: std::collections::BTreeSet<&str> =
        members.values().map(|member| member["IPv4Address"].as_str().unwrap()).collect();
    assert_eq!((members.len(), addresses.len()), (50, 50));
    exec(&lab, "m0", "for n in 1 25 49; do ping -c 1 -W 5 m$n || exit 1; done");
    lab.coracle(["network", "rm", "--force", "front"]).ok();
    assert_eq!(lab.containers().len(), 0);
    wait_until("nobody holds it", || holder(&lab, "front").is_none());
}

#[test]
fn datagrams_lead_to_members() {
    if !can("datagrams_lead_to_members") {
        return;
    }
    let lab = Lab::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let (tcp, udp) = (format!("127.0.0.1:{port}:5201"), format!("127.0.0.1:{port}:5201/udp"));
    let flags = ["run", "-d", "--network", "bridge", "--name", "server", "-p", &tcp, "-p", &udp, "--rootfs", "/:O"];
    lab.coracle([&flags[..], &["iperf3", "-s"]].concat()).ok();
    let mut measured = Value::Null;
    wait_until("datagrams arrive", || {
        let mut client = lab.program("iperf3");
        client.args(["-J", "-u", "-c", "127.0.0.1", "-p", &port, "-n", "100K"]);
        measured = serde_json::from_slice(&client.output().unwrap().stdout).unwrap();
        measured["error"].is_null()
    });
    let sum = &measured["end"]["sum"];
    assert!(sum["packets"].as_u64() > Some(0) && sum["lost_packets"].as_u64() < sum["packets"].as_u64(), "{sum}");
    lab.coracle(["rm", "-f", "server"]).ok();
}

#[test]
fn a_network_can_be_looked_at_from_inside() {
    if !can("a_network_can_be_looked_at_from_inside") {
        return;
    }
    let lab = Lab::new();
    lab.coracle(["network", "create", "--subnet", "10.105.1.0/24", "front"]).ok();
    let _web = sleeper(&lab, "front", "web", &[]);
    let shown = lab.coracle(["unshare", "--rootless-netns=front", "ip", "-br", "address"]).ok().text();
    assert!(shown.contains("10.105.1.1/24") && shown.contains("tap0"), "{shown}");
    lab.coracle(["unshare", "--rootless-netns=front", "ip", "link", "add", "br7", "type", "bridge"]).ok();
    for (network, protocol) in [("+notcp", "UDP"), ("+tcp", "TCP")] {
        let dig = ["unshare", "--rootless-netns=front", "dig", "@10.105.1.1", "+short", network, "web.dns.podman"];
        assert_eq!(lab.coracle(dig).ok().text(), "10.105.1.2", "{protocol}");
    }
    // Without members it is there as long as somebody looks.
    lab.coracle(["network", "create", "--internal", "back"]).ok();
    lab.coracle(["unshare", "--rootless-netns=back", "ip", "link"]).ok();
    wait_until("nobody holds it", || holder(&lab, "back").is_none());
}
