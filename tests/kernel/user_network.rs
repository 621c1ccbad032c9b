//! Networks in user mode, by slirp4netns and by pasta: what is reached from inside, what is not, and what happens when the
//! helper dies. The servers are real; those on the host listen on its loopback device, which is reached only where asked for.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Detached, Lab, Output, busybox_arguments, is_running, output, wait_until};

/// Networks through which the host's loopback device is reached, and its address there.
const WITH_LOOPBACK: [&str; 2] = ["--network=slirp4netns:allow_host_loopback=true", "--network=pasta:--map-gw"];

const BOTH: [&str; 2] = ["--network=slirp4netns", "--network=pasta"];

/// All who publish ports: a process of ours, pasta, slirp4netns.
const PUBLISHERS: [&str; 3] = [BOTH[0], BOTH[1], "--network=slirp4netns:port_handler=slirp4netns"];

const GATEWAY: &str = "10.0.2.2";

/// A web server on the host's loopback device.
struct Greeter {
    port: u16,
}

impl Greeter {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        // It serves until the test program ends, and forks nothing.
        #[expect(clippy::disallowed_methods)]
        thread::spawn(move || {
            for client in listener.incoming() {
                let _ = client.and_then(|mut client| {
                    let mut request = [0; 1024];
                    let _ = client.read(&mut request)?;
                    client.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 19\r\n\r\nhello from outside\n")
                });
            }
        });
        Self { port }
    }
}

/// A shell script in a view of the host's files, where its programs are.
fn with_hosts_programs(lab: &Lab, flags: &[&str], script: &str) -> String {
    lab.coracle([&["run", "--rm"], flags, &["--rootfs", "/:O", "sh", "-c", script]].concat()).ok().text()
}

/// A client of a web server.
fn listen_to(address: &str, port: u16) -> String {
    format!("curl -fsS -m 5 http://{address}:{port}/")
}

/// A web server in the container, on this port, which has one page.
fn serve(port: u16, page: &str) -> String {
    format!("mkdir -p /tmp/w/cgi-bin; echo {page} >/tmp/w/index.html; exec httpd -f -p {port} -h /tmp/w")
}

fn helper(lab: &Lab, container: &str) -> (String, i32) {
    let helper = lab.inspect(container)["NetworkSettings"]["Helper"].clone();
    (helper["Name"].as_str().unwrap().to_owned(), helper["Pid"].as_i64().unwrap() as i32)
}

/// The page of a web server.
pub fn heard_at(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).ok()?;
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    Some(text.split_once("\r\n\r\n")?.1.trim_end().to_owned())
}

fn heard(address: &str) -> Option<String> {
    heard_at(address, "/")
}

/// Where a container's only port is published.
fn published(lab: &Lab, container: &str, port: &str) -> String {
    let text = lab.coracle(["port", container, port]).ok().text();
    text.lines().next().unwrap().to_owned()
}

/// A shell script as root of a user namespace, with a mount namespace of its own: files of the host can be replaced there.
fn in_other_host(lab: &Lab, script: &str) -> Output {
    let mut command = lab.program("unshare");
    command.args(["-rm", "sh", "-ec", script]);
    output::run(&mut command, &[], crate::support::LIMIT)
}

fn shell_words(arguments: &[String]) -> String {
    arguments.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect::<Vec<_>>().join(" ")
}

fn coracle_words(flags: &[&str], script: &str) -> String {
    let coracle = crate::support::coracle_path();
    format!("{} {}", coracle.display(), shell_words(&busybox_arguments(flags, &["sh", "-c", script])))
}

#[test]
fn the_default_network_is_in_user_mode() {
    let lab = Lab::new();
    let text = lab.sh(&["--network=private"], "ip -o -4 addr show eth0; ip route; cat /sys/class/net/eth0/mtu");
    assert!(text.contains("10.0.2.100/24") && text.contains("default via 10.0.2.2"), "{text}");
    assert!(text.ends_with("65520"), "{text}");
    // The same without a word.
    let plain = ["run", "--rm", "--rootfs", &format!("{}:O", crate::support::busybox_tree().display()), "ip", "route"];
    assert!(lab.coracle(plain).ok().text().contains("default via 10.0.2.2"));
    lab.assert_clean();
}

