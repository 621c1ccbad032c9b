//! How root file systems are made: by the kernel's overlay, or by ours.

use std::fs;

use crate::diff::keep;
use crate::support::{LIMIT, Lab, image, output, wait_until};

/// `coracle --storage-driver DRIVER ARGUMENTS`.
fn with(lab: &Lab, driver: &str, arguments: &[&str]) -> output::Output {
    lab.coracle([&["--storage-driver", driver], arguments].concat())
}

fn run(lab: &Lab, driver: &str, flags: &[&str], script: &str) -> output::Output {
    let image = image("busybox");
    with(lab, driver, &[&["run"], flags, &[&image, "sh", "-ec", script]].concat())
}

/// What is done to files in many ways; what it prints does not depend on who serves them.
const WORK: &str = r#"
    mkdir /d; echo a >/d/a; ln /d/a /d/b; echo b >>/d/b; cat /d/a; mv /d /e; rm /e/a; cat /e/b
    echo more >>/etc/passwd; tail -n 1 /etc/passwd; chmod 600 /etc/group; stat -c %a /etc/group
    rm -r /etc/os-release; [ ! -e /etc/os-release ]; mkdir /etc/os-release; ls -A /etc/os-release
    rm -r /home; mkdir /home; ls -A /home
    exec 3<>/tmp/open; rm /tmp/open; echo still there >&3; cat /proc/self/fd/3
    truncate -s 10M /tmp/holes; du -k /tmp/holes; ln -s target /link; readlink /link; mkfifo /pipe; [ -p /pipe ]
    touch -d @1000000000 /tmp/old; stat -c %Y /tmp/old; mv /tmp/old /link; stat -c %F /link; cat /etc/hostname >/dev/null
    "#;

#[test]
fn all_drivers_do_the_same() {
    let lab = Lab::new();
    let mut seen = ["overlay", "fuse", "copy"].map(|driver| {
        let text = run(&lab, driver, &["--name", driver], WORK).ok().text();
        let read_by = |other| with(&lab, other, &["diff", driver]).ok().text();
        let (diff, by_other) = (lab.coracle(["diff", driver]).ok().text(), read_by("fuse"));
        assert_eq!(diff, read_by("copy"));
        (text, diff, by_other)
    });
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
    let (_, diff, read_by_other) = std::mem::take(&mut seen[0]);
    assert_eq!(diff, read_by_other);
    assert!(
        diff.contains("A /e/b") && diff.contains("D /etc/os-release") != diff.contains("C /etc/os-release"),
        "{diff}"
    );
    assert_eq!(lab.inspect("fuse")["GraphDriver"]["Name"], "fuse");
    assert_eq!(lab.inspect("overlay")["GraphDriver"]["Name"], "overlay");
    let copied = &lab.inspect("copy")["GraphDriver"];
    assert_eq!(copied["Name"], "copy");
    assert!(fs::exists(format!("{}/e/b", copied["Data"]["Dir"].as_str().unwrap())).unwrap(), "{copied}");
    lab.coracle(["rm", "overlay", "fuse", "copy"]).ok();
    lab.assert_clean();
}

#[test]
fn a_container_moves_from_one_driver_to_another() {
    let lab = Lab::new();
    let script = "echo start >>/etc/count; rm -r /etc/os-release 2>/dev/null; rm -rf /new; mkdir /new; ls -A /new /home; wc -l </etc/count; \
                  cat /proc/mounts | grep ' / ' | cut -d' ' -f3";
    keep(&lab, "c", &[], script);
    let runs = [
        ("fuse", "fuse"),
        ("overlay", "overlay"),
        ("copy", "ext4"),
        ("copy", "ext4"),
        ("overlay", "overlay"),
        ("copy", "ext4"),
        ("fuse", "fuse"),
    ];
    for (number, (driver, kind)) in runs.into_iter().enumerate() {
        let text = with(&lab, driver, &["start", "-a", "c"]).ok().text();
        let is_kind = text.ends_with(&format!("\n{kind}")) || driver == "copy";
        assert!(is_kind && text.contains(&format!("\n{}\n", number + 2)), "{driver}: {text}");
        let id = lab.inspect("c")["Id"].as_str().unwrap().to_owned();
        assert_eq!(lab.store().join("containers").join(id).join("copy").exists(), driver == "copy");
    }
    // It stays what it was last said to be.
    assert!(lab.coracle(["start", "-a", "c"]).ok().text().ends_with("fuse"));
    let text = lab.coracle(["export", "c"]).ok().stdout.clone();
    assert!(text.windows(9).any(|window| window == b"etc/count"));
    lab.coracle(["commit", "-q", "c", "localhost/committed"]).ok();
    let text = with(&lab, "overlay", &["run", "--rm", "localhost/committed", "cat", "/etc/count"]).ok().text();
    assert_eq!(text.lines().count(), 9, "{text}");
    let file = lab.write("file", "of the host");
    with(&lab, "fuse", &["cp", file.to_str().unwrap(), "c:/etc/copied"]).ok();
    assert_eq!(
        fs::read_to_string(
            lab.store().join("containers").join(lab.inspect("c")["Id"].as_str().unwrap()).join("upper/etc/copied")
        )
        .unwrap(),
        "of the host"
    );
}

