//! `volume create --opt`, `export`, `import`, `mount`, and drivers.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::support::{Canary, Lab, image, output};

fn sh(lab: &Lab, flags: &[&str], script: &str) -> output::Output {
    let flags = ["run", "--rm"].into_iter().chain(flags.iter().copied());
    lab.coracle(flags.chain([image("layers").as_str(), "sh", "-c", script]))
}

#[test]
fn what_is_exported_can_be_imported() {
    let lab = Lab::new();
    for name in ["data", "copy"] {
        lab.coracle(["volume", "create", name]).ok();
    }
    let make = "cd /v && mkdir -p d/e && echo one >d/e/f && ln d/e/f hard && ln -s d/e soft && mkfifo p && chmod 750 d && \
                touch -d @1000000000 d/e/f";
    sh(&lab, &["-v", "data:/v"], make).ok();
    lab.coracle(["volume", "export", "-o", "data.tar", "data"]).ok();
    let listed = output::run(lab.program("/usr/bin/tar").args(["-tf", "data.tar"]), &[], crate::support::LIMIT);
    assert!(listed.text().contains("d/e/f"), "{listed:?}");
    sh(&lab, &["-v", "copy:/v"], "echo mine >/v/mine; echo old >/v/hard").ok();
    lab.coracle(["volume", "import", "copy", "data.tar"]).ok();
    let look =
        "cd /v && stat -c '%a %F %h %s %Y %n' d d/e/f hard && readlink soft && cat hard && test -p p && echo pipe";
    let copied = sh(&lab, &["-v", "copy:/v"], look).ok().text();
    assert_eq!(copied, sh(&lab, &["-v", "data:/v"], look).ok().text());
    assert!(copied.ends_with("one\npipe"), "{copied}");
    assert_eq!(sh(&lab, &["-v", "copy:/v"], "cat /v/mine").text(), "mine", "what was there stays");
    // By a pipe, compressed.
    let archive = fs::read(lab.path("data.tar")).unwrap();
    let packed = output::run(lab.program("/usr/bin/gzip").arg("-c"), &archive, crate::support::LIMIT);
    lab.coracle(["volume", "create", "third"]).ok();
    lab.coracle_with_input(["volume", "import", "third", "-"], &packed.stdout).ok();
    assert_eq!(sh(&lab, &["-v", "third:/v"], "cat /v/hard").text(), "one");
    lab.coracle(["volume", "export", "none"]).refused(125, "E_NOTFOUND");
    lab.coracle(["volume", "import", "none", "data.tar"]).refused(125, "E_NOTFOUND");
    lab.coracle(["volume", "import", "third", "none.tar"]).refused(125, "E_NOTFOUND").says("none.tar");
    lab.coracle_with_input(["volume", "import", "third"], b"no archive, but long enough to be looked at").exited(125);
}

/// CVE-2023-0778, CVE-2026-53489: links in the volume and names in the archive lead nowhere else.
#[test]
fn neither_leads_out_of_the_volume() {
    let lab = Lab::new();
    lab.write("outside/secret", "canary");
    let canary = Canary::watch(lab.path("outside"));
    let outside = lab.arg("outside");
    lab.coracle(["volume", "create", "data"]).ok();
    sh(&lab, &["-v", "data:/v"], &format!("ln -s {outside} /v/out; ln -s ../../../../../../../../..{outside} /v/up"))
        .ok();
    let exported = lab.coracle(["volume", "export", "data"]);
    assert!(!exported.ok().stdout.windows(6).any(|bytes| bytes == b"canary"), "a link was followed");
    for name in ["out/new", "up/new", "../new", "/../new"] {
        lab.write("evil", "evil");
        let mut tar = lab.program("/usr/bin/tar");
        tar.args(["-P", "-cf", "-", &format!("--transform=s,evil,{name},"), "evil"]);
        let archive = output::run(&mut tar, &[], crate::support::LIMIT);
        lab.coracle_with_input(["volume", "import", "data", "-"], &archive.stdout).exited(125);
        canary.assert_unchanged();
    }
    assert!(!lab.path("new").exists() && !lab.root().join("new").exists());
}