#[test]
fn the_first_packet_is_not_lost() {
    let lab = Lab::new();
    let greeter = Greeter::start();
    for network in WITH_LOOPBACK {
        for _ in 0..5 {
            let text = with_hosts_programs(&lab, &[network], &listen_to(GATEWAY, greeter.port));
            assert_eq!(text, "hello from outside", "{network}");
        }
    }
}

/// SECURITY.md R20: what listens on the host's loopback device concerns nobody in a container.
#[test]
fn the_hosts_loopback_is_reached_only_where_asked_for() {
    let lab = Lab::new();
    let greeter = Greeter::start();
    let try_all = format!(
        "for a in {GATEWAY} 10.0.2.3 127.0.0.1 host.containers.internal host.docker.internal; do {} 2>/dev/null || true; done; echo end",
        listen_to("$a", greeter.port)
    );
    for network in BOTH {
        assert_eq!(with_hosts_programs(&lab, &[network], &try_all), "end", "{network}");
    }
    for network in WITH_LOOPBACK {
        let text = with_hosts_programs(&lab, &[network], &listen_to("host.docker.internal", greeter.port));
        assert_eq!(text, "hello from outside", "{network}");
    }
}

#[test]
fn published_ports_lead_to_the_container() {
    let lab = Lab::new();
    for network in PUBLISHERS {
        let container =
            Detached::start(&lab, &[network, "-p", "127.0.0.1::80"], &["sh", "-c", &serve(80, "hello from inside")]);
        let address = published(&lab, &container.id, "80");
        assert!(address.starts_with("127.0.0.1:"), "{address}");
        wait_until("the server is there", || heard(&address).as_deref() == Some("hello from inside"));
        let shown = lab.inspect(&container.id);
        let port = address.rsplit_once(':').unwrap().1;
        assert_eq!(shown["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"], port);
        assert_eq!(shown["HostConfig"]["PortBindings"]["80/tcp"][0]["HostIp"], "127.0.0.1");
        assert_eq!(lab.containers()[0]["Ports"][0]["container_port"], 80);
        assert!(lab.coracle(["ps"]).ok().text().contains(&format!("{address}->80/tcp")));
        let all = lab.coracle(["port", "-a"]).ok().text();
        assert!(all.contains(&format!("80/tcp -> {address}")), "{all}");
        lab.coracle(["port", &container.id, "81"]).refused(125, "E_NOTFOUND");
    }
}

#[test]
fn udp_is_published_too() {
    let lab = Lab::new();
    let server = std::env::current_exe().unwrap();
    let mapping = format!("{}::5300/udp", own_address());
    for network in PUBLISHERS {
        let arguments = ["run", "-d", network, "-p", &mapping, "--rootfs", "/:O", server.to_str().unwrap()];
        let id =
            lab.coracle([&arguments[..], &["--exact", "user_network::udp_echo", "--ignored"]].concat()).ok().text();
        let address = published(&lab, &id, "5300/udp");
        let socket = std::net::UdpSocket::bind(("0.0.0.0", 0)).unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
        wait_until("the echo is there", || {
            let mut answer = [0; 16];
            socket.send_to(b"echo", &address).is_ok()
                && socket.recv(&mut answer).is_ok_and(|count| &answer[..count] == b"echo")
        });
        lab.coracle(["rm", "-f", "-t", "0", &id]).ok();
    }
}

/// Sends back what it gets.
#[test]
#[ignore = "started by udp_is_published_too"]
fn udp_echo() {
    let socket = std::net::UdpSocket::bind(("0.0.0.0", 5300)).unwrap();
    let mut bytes = [0; 512];
    while let Ok((length, client)) = socket.recv_from(&mut bytes) {
        let _ = socket.send_to(&bytes[..length], client);
    }
}