#[test]
fn a_dead_server_is_told_and_nothing_hangs() {
    let lab = Lab::new();
    let script = "while :; do echo x >>/written; done 2>/dev/null; while cat /etc/hostname /proc/self/stat >/dev/null; do :; done; sleep 1000 & wait";
    with(&lab, "fuse", &["run", "-d", "--name", "c", &image("busybox"), "sh", "-c", script]).ok();
    let id = lab.inspect("c")["Id"].as_str().unwrap().to_owned();
    let upper = lab.store().join("containers").join(&id).join("upper");
    wait_until("something is written", || fs::metadata(upper.join("written")).is_ok_and(|file| file.len() > 4096));
    let monitor = crate::support::parent(lab.inspect("c")["State"]["Pid"].as_i64().unwrap() as i32).unwrap();
    let served = crate::support::descendants(monitor).into_iter().find(|pid| {
        fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with("coracle-fuse"))
    });
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(served.unwrap()), nix::sys::signal::Signal::SIGKILL).unwrap();
    wait_until("the monitor tells", || {
        lab.inspect("c")["State"]["Error"].as_str().is_some_and(|error| error.contains("root file system has died"))
    });
    let status = lab.coracle(["ps", "--format", "{{.Status}}"]).ok().text();
    assert!(status.starts_with("Up ") && status.ends_with(" (Degraded)"), "{status}");
    // Whatever the container does about it: it can be asked, and ended.
    let _ = lab.coracle(["exec", "c", "cat", "/etc/passwd"]);
    lab.coracle(["stop", "-t", "1", "c"]).ok();
    let text = fs::read_to_string(upper.join("written")).unwrap();
    assert!(text.lines().all(|line| line == "x"), "the upper layer is damaged");
    let text = with(&lab, "overlay", &["run", "--rm", &image("busybox"), "echo", "others live"]).ok().text();
    assert_eq!(text, "others live");
    lab.coracle(["rm", "-f", "-t", "0", "c"]).ok();
}

#[test]
fn the_upper_layer_has_a_limit_where_it_can_have_one() {
    let lab = Lab::new();
    let fill = "dd if=/dev/zero of=/f bs=1M count=12 conv=fsync 2>/dev/null && exit 9; rm /f; dd if=/dev/zero of=/f bs=1M count=6 conv=fsync 2>/dev/null; \
                df -k / | tail -n 1 | tr -s ' ' | cut -d' ' -f2";
    let output = lab.run_image("busybox", &["--storage-opt", "size=10m"], &["sh", "-c", fill]);
    assert_eq!(output.ok().text(), "10240");
    for driver in ["overlay", "copy"] {
        run(&lab, driver, &["--rm", "--storage-opt", "size=10m"], "true").refused(125, "E_UNSUPPORTED").says("fuse");
    }
    lab.run_image("busybox", &["--storage-opt", "colour=red"], &["true"]).refused(125, "E_CONFIG");
    lab.coracle(["--storage-driver", "btrfs", "ps"]).refused(125, "E_CONFIG");
}