#[test]
fn a_directory_of_the_host_and_memory() {
    let lab = Lab::new();
    lab.write("srv/file", "host");
    let device = format!("device={}", lab.arg("srv"));
    lab.coracle(["volume", "create", "-o", "type=none", "-o", "o=bind,ro", "-o", &device, "host"]).ok();
    assert_eq!(sh(&lab, &["-v", "host:/v"], "cat /v/file; touch /v/x 2>/dev/null || echo ro").ok().text(), "hostro");
    lab.coracle(["volume", "create", "-o", "o=bind", "-o", &device, "both"]).ok();
    sh(&lab, &["-v", "both:/v"], "echo inside >/v/new").ok();
    assert_eq!(fs::read_to_string(lab.path("srv/new")).unwrap(), "inside\n");
    lab.coracle(["volume", "rm", "host", "both"]).ok();
    assert!(lab.path("srv/file").exists(), "only the volume goes");
    lab.coracle(["volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,mode=711", "mem"]).ok();
    let script = "stat -c %a /v; dd if=/dev/zero of=/v/x bs=1M count=2 2>/dev/null || echo full";
    assert_eq!(sh(&lab, &["-v", "mem:/v"], script).ok().text(), "711\nfull");
    assert_eq!(sh(&lab, &["-v", "mem:/v"], "ls /v").ok().text(), "");
    lab.coracle(["volume", "export", "mem"]).refused(125, "E_UNSUPPORTED").says("memory");
    lab.coracle(["volume", "create", "-o", "o=bind", "-o", "device=/no/such", "bad"]).ok();
    sh(&lab, &["-v", "bad:/v"], "true").refused(125, "E_NOTFOUND").says("/no/such");
    let store = format!("device={}", lab.store().display());
    lab.coracle(["volume", "create", "-o", "o=bind", "-o", &store, "own"]).ok();
    sh(&lab, &["-v", "own:/v"], "true").refused(125, "E_PATH_ESCAPE");
    for (options, part) in
        [(&["type=nfs", "device=:/x"][..], "nfs"), (&["o=size=1g"], "size=1g"), (&["colour=red"], "colour")]
    {
        let flags = options.iter().flat_map(|option| ["-o", option]);
        lab.coracle(["volume", "create"].into_iter().chain(flags).chain(["x"])).exited(125).says(part);
    }
    lab.coracle(["volume", "create", "--uid", "5", "--gid", "6", "owned"]).ok();
    let report = lab.coracle(["volume", "inspect", "owned"]).ok().json()[0].clone();
    assert_eq!((&report["UID"], &report["GID"]), (&5.into(), &6.into()));
    // The same in the words of --mount, for one that is not there.
    let flag = format!("src=made,dst=/v,volume-opt=o=bind,volume-opt={device}");
    assert_eq!(sh(&lab, &["--mount", &flag], "cat /v/file").ok().text(), "host");
}

#[test]
fn where_a_volume_is() {
    let lab = Lab::new();
    lab.coracle(["volume", "create", "data"]).ok();
    let path = lab.coracle(["volume", "mount", "data"]).ok().text();
    fs::write(std::path::Path::new(&path).join("file"), "host").unwrap();
    assert_eq!(sh(&lab, &["-v", "data:/v"], "cat /v/file").ok().text(), "host");
    assert_eq!(lab.coracle(["volume", "unmount", "data"]).ok().text(), "data");
    lab.coracle(["volume", "mount", "none"]).refused(125, "E_NOTFOUND");
}

/// A driver that keeps volumes in directories, as a program: what it was asked for is in `asked`.
fn install_program(lab: &Lab) {
    let plugins = lab.root().join("config/coracle/plugins");
    fs::create_dir_all(&plugins).unwrap();
    fs::create_dir_all(lab.path("kept")).unwrap();
    let kept = lab.arg("kept");
    let script = format!(
        r#"#!/bin/sh
question=$(cat)
echo "$1 $question" >>{kept}/../asked
name=$(echo "$question" | sed -n 's/.*"Name":"\([^"]*\)".*/\1/p')
case $1 in
create) [ "$name" = bad ] && {{ echo '{{"Err":"no room for bad ones"}}'; exit; }}; mkdir {kept}/$name; echo '{{}}' ;;
remove) rm -r {kept}/$name ;;
mount|path) echo "{{\"Mountpoint\":\"{kept}/$name\"}}" ;;
unmount) ;;
list) ls {kept} | sed 's/.*/{{"Name":"&"}}/' | paste -sd, | sed 's/.*/{{"Volumes":[&]}}/' ;;
*) echo "unknown $1" >&2; exit 1 ;;
esac
"#
    );
    // Written by another process, so that no fork of a test beside us keeps it busy.
    let path = plugins.join("coracle-volume-dirs");
    let mut write = lab.program("/bin/sh");
    write.args(["-c", "cat >\"$1\" && chmod 755 \"$1\"", "sh"]).arg(&path);
    output::run(&mut write, script.as_bytes(), crate::support::LIMIT).ok();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o111, 0o111);
}