#[test]
fn who_has_a_port_is_told() {
    let lab = Lab::new();
    let container =
        Detached::start(&lab, &["--name=web", "--network=slirp4netns", "-p", "127.0.0.1::80"], &["sleep", "1000"]);
    let address = published(&lab, &container.id, "80");
    for network in BOTH {
        let mapping = format!("{address}:80");
        lab.busybox(&[network, "-p", &mapping], &["true"]).refused(125, "E_PORT_IN_USE").says("container web");
    }
    let ours = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mapping = format!("127.0.0.1:{}:80", ours.local_addr().unwrap().port());
    let refused = lab.busybox(&["-p", &mapping], &["true"]);
    refused.refused(125, "E_PORT_IN_USE").says(&format!("process {}", std::process::id()));
    drop(ours);
    lab.busybox(&["-p", &mapping], &["true"]).ok();
    lab.busybox(&["-p", "127.0.0.1:80:80"], &["true"])
        .refused(125, "E_PORT_PRIVILEGED")
        .says("ip_unprivileged_port_start");
    lab.busybox(&["-p", "192.0.2.250:8080:80"], &["true"]).refused(125, "E_PORT").says("no such address");
    lab.busybox(&[PUBLISHERS[2], "-p", "[::1]::80"], &["true"]).refused(125, "E_CONFIG").says("port_handler");
    drop(container);
    lab.assert_clean();
}

#[test]
fn a_helper_that_is_killed_is_started_again() {
    let lab = Lab::new();
    for network in BOTH {
        let container =
            Detached::start(&lab, &[network, "-p", "127.0.0.1::80"], &["sh", "-c", &serve(80, "hello from inside")]);
        let address = published(&lab, &container.id, "80");
        wait_until("the server is there", || heard(&address).is_some());
        let (name, before) = helper(&lab, &container.id);
        assert!(network.ends_with(&name), "{name}");
        kill(Pid::from_raw(before), Signal::SIGKILL).unwrap();
        wait_until("there is another helper", || helper(&lab, &container.id).1 != before);
        wait_until("the server is there again", || heard(&address).as_deref() == Some("hello from inside"));
        let deaths = &lab.inspect(&container.id)["NetworkSettings"]["Helper"]["Deaths"];
        assert_eq!(*deaths, 1);
        // Told after the network is there.
        let events = || lab.coracle(["events", "--stream=false", "--format", "{{.Status}}"]).ok().text();
        wait_until("that it is back is told", || events().contains("network_restored"));
        assert!(events().contains("network_lost"));
    }
}

/// The process that passes on what comes to published ports.
fn forwarder(container: &Detached<'_>) -> Option<i32> {
    crate::support::descendants(crate::support::parent(container.pid())?)
        .into_iter()
        .find(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "coracle-ports"))
}

#[test]
fn published_ports_come_back_after_a_kill() {
    let lab = Lab::new();
    let flags = ["--network=slirp4netns", "-p", "127.0.0.1::80"];
    let container = Detached::start(&lab, &flags, &["sh", "-c", &serve(80, "hello from inside")]);
    let address = published(&lab, &container.id, "80");
    wait_until("the server is there", || heard(&address).is_some());
    let (first, helper_before) = (forwarder(&container).unwrap(), helper(&lab, &container.id).1);
    kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
    // Who comes meanwhile is let wait, and not refused.
    wait_until("it is gone", || !is_running(first));
    assert_eq!(heard(&address).as_deref(), Some("hello from inside"));
    assert_ne!(forwarder(&container), Some(first));
    assert_eq!(helper(&lab, &container.id).1, helper_before);
    let monitor = crate::support::parent(container.pid()).unwrap();
    let second = forwarder(&container).unwrap();
    kill(Pid::from_raw(monitor), Signal::SIGKILL).unwrap();
    wait_until("it goes with the monitor", || !is_running(second));
}