#[test]
fn the_next_way_is_taken_where_one_cannot_be_had() {
    let lab = Lab::new();
    lab.pull("busybox");
    // An overlay is nothing that the kernel puts an overlay's upper directory on.
    let script = r#"set -e
        mkdir -p "$1"; mkdir -m 700 "$1/upper" "$1/work"
        mount -t overlay overlay -o "userxattr,lowerdir=$2,upperdir=$1/upper,workdir=$1/work" "$2"
        "$3" run --rm "$4" sh -c 'grep " / " /proc/mounts | cut -d" " -f3; touch /x' 2>"$1/first"
        "$3" run --rm "$4" true 2>"$1/second"
        "$3" run --rm "$4" sh -ec 'rm /etc/group; mkdir /etc/group; ! [ -e /etc/group/x ]; rmdir /etc/group; mv /etc/passwd /p; ls -A /etc/group /etc/passwd 2>&1' | wc -l
        "$3" run --rm "$5" sh -c 'cat /changed; ls -d /deleted /gone 2>&1 | wc -l'
        "$3" info --format '{{.Store.GraphDriverName}}'
        mount --bind /dev/null /dev/fuse
        "$3" run --name c "$4" sh -c 'grep " / " /proc/mounts | cut -d" " -f3; echo new >/etc/new; rm /etc/group' 2>"$1/third"
        "$3" info --format '{{.Store.GraphDriverName}}'
        "$3" inspect --format '{{.GraphDriver.Name}}: {{.GraphDriver.Data.Reason}}' c >"$1/reason"
        "$3" diff c
        "$3" commit -q c localhost/committed >/dev/null
        "$3" run --rm localhost/committed sh -c 'cat /etc/new; ls /etc/group 2>&1'  || true
        "$3" create --name made "$5" cat /etc/hostname >/dev/null
        "$3" cp "$1/reason" made:/copied
        "$3" export made | tar -tf - copied
        "$3" diff made
        sh -ec 'path=$("$1" image mount "$2"); cat "$path/changed"; "$1" image unmount "$2" >/dev/null' sh "$3" "$5"
        ! "$3" run --rm --storage-opt size=1m "$4" true 2>"$1/limited"
        "$3" rm c made >/dev/null; "$3" rmi -f "$5" >/dev/null; ls "$2/tmp" "$2/merged""#;
    let place = lab.arg("overlay");
    let program = crate::support::coracle_path();
    let (store, image, layers) = (lab.store(), image("busybox"), image("layers"));
    let arguments = [place.as_str(), store.to_str().unwrap(), program.to_str().unwrap(), &image, &layers];
    let mut command = lab.program("/usr/bin/unshare");
    command.args(["-Urm", "sh", "-c", script, "sh"]).args(arguments);
    let output = output::run(&mut command, &[], LIMIT);
    let text = output.ok().text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..4], ["fuse", "2", "second", "2"], "{text}");
    let lines = &lines[4..];
    assert_eq!(lines[..7], ["fuse", "overlay", "copy", "C /etc", "D /etc/group", "A /etc/new", "new"], "{text}");
    assert_eq!(lines[8..11], ["copied", "A /copied", "second"], "{text}");
    let said = |name: &str| fs::read_to_string(format!("{place}/{name}")).unwrap();
    assert!(said("first").contains("made by fuse") && said("first").contains("kernel overlay"), "{}", said("first"));
    assert_eq!(said("second"), "", "it is told once");
    let third = said("third");
    assert!(
        third.contains("made by copy") && third.contains("kernel overlay") && third.contains("FUSE overlay"),
        "{third}"
    );
    assert_eq!(third.lines().count(), 1, "{third}");
    assert!(said("reason").starts_with("copy: ") && said("reason").contains("FUSE overlay"), "{}", said("reason"));
    assert!(said("limited").contains("FUSE overlay") && !said("limited").contains("copy"), "{}", said("limited"));
}

#[test]
fn what_a_copy_was_made_of_is_not_written_to() {
    let lab = Lab::new();
    let script = "echo changed >>/changed; ln /changed /linked; echo again >>/linked; chmod 700 /etc; chmod 600 /etc/group; touch -d @5 /etc/hostname 2>/dev/null; \
                  find / -xdev -type f | head -n 1 >/dev/null; rm -rf /home";
    with(&lab, "copy", &["run", "--name", "c", &image("layers"), "sh", "-c", script]).ok();
    lab.coracle(["system", "check"]).ok();
    let size = lab.coracle(["ps", "-a", "--size", "--format", "{{.Size}}"]).ok().text();
    assert!(!size.starts_with('0'), "{size}");
    let read = |driver: &str| with(&lab, driver, &["run", "--rm", &image("layers"), "cat", "/changed"]).ok().text();
    let before = read("overlay");
    assert!(!before.contains("again"));
    let look = "cat /changed; stat -c %a /etc; [ $(stat -c %i /changed) = $(stat -c %i /linked) ] && ! [ -e /home ] && echo same";
    lab.coracle(["commit", "-q", "c", "localhost/c"]).ok();
    for driver in ["overlay", "fuse", "copy"] {
        let seen = with(&lab, driver, &["run", "--rm", "localhost/c", "sh", "-c", look]).ok().text();
        assert_eq!(seen, format!("{before}\nchanged\nagain\n700\nsame"), "{driver}");
    }
    assert_eq!(read("copy"), before);
    // What has the same size and time is looked at.
    let forged =
        "cp -p /etc/passwd /tmp/old; sed -i 's/root/ROOT/' /etc/passwd; touch -r /tmp/old /etc/passwd; rm /tmp/old";
    with(&lab, "copy", &["run", "--name", "forged", &image("busybox"), "sh", "-c", forged]).ok();
    assert!(lab.coracle(["diff", "forged"]).ok().text().contains("C /etc/passwd"));
    lab.coracle(["rm", "c", "forged"]).ok();
}