fn asked(lab: &Lab) -> Vec<String> {
    let text = fs::read_to_string(lab.path("asked")).unwrap_or_default();
    text.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn a_program_keeps_volumes() {
    let lab = Lab::new();
    install_program(&lab);
    lab.coracle(["volume", "create", "-d", "dirs", "-o", "speed=high", "data"]).ok();
    assert!(fs::read_to_string(lab.path("asked")).unwrap().contains(r#""Opts":{"speed":"high"}"#));
    sh(&lab, &["-v", "data:/v"], "echo kept >/v/file").ok();
    assert_eq!(fs::read_to_string(lab.path("kept/data/file")).unwrap(), "kept\n");
    assert_eq!(asked(&lab), ["create", "mount", "unmount"]);
    let report = lab.coracle(["volume", "inspect", "data"]).ok().json()[0].clone();
    assert_eq!(
        (&report["Driver"], report["Mountpoint"].as_str().unwrap()),
        (&"dirs".into(), lab.arg("kept/data").as_str())
    );
    assert_eq!(lab.coracle(["volume", "ls", "-q", "--filter", "driver=dirs"]).ok().text(), "data");
    lab.coracle(["volume", "export", "-o", "data.tar", "data"]).ok();
    // It stays mounted as long as the container runs, whoever is killed.
    lab.coracle(["run", "-d", "--name", "c", "-v", "data:/v", &image("layers"), "sleep", "1000"]).ok();
    lab.coracle(["volume", "rm", "data"]).refused(2, "E_BUSY");
    let before = asked(&lab).iter().filter(|word| *word == "unmount").count();
    lab.coracle(["rm", "-f", "c"]).ok();
    assert_eq!(asked(&lab).iter().filter(|word| *word == "unmount").count(), before + 1);
    lab.coracle(["volume", "create", "-d", "dirs", "bad"]).refused(125, "E_DRIVER").says("no room for bad ones");
    assert_eq!(lab.coracle(["volume", "ls", "-q"]).ok().text(), "data");
    // What the driver has, and what it has no more.
    fs::create_dir(lab.path("kept/found")).unwrap();
    assert_eq!(lab.coracle(["volume", "reload"]).ok().text(), "Added:\nfound");
    fs::remove_dir(lab.path("kept/found")).unwrap();
    assert_eq!(lab.coracle(["volume", "reload"]).ok().text(), "Removed:\nfound");
    lab.coracle(["volume", "rm", "data"]).ok();
    assert!(!lab.path("kept/data").exists());
    lab.coracle(["volume", "create", "-d", "nosuch", "x"])
        .refused(125, "E_UNSUPPORTED")
        .says("nosuch")
        .says("nosuch.sock");
    for name in ["../x", "a/b", ""] {
        lab.coracle(["volume", "create", "-d", name, "x"]).exited(125);
    }
    // One that is made with its container.
    sh(&lab, &["--mount", "src=made,dst=/v,volume-driver=dirs"], "echo x >/v/x").ok();
    assert!(lab.path("kept/made/x").exists());
    lab.assert_clean();
}

/// A service that speaks Docker's protocol.
#[allow(clippy::disallowed_methods, reason = "it ends with the program: a test that fails does not wait for it")]
pub fn serve_at(lab: &Lab, socket: &Path) -> Arc<Mutex<Vec<String>>> {
    fs::create_dir_all(lab.path("served")).unwrap();
    let directory = lab.arg("served");
    let listener = UnixListener::bind(socket).unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&asked);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                head.push_str(&line);
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let method = head.split(' ').nth(1).unwrap().to_owned();
            heard.lock().unwrap().push(method.clone());
            let answer = match method.as_str() {
                "/VolumeDriver.Mount" | "/VolumeDriver.Path" => format!(r#"{{"Mountpoint":"{directory}","Err":""}}"#),
                "/VolumeDriver.Remove" => r#"{"Err":"not today"}"#.to_owned(),
                _ => r#"{"Err":""}"#.to_owned(),
            };
            let status = if method.ends_with("Remove") { "500 Internal Server Error" } else { "200 OK" };
            write!(stream, "HTTP/1.0 {status}\r\nContent-Length: {}\r\n\r\n{answer}", answer.len()).unwrap();
        }
    });
    asked
}

#[test]
fn a_service_keeps_volumes() {
    let lab = Lab::new();
    let plugins = lab.root().join("config/coracle/plugins");
    fs::create_dir_all(&plugins).unwrap();
    let asked = serve_at(&lab, &plugins.join("svc.sock"));
    lab.coracle(["volume", "create", "-d", "svc", "data"]).ok();
    sh(&lab, &["-v", "data:/v:noexec"], "echo kept >/v/file").ok();
    assert_eq!(fs::read_to_string(lab.path("served/file")).unwrap(), "kept\n");
    let heard = asked.lock().unwrap().clone();
    assert_eq!(heard, ["/VolumeDriver.Create", "/VolumeDriver.Mount", "/VolumeDriver.Unmount"]);
    lab.coracle(["volume", "rm", "data"]).says("not today");
    assert_eq!(lab.coracle(["volume", "ls", "-q"]).ok().text(), "data");
}