/// On the host's loopback device, of both families, whose clients a container of user mode does not reach by itself.
#[test]
fn ports_of_the_loopback_device() {
    let lab = Lab::new();
    let server = std::env::current_exe().unwrap();
    let flags = ["run", "-d", "-p", "127.0.0.1::5300/udp", "-p", "[::1]::80", "-p", "81"];
    let script = format!(
        "mkdir -p /tmp/w; echo loop >/tmp/w/index.html; busybox httpd -p 80 -h /tmp/w; busybox httpd -p 81 -h /tmp/w; exec {} --exact user_network::udp_echo --ignored",
        server.display()
    );
    let id = lab.coracle([&flags[..], &["--rootfs", "/:O", "sh", "-ec", &script]].concat()).ok().text();
    let address = published(&lab, &id, "5300/udp");
    let socket = std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
    wait_until("the echo is there", || {
        let mut answer = [0; 16];
        socket.send_to(b"echo", &address).is_ok()
            && socket.recv(&mut answer).is_ok_and(|count| &answer[..count] == b"echo")
    });
    let any = lab.coracle(["port", &id, "81"]).ok().text();
    assert!(any.contains("0.0.0.0:") && any.contains("[::]:"), "{any}");
    let port = any.lines().next().unwrap().rsplit(':').next().unwrap().to_owned();
    for address in [published(&lab, &id, "80"), format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
        assert_eq!(heard(&address).as_deref(), Some("loop"), "{address}");
    }
    lab.coracle(["rm", "-f", "-t", "0", &id]).ok();
}

/// Much data arrives whole, in both ways at once, also after urgent data; a connection of which one half is closed passes on the
/// other.
#[test]
fn connections_are_passed_on_whole() {
    let lab = Lab::new();
    let script = "nc -ll -p 80 -e sha256sum & exec nc -ll -p 81 -e cat";
    let flags = ["--network=slirp4netns", "-p", "127.0.0.1::80", "-p", "127.0.0.1::81"];
    let container = Detached::start(&lab, &flags, &["sh", "-c", script]);
    let sent: Vec<u8> = (0..24_u32 << 20).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let (first, rest) = sent.split_at(1000);
    let answer = |port: &str| {
        let stream = TcpStream::connect(published(&lab, &container.id, port)).ok()?;
        stream.set_read_timeout(Some(crate::support::LIMIT)).unwrap();
        let mut answer = Vec::new();
        let is_whole = thread::scope(|scope| {
            scope.spawn(|| {
                let _ = (&stream).write_all(first);
                // What follows this byte is read by itself.
                let _ = nix::sys::socket::send(stream.as_raw_fd(), b"!", nix::sys::socket::MsgFlags::MSG_OOB);
                let _ = (&stream).write_all(rest);
                let _ = stream.shutdown(std::net::Shutdown::Write);
            });
            (&stream).read_to_end(&mut answer).is_ok()
        });
        (is_whole && !answer.is_empty()).then_some(answer)
    };
    wait_until("the server is there", || answer("81").is_some());
    assert!(answer("81").unwrap() == sent);
    let sum = output::run(&mut lab.program("sha256sum"), &sent, crate::support::LIMIT).ok().text();
    assert_eq!(String::from_utf8(answer("80").unwrap()).unwrap().trim(), sum);
}

#[test]
fn a_monitor_that_is_killed_takes_the_helper_along() {
    let lab = Lab::new();
    for network in BOTH {
        let container = Detached::start(&lab, &[network], &["sleep", "1000"]);
        let (init, (_, helper)) = (container.pid(), helper(&lab, &container.id));
        let monitor = crate::support::parent(init).unwrap();
        assert!(is_running(helper));
        kill(Pid::from_raw(monitor), Signal::SIGKILL).unwrap();
        wait_until("the container is gone", || !is_running(init));
        wait_until("the helper is gone", || !is_running(helper));
    }
}