#[test]
fn what_is_configured_about_storage_counts_or_is_listed() {
    let lab = Lab::new();
    let image = image("busybox");
    let go = |conf: &str, variables: &[(&str, &str)], arguments: &[&str]| {
        let file = lab.write("config/containers/storage.conf", conf);
        let mut command = lab.command(arguments);
        command.env("CONTAINERS_STORAGE_CONF", file).envs(variables.iter().copied());
        output::run(&mut command, &[], LIMIT)
    };
    let kind = [
        "run",
        "--rm",
        &image,
        "sh",
        "-c",
        "grep ' / ' /proc/mounts | cut -d' ' -f3; df -k / | tail -n 1 | tr -s ' ' | cut -d' ' -f2",
    ];
    let fuse = "[storage]\ndriver = \"overlay\"\n[storage.options.overlay]\nmount_program = \"/usr/bin/fuse-overlayfs\"\nsize = \"10m\"\n";
    assert_eq!(go(fuse, &[], &kind).ok().text(), "fuse\n10240");
    assert!(go(fuse, &[("STORAGE_OPTS", "overlay.size=5m")], &kind).ok().text().ends_with("\n5120"));
    assert!(go("", &[("STORAGE_DRIVER", "fuse")], &kind).ok().text().starts_with("fuse\n"));
    let before = [&["--storage-opt", "overlay.mount_program=/x", "--storage-opt", "size=7m"], &kind[..]].concat();
    assert_eq!(go("[storage]\ndriver = \"overlay\"", &[], &before).ok().text(), "fuse\n7168");
    go("", &[], &["--storage-opt", "overlay.inodes=5", "ps"]).refused(125, "E_UNSUPPORTED").says("number of files");
    go("", &[("STORAGE_OPTS", "colour=red")], &["ps"]).refused(125, "E_UNSUPPORTED").says("STORAGE_OPTS");
    go("", &[("STORAGE_DRIVER", "zfs")], &["ps"]).refused(125, "E_CONFIG").says("STORAGE_DRIVER");
    // A container stays what it is, and says so.
    go(fuse, &[], &["run", "--name", "c", &image, "true"]).ok();
    assert_eq!(lab.inspect("c")["GraphDriver"]["Name"], "fuse");
    assert!(lab.inspect("c")["GraphDriver"]["Data"]["Reason"].as_str().unwrap().contains("storage.conf"));
    let of_others =
        "[storage]\ndriver = \"zfs\"\ngraphroot = \"/x\"\n[storage.options]\nadditionalimagestores = [\"/y\"]\n";
    let listed =
        go(of_others, &[], &["info", "--format", "{{.Store.ConfigFile}} {{.Store.ConfigWithoutEffect}}"]).ok().text();
    for key in ["storage.conf", "storage.driver", "storage.graphroot", "storage.options.additionalimagestores"] {
        assert!(listed.contains(key), "{key}: {listed}");
    }
    let broken = go("[storage\n", &[], &kind);
    broken.ok();
    broken.says("storage.conf: line 1");
}

#[test]
fn images_and_directories_are_served_too() {
    let lab = Lab::new();
    lab.pull("layers");
    let script = r#"path=$("$1" --storage-driver fuse image mount "$2") && cat "$path/changed" && ! touch "$path/x" 2>/dev/null &&
        grep -c " $path fuse " /proc/mounts && "$1" image unmount "$2" >/dev/null"#;
    let program = crate::support::coracle_path();
    let output = lab.coracle(["unshare", "sh", "-c", script, "sh", program.to_str().unwrap(), &image("layers")]);
    assert!(output.ok().text().ends_with("\n1"), "{output:?}");
    let tree = crate::hostile::tree(&lab, ":");
    let script = "echo inside >/new; rm -r /home; grep ' / ' /proc/mounts | cut -d' ' -f3";
    let text = with(&lab, "fuse", &["run", "--rm", "--rootfs", &format!("{tree}:O"), "sh", "-c", script]).ok().text();
    assert_eq!(text, "fuse");
    assert!(!fs::exists(format!("{tree}/new")).unwrap() && fs::exists(format!("{tree}/home/app")).unwrap());
    let rootfs = format!("{tree}:O");
    with(&lab, "fuse", &["run", "-d", "--name", "d", "--rootfs", &rootfs, "sleep", "1000"]).ok();
    lab.coracle(["exec", "d", "sh", "-c", "echo made:x:0:0::/:/bin/sh >>/etc/passwd"]).ok();
    assert_eq!(lab.coracle(["exec", "-u", "made", "d", "id", "-u"]).ok().text(), "0");
    lab.coracle(["rm", "-f", "-t", "0", "d"]).ok();
    run(&lab, "fuse", &["--rm", "--read-only"], "! touch /x 2>/dev/null; touch /tmp/x").ok();
}

#[test]
fn a_hundred_layers_are_shown_by_every_driver() {
    let lab = Lab::new();
    // docker save's form: each layer adds a file, changes another, and removes that of the layer before.
    let script = r#"mkdir archive; cd archive; tar -C "$1" -cf 0.tar .
        for i in $(seq 99); do
            mkdir "$i"; echo "$i" >"$i/last"; : >"$i/here$i"; : >"$i/.wh.here$((i - 1))"; : >"$i/added$i"
            tar -C "$i" -cf "$i.tar" .; rm -r "$i"
        done
        ids=$(for i in $(seq 0 99); do sha256sum "$i.tar"; done | sed 's/\(.\{64\}\).*/"sha256:\1"/' | paste -sd,)
        echo "{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[$ids]}}" >config.json
        layers=$(for i in $(seq 0 99); do echo "\"$i.tar\""; done | paste -sd,)
        echo "[{\"Config\":\"config.json\",\"RepoTags\":[\"localhost/hundred:latest\"],\"Layers\":[$layers]}]" >manifest.json
        tar -cf ../hundred.tar *"#;
    let mut made = lab.program("/bin/sh");
    let tree = crate::support::busybox_tree();
    made.args(["-ec", script, "sh", tree.to_str().unwrap()]);
    output::run(&mut made, &[], LIMIT).ok();
    lab.coracle(["load", "-qi", &lab.arg("hundred.tar")]).ok();
    for driver in ["overlay", "fuse", "copy"] {
        let look = "cat /last; ls -d /here*; ls -d /added* | wc -l; rm /added50; ls -d /added* | wc -l";
        let text = with(&lab, driver, &["run", "--name", driver, "localhost/hundred", "sh", "-c", look]).ok().text();
        assert_eq!(text, "99\n/here99\n99\n98", "{driver}");
        assert_eq!(lab.coracle(["diff", driver]).ok().text(), "D /added50", "{driver}");
    }
}

/// Numbers that are the same for the same seed (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn path(&mut self) -> String {
        let depth = self.below(3);
        let mut path = ["a", "b", "c", "d", "e"][self.below(5) as usize].to_owned();
        for _ in 0..depth {
            path.push('/');
            path.push_str(["f", "g", "h"][self.below(3) as usize]);
        }
        path
    }

    /// One thing that is done to files; what it says and its exit status are compared.
    fn step(&mut self) -> String {
        let (one, other, number) = (self.path(), self.path(), self.below(100_000));
        match self.below(19) {
            0 | 1 => format!("mkdir {one}"),
            2 => format!("rmdir {one}"),
            3 => format!("rm {one}"),
            4 => format!("rm -r {one}"),
            5..=7 => format!("mv -T {one} {other}"),
            8 => format!("ln {one} {other}"),
            9 => format!("ln -s {} {other}", one.rsplit('/').next().unwrap_or_default()),
            10 | 11 => format!("sh -c 'echo {number} >{one}'"),
            12 => format!("sh -c 'echo {number} >>{one}'"),
            13 => format!("truncate -s {number} {one}"),
            14 => format!("chmod {:o} {one}", 0o400 | (number % 0o1000)),
            15 => format!("cat {one}"),
            16 => format!("cp {one} {other}"),
            17 => format!("touch -d @{number} {one}"),
            _ => format!("ls -A {one}"),
        }
    }
}