#[test]
fn ports_stay_over_restarts_and_are_free_after_the_end() {
    let lab = Lab::new();
    for network in PUBLISHERS {
        let container = Detached::start(&lab, &[network, "-p", "127.0.0.1::80"], &["sleep", "1000"]);
        let address = published(&lab, &container.id, "80");
        lab.coracle(["stop", "-t", "0", &container.id]).ok();
        assert_eq!(lab.coracle(["port", &container.id]).ok().text(), "");
        drop(TcpListener::bind(&address).unwrap());
        lab.coracle(["start", &container.id]).ok();
        let (_, helper) = helper(&lab, &container.id);
        assert!(is_running(helper));
        lab.coracle(["restart", "-t", "0", &container.id]).ok();
        wait_until("the first helper is gone", || !is_running(helper));
        assert!(published(&lab, &container.id, "80").starts_with("127.0.0.1:"));
        let inside = lab.coracle(["exec", &container.id, "ip", "route"]).ok().text();
        assert!(inside.contains("default via 10.0.2.2"), "{inside}");
    }
}

#[test]
fn without_a_helper_the_container_runs_and_says_what_it_lacks() {
    let lab = Lab::new();
    let hidden = "for f in slirp4netns passt; do mount --bind /dev/null /usr/bin/$f; done;";
    let plain = |flags: &[&str]| {
        let tree = format!("{}:O", crate::support::busybox_tree().display());
        let words = [&["run", "--rm"], flags, &["--rootfs", &tree, "ls", "/sys/class/net"]].concat();
        let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        in_other_host(
            &lab,
            &format!("{hidden} exec {} {}", crate::support::coracle_path().display(), shell_words(&words)),
        )
    };
    let output = plain(&[]);
    assert_eq!(output.ok().text(), "lo");
    output.says("slirp4netns").says("--network none");
    assert_eq!(plain(&["--network=none"]).ok().errors(), "");
    plain(&["-p", "127.0.0.1::80"]).refused(125, "E_NO_HELPER").says("apt install slirp4netns");
    plain(&["--network=private"]).refused(125, "E_NO_HELPER");
    plain(&["--network=pasta"]).refused(125, "E_NO_HELPER").says("apt install passt");
}

#[test]
fn name_servers_follow_the_hosts() {
    let lab = Lab::new();
    let wait =
        "cat /etc/resolv.conf; until grep -q after.example /etc/resolv.conf; do sleep 0.1; done; cat /etc/resolv.conf";
    for (network, server) in [("slirp4netns", "10.0.2.3"), ("pasta", "192.0.2.54"), ("host", "192.0.2.54")] {
        let host = lab.write("resolv.conf", "search before.example\nnameserver 192.0.2.53\n");
        let (host, seen) = (host.display(), lab.path("seen"));
        let run = coracle_words(&[&format!("--network={network}")], wait);
        let script = format!(
            "mount --bind {host} /etc/resolv.conf; {run} >{seen} & until grep -q before.example {seen}; do sleep 0.05; done; \
             printf 'search after.example\\nnameserver 192.0.2.54\\n' >{host}; wait $!; cat {seen}; rm {seen}",
            seen = seen.display()
        );
        let text = in_other_host(&lab, &script).ok().text();
        assert!(text.starts_with("search before.example\n"), "{text}");
        assert!(text.ends_with(&format!("nameserver {server}")), "{network}: {text}");
    }
}

#[test]
fn names_of_hosts() {
    let lab = Lab::new();
    let flags = [
        "--network=slirp4netns:allow_host_loopback=true",
        "--name=web",
        "-h",
        "boat",
        "--add-host=db:10.0.0.6",
        "--add-host=up;www.up:host-gateway",
        "--dns-search=a.example",
        "--dns-option=ndots:2",
    ];
    let hosts = lab.sh(&flags, "cat /etc/hosts");
    let has = |line: &str| assert!(hosts.lines().any(|other| other == line), "no {line:?} in {hosts}");
    has("10.0.0.6\tdb");
    has("10.0.2.2\tup www.up");
    has("10.0.2.2\thost.containers.internal host.docker.internal");
    has("10.0.2.100\tboat web");
    let resolv = lab.sh(&flags, "cat /etc/resolv.conf");
    assert!(resolv.contains("search a.example\nnameserver 10.0.2.3\noptions ndots:2"), "{resolv}");
    assert_eq!(
        lab.sh(
            &["--network=private", "--dns=10.9.9.9", "--dns-search=.", "--dns-option=ndots:1"],
            "cat /etc/resolv.conf"
        ),
        "nameserver 10.9.9.9\noptions ndots:1"
    );
    lab.busybox(&["--network=none", "--add-host=up:host-gateway"], &["true"]).refused(125, "E_NETWORK");
    lab.write("hosts", "192.0.2.9 printer\n");
    let hosts = lab.sh(&["--network=private", "--hosts-file=hosts"], "cat /etc/hosts");
    assert!(hosts.contains("192.0.2.9 printer\n"), "{hosts}");
    lab.busybox(&["--network=private", "--hosts-file=missing"], &["true"]).refused(125, "E_NOTFOUND");
    let hosts = lab.sh(&["--network=none", "--no-hosts", "--no-hostname"], "cat /etc/hosts /etc/hostname 2>&1; true");
    assert!(!hosts.contains("127.0.0.1"), "{hosts}");
}

/// Host's names are asked for by the helper, wherever on the host the server is.
#[test]
fn a_resolver_on_the_hosts_loopback_is_asked() {
    let lab = Lab::new();
    let resolv = lab.write("resolv.conf", "nameserver 127.0.0.53\n");
    let server = std::env::current_exe().unwrap();
    for network in BOTH {
        let coracle = crate::support::coracle_path();
        let run = format!("{} run --rm {network} --rootfs /:O getent hosts boat.example", coracle.display());
        // In a network namespace of its own, where the port of name servers is ours, with a route for pasta to copy.
        let script = format!(
            "ip link set lo up; ip link add br0 type bridge; ip addr add 192.0.2.1/24 dev br0; ip link set br0 up; \
             ip route add default via 192.0.2.2; mount --bind {} /etc/resolv.conf; \
             {} --exact user_network::name_server --ignored --nocapture >/dev/null & S=$!; \
             until grep -q 3500007F:0035 /proc/net/udp; do sleep 0.05; done; {run}; kill $S",
            resolv.display(),
            server.display(),
        );
        let mut command = lab.program("unshare");
        command.args(["-rmn", "sh", "-ec", &script]);
        let output = output::run(&mut command, &[], crate::support::LIMIT);
        assert!(output.text().contains("192.0.2.77"), "{network}: {output:?}");
    }
}

/// A name server on the loopback device that gives one answer to whatever is asked.
#[test]
#[ignore = "started by a_resolver_on_the_hosts_loopback_is_asked"]
fn name_server() {
    let socket = std::net::UdpSocket::bind(("127.0.0.53", 53)).unwrap();
    let mut question = [0; 512];
    while let Ok((length, client)) = socket.recv_from(&mut question) {
        // The question, marked as an answer, with one record for the same name: of class IN and kind A.
        let mut answer = question[..length].to_vec();
        let is_for_v4 = question[length - 4..length] == [0, 1, 0, 1];
        answer[2..4].copy_from_slice(&[0x81, 0x80]);
        answer[6..8].copy_from_slice(&[0, u8::from(is_for_v4)]);
        if is_for_v4 {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 77]);
        }
        let _ = socket.send_to(&answer, client);
    }
}

/// An address of this machine that others reach it by.
pub fn own_address() -> String {
    let own = fs::read_to_string("/proc/net/fib_trie").unwrap();
    let own = own.lines().zip(own.lines().skip(1)).filter(|(_, next)| next.contains("/32 host LOCAL"));
    let mut own = own.filter_map(|(line, _)| line.trim().strip_prefix("|-- "));
    own.find(|ip| !ip.starts_with("127.")).unwrap().to_owned()
}