/// A tree in three layers: with whiteouts, opaque directories, files of two names, and links.
const LAYERS: [&str; 2] = [
    "mkdir -p /w/a/f/g /w/a/g /w/b/f /w/c/f/h /w/d/g; cd /w; for d in a a/f a/f/g a/g b b/f c c/f c/f/h d d/g; do \
     echo $d >$d/h; done 2>/dev/null; ln a/h a/again; ln -s h b/g; echo e >e; chmod 500 c/f; true",
    "cd /w; rm -r a/f; mkdir a/f; echo new >a/f/f; rm b/h; rm -r c; echo file >c; rm -r d/g; ln -s ../a d/g; mkdir e2; mv e e2/e; mkdir e; true",
];

/// Everything that can be seen, but for directories' sizes and times that nobody has set.
const LOOK: &str = "find . | sort | while read -r path; do \
    if [ -L \"$path\" ]; then echo \"$path -> $(readlink \"$path\")\"; \
    elif [ -d \"$path\" ]; then stat -c '%n %F %a %u:%g' \"$path\"; \
    else stat -c '%n %F %a %u:%g %s %h' \"$path\"; md5sum <\"$path\"; fi; done";

#[test]
#[allow(clippy::disallowed_methods, reason = "how much is done is said by who runs the tests")]
fn random_work_has_the_same_effects_with_either_overlay() {
    let lab = Lab::new();
    let mut base = image("busybox");
    for (number, script) in LAYERS.iter().enumerate() {
        let name = format!("layer{number}");
        lab.coracle(["run", "--name", &name, &base, "sh", "-c", script]).ok();
        base = format!("localhost/{name}");
        lab.coracle(["commit", "-q", &name, &base]).ok();
    }
    let number = |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (steps, first) = (number("CORACLE_STORAGE_STEPS", 250), number("CORACLE_STORAGE_SEED", 1));
    for seed in first..first + 3 {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut script = "cd /w\n".to_owned();
        for _ in 0..steps {
            let step = random.step();
            script += &format!("echo '# {}'; {step} </dev/null 2>&1; echo $?\n", step.replace('\'', ""));
        }
        script += &format!("echo '# seen'; {LOOK}\n");
        // What is on disk is what was seen, whoever looks.
        let seen = ["overlay", "fuse", "copy"].map(|driver| {
            let name = format!("{driver}{seed}");
            let text = with(&lab, driver, &["run", "--name", &name, &base, "sh", "-c", &script]).text();
            let again = with(&lab, driver, &["commit", "-q", &name, &format!("localhost/{name}")]).ok().text();
            let look = format!("cd /w; {LOOK}");
            let others = if driver == "fuse" { "overlay" } else { "fuse" };
            let kept = with(&lab, others, &["run", "--rm", &again, "sh", "-c", &look]).ok().text();
            // Of a file that has lost a name in a copy the image has all: what is in a layer is not changed by that.
            let without_links = |text: &str| match driver {
                "copy" => text
                    .lines()
                    .map(|line| line.rsplit_once(' ').map_or(line, |(line, _)| line))
                    .collect::<Vec<_>>()
                    .join("\n"),
                _ => text.to_owned(),
            };
            assert_eq!(
                text.split_once("# seen\n").map(|(_, seen)| without_links(seen)),
                Some(without_links(&kept)),
                "{driver}, seed {seed}: on disk"
            );
            text
        });
        // A file is not renamed to another name of its own, which the kernel's overlay finds out late (ovl_rename).
        // A copy renames directories of layers, and keeps names of one file together: what it says is another thing.
        let [kernels, ours, _] = seen.each_ref().map(|text| {
            let is_late = |line: &&str| {
                line.starts_with("mv: ") && (line.contains("Stale file handle") || line.contains("same file"))
            };
            text.lines().filter(|line| !is_late(line)).collect::<Vec<_>>()
        });
        if let Some(line) = (0..kernels.len().max(ours.len())).find(|&line| kernels.get(line) != ours.get(line)) {
            let before = kernels[line.saturating_sub(12)..line].join("\n");
            panic!(
                "seed {seed}: after\n{before}\nthe kernel says {:?}, we say {:?}",
                kernels.get(line),
                ours.get(line)
            );
        }
    }
}