#[test]
fn clients_keep_their_address() {
    let lab = Lab::new();
    let who =
        lab.write("www/cgi-bin/who", "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\necho $REMOTE_ADDR\n");
    fs::set_permissions(&who, fs::Permissions::from_mode(0o755)).unwrap();
    let mount = format!("{}:/www:ro", lab.path("www").display());
    let own = own_address();
    for network in PUBLISHERS {
        let container = Detached::start(
            &lab,
            &[network, "-v", &mount, "-p", &format!("{own}::80")],
            &["httpd", "-f", "-p", "80", "-h", "/www"],
        );
        let address = published(&lab, &container.id, "80");
        wait_until("the server is there", || heard_at(&address, "/cgi-bin/who").is_some());
        let peer = heard_at(&address, "/cgi-bin/who").unwrap();
        assert!(peer.contains(&own), "{network}: {peer}");
    }
}

#[test]
fn all_exposed_ports() {
    let lab = Lab::new();
    let flags = ["--network=private", "-P", "--expose=80-81", "--expose=53/udp", "-p", "127.0.0.1::81"];
    let container = Detached::start(&lab, &flags, &["sleep", "1000"]);
    let ports = lab.inspect(&container.id)["NetworkSettings"]["Ports"].clone();
    for port in ["80/tcp", "81/tcp", "53/udp"] {
        assert!(ports[port][0]["HostPort"].as_str().unwrap().parse::<u16>().unwrap() > 0, "{port}: {ports}");
    }
    assert_eq!(ports["81/tcp"][0]["HostIp"], "127.0.0.1");
}

/// Names of namespaces, devices and files never become options of a helper (CVE-2024-32462).
#[test]
fn nothing_becomes_an_option_of_a_helper() {
    let lab = Lab::new();
    for network in [
        "pasta:--netns,/x",
        "pasta:--runas,0",
        "pasta:-m,--help",
        "slirp4netns:cidr=-v",
        "slirp4netns:outbound_addr=--x",
    ] {
        lab.busybox(&[&format!("--network={network}")], &["true"]).refused(125, "E_CONFIG");
    }
    for name in ["-v", "--x", "a b"] {
        let device = format!("--network=pasta:-I,{name}");
        let output = lab.busybox(&[&device], &["true"]);
        assert_ne!(output.code, 0, "{name}");
    }
}

/// Programs of the host, in a view of its files: a server inside, its client outside, and the reverse.
#[test]
fn real_servers_and_clients() {
    let lab = Lab::new();
    let nginx = "mkdir -p /tmp/n && cd /tmp/n && printf 'user root; pid /tmp/n/pid; error_log stderr; events {} http { access_log /dev/stdout; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s; \
                 server { listen 80; location / { return 200 boat; } } }' >c && exec nginx -g 'daemon off;' -c /tmp/n/c -p /tmp/n";
    for network in PUBLISHERS {
        let arguments = ["run", "-d", network, "-p", "127.0.0.1::80", "--rootfs", "/:O", "sh", "-ec", nginx];
        let id = lab.coracle(arguments).ok().text();
        let address = published(&lab, &id, "80");
        let curl = || {
            output::run(lab.program("curl").args(["-fsS", &format!("http://{address}/")]), &[], crate::support::LIMIT)
        };
        wait_until("nginx answers", || curl().code == 0);
        assert_eq!(curl().text(), "boat");
        lab.coracle(["rm", "-f", "-t", "0", &id]).ok();
    }
    let mut server = lab.program("iperf3");
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port().to_string();
    let mut server =
        crate::support::Running::start(server.args(["-s", "-B", "127.0.0.1", "-p", &port, "--forceflush"]));
    server.expect("listening");
    for network in WITH_LOOPBACK {
        let client =
            ["run", "--rm", network, "--rootfs", "/:O", "iperf3", "-c", GATEWAY, "-p", &port, "-n", "4M", "-J"];
        let report = lab.coracle(client).ok().json();
        // The server stops counting when the client says that it has sent everything.
        let bytes = |sum: &str| report["end"][sum]["bytes"].as_u64().unwrap();
        assert!(bytes("sum_sent") >= 4 << 20 && bytes("sum_received") > 0, "{network}: {report}");
    }
}

/// With its own user and its own files, in the network of another.
#[test]
fn the_network_of_another_container_is_joined() {
    let lab = Lab::new();
    let web =
        Detached::start(&lab, &["--name=web", "--network=slirp4netns"], &["sh", "-c", &serve(8000, "hello from web")]);
    let side = Detached::start(&lab, &["--name=side", "--network=container:web"], &["sleep", "1000"]);
    let fetch = ["wget", "-q", "-O", "-", "http://127.0.0.1:8000/"];
    let exec = |command: &[&str]| lab.coracle([&["exec", "side"], command].concat());
    wait_until("the other's server is there", || exec(&fetch).text() == "hello from web");
    // Its devices are seen, and may be changed; its processes and files are not there.
    assert!(exec(&["ip", "-o", "-4", "addr"]).ok().text().contains("10.0.2.100"));
    assert_eq!(exec(&["ls", "/sys/class/net"]).ok().text().split_whitespace().collect::<Vec<_>>(), ["eth0", "lo"]);
    assert!(!exec(&["ps"]).ok().text().contains("httpd"));
    assert_eq!(exec(&["hostname"]).ok().text(), side.id[..12]);
    let namespaces = |id: &str| {
        let pid = lab.inspect(id)["State"]["Pid"].as_i64().unwrap();
        ["net", "user", "pid", "mnt"].map(|kind| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap())
    };
    let (theirs, ours) = (namespaces("web"), namespaces("side"));
    assert_eq!((&theirs[..2], theirs[2] == ours[2], theirs[3] == ours[3]), (&ours[..2], false, false));
    assert_eq!(lab.inspect("side")["HostConfig"]["NetworkMode"], format!("container:{}", web.id));
    // In the foreground, and by the path of the namespace.
    assert_eq!(lab.busybox(&["--network=container:web"], &fetch).ok().text(), "hello from web");
    let path = format!("--network=ns:/proc/{}/ns/net", web.pid());
    assert_eq!(lab.busybox(&[&path], &fetch).ok().text(), "hello from web");
    // It outlives neither a stop of its own nor of the other one.
    lab.coracle(["restart", "-t", "0", "side"]).ok();
    assert_eq!(exec(&["ls", "/sys/class/net"]).ok().text().split_whitespace().count(), 2);
    lab.coracle(["stop", "-t", "0", "web"]).ok();
    assert_eq!(exec(&["true"]).code, 0);
    lab.coracle(["restart", "-t", "0", "side"]).refused(125, "E_STATE");
}

#[test]
fn networks_that_cannot_be_joined() {
    let lab = Lab::new();
    lab.busybox(&["--network=container:missing"], &["true"]).refused(125, "E_NOTFOUND");
    lab.busybox(&["--network=ns:/missing"], &["true"]).refused(125, "E_NOTFOUND");
    lab.busybox(&["--network=ns:/etc/passwd"], &["true"]).refused(125, "E_NETWORK").says("network namespace");
    // The host's, by its path, is not ours to enter: --network host is another thing.
    lab.busybox(&["--network=ns:/proc/self/ns/net"], &["true"]).refused(125, "E_NETWORK");
    let _web = Detached::start(&lab, &["--name=web", "-u", "1000:1000"], &["sleep", "1000"]);
    lab.busybox(&["--network=container:web"], &["true"]).refused(125, "E_NETWORK").says("--user 1000:1000");
    assert_eq!(lab.sh(&["--network=container:web", "-u", "1000:1000"], "id -u; ls /sys/class/net"), "1000\nlo");
}

/// The helper serves whoever the container's user is.
#[test]
fn users_other_than_root_have_a_network() {
    let lab = Lab::new();
    let greeter = Greeter::start();
    for network in WITH_LOOPBACK {
        let script = format!("id -u; {}", listen_to(GATEWAY, greeter.port));
        let text = with_hosts_programs(&lab, &[network, "-u", "1000:1000"], &script);
        assert_eq!(text, "1000\nhello from outside", "{network}");
    }
}
