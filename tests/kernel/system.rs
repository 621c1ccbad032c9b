//! `system df`, `system prune` and `system check`.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Detached, LIMIT, Lab, coracle_path, image, output};

/// A row of `system df`.
fn df(lab: &Lab, kind: &str) -> Value {
    let rows = lab.coracle(["system", "df", "--format", "json"]).ok().json();
    rows.as_array().unwrap().iter().find(|row| row["Type"] == kind).unwrap().clone()
}

fn number(row: &Value, name: &str) -> u64 {
    row[name].as_u64().unwrap()
}

/// What du(1) says that these take; directories that hold the objects themselves are not theirs.
fn du(lab: &Lab, paths: &[PathBuf]) -> u64 {
    let mut command = lab.command(["unshare", "du", "-s", "-B1", "-c"]);
    let output = output::run(command.args(paths), &[], LIMIT);
    output.ok().text().lines().last().unwrap().split('\t').next().unwrap().parse().unwrap()
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn objects(lab: &Lab) -> Vec<PathBuf> {
    [entries(&lab.store().join("layers")), entries(&lab.store().join("blobs/sha256"))].concat()
}

#[test]
fn sizes_are_those_of_the_disk() {
    let lab = Lab::new();
    lab.pull("layers");
    lab.pull("busybox");
    let images = df(&lab, "Images");
    assert_eq!(number(&images, "RawSize"), du(&lab, &objects(&lab)));
    assert_eq!((number(&images, "Total"), number(&images, "Active")), (2, 0));
    assert_eq!(images["RawReclaimable"], images["RawSize"]);
    // Two images of the same layers: what they share counts once.
    lab.coracle([
        "run",
        "--name",
        "c",
        &image("layers"),
        "sh",
        "-c",
        "dd if=/dev/urandom of=/new bs=1k count=500; chmod 0 /tmp",
    ])
    .ok();
    lab.coracle(["commit", "-q", "c", "derived"]).ok();
    assert_eq!(number(&df(&lab, "Images"), "RawSize"), du(&lab, &objects(&lab)));
    let verbose = lab.coracle(["system", "df", "-v"]).ok().text();
    let derived: Vec<&str> =
        verbose.lines().find(|line| line.contains("derived")).unwrap().split_whitespace().collect();
    assert_eq!(derived[derived.len() - 1], "0", "its containers: {verbose}");
    assert!(derived[derived.len() - 2].ends_with("MB") || derived[derived.len() - 2].ends_with("kB"), "{verbose}");
    assert_ne!(derived[derived.len() - 3], "0B", "what it shares: {verbose}");
    let containers = df(&lab, "Containers");
    assert!(number(&containers, "RawSize") >= 500 * 1024, "{containers}");
    assert_eq!((number(&containers, "Total"), number(&containers, "Active")), (1, 0));
    let active = df(&lab, "Images");
    assert_eq!(number(&active, "Active"), 1);
    assert!(number(&active, "RawReclaimable") < number(&active, "RawSize"));
    let table = lab.coracle(["system", "df"]).ok().text();
    let kinds: Vec<&str> = table.lines().map(|line| &line[..13]).map(str::trim).collect();
    assert_eq!(kinds, ["TYPE", "Images", "Containers", "Local Volumes", "Leftovers"], "{table}");
}

#[test]
fn orphans_are_shown_and_removed() {
    let lab = Lab::new();
    lab.pull("busybox");
    // What a removal leaves that was killed after it had made the record disappear.
    for directory in ["images", "refs"] {
        entries(&lab.store().join(directory)).iter().for_each(|file| fs::remove_file(file).unwrap());
    }
    let left = df(&lab, "Leftovers");
    assert_eq!((number(&left, "RawSize"), number(&left, "Total")), (du(&lab, &objects(&lab)), 4));
    lab.coracle(["system", "check"]).ok();
    let pruned = lab.coracle(["image", "prune", "-f"]).ok().text();
    assert!(!pruned.ends_with(" 0B"), "{pruned}");
    assert_eq!(number(&df(&lab, "Leftovers"), "RawSize"), 0);
    assert_eq!(objects(&lab), Vec::<PathBuf>::new());
}

/// On a file system of its own, where all that is freed can be seen.
#[test]
fn what_prune_says_it_freed_is_free() {
    let lab = Lab::new();
    let script = r#"mkdir -p "$STORE" && mount -t tmpfs -o size=200m,mode=700 none "$STORE" || exit 99
        exec 2>&1
        free() { stat -f -c '%f %S' "$STORE" | { read -r blocks size; echo $((blocks * size)); }; }
        "$CORACLE" pull -q "$IMAGE" >/dev/null
        "$CORACLE" run --name c "$IMAGE" sh -c 'dd if=/dev/zero of=/x bs=1k count=3000; mkdir /closed; cp /x /closed; chmod 0 /closed' >/dev/null
        mkdir "$STORE/tmp/layer.1.1"; dd if=/dev/zero of="$STORE/tmp/layer.1.1/x" bs=1k count=2000
        before=$(free)
        "$CORACLE" system prune --all --force
        echo freed $(($(free) - before))"#;
    let mut unshare = lab.program("/usr/bin/unshare");
    unshare.env("CORACLE", coracle_path()).env("STORE", lab.store()).env("IMAGE", image("layers"));
    let text = output::run(unshare.args(["-Urm", "/bin/sh", "-c", script]), &[], LIMIT).ok().text();
    let freed: f64 = text.lines().find_map(|line| line.strip_prefix("freed ")).unwrap().parse().unwrap();
    let said = text.lines().find_map(|line| line.strip_prefix("Total reclaimed space: ")).unwrap();
    let said: f64 = said.strip_suffix("MB").unwrap_or_else(|| panic!("{text}")).parse::<f64>().unwrap() * 1e6;
    assert!(freed >= 8_000_000.0, "{text}");
    // Four digits are printed, and the records of images are not counted.
    assert!((freed - said).abs() < 20_000.0, "said {said}, freed {freed}: {text}");
}

#[test]
fn prune_asks_on_a_terminal_and_takes_no_for_an_answer() {
    let lab = Lab::new();
    let id = lab.pull("busybox");
    lab.coracle(["untag", &id]).ok();
    let mut command = lab.program("/usr/bin/script");
    command.args(["-qec"]).arg(format!("{} image prune", coracle_path().display())).arg("/dev/null");
    let asked = output::run(&mut command, b"n\n", LIMIT);
    assert!(asked.ok().text().contains("Go on? [y/N]"), "{asked:?}");
    assert_eq!(lab.coracle(["images", "-q"]).ok().text(), &id[..12]);
    let mut command = lab.program("/usr/bin/script");
    command.args(["-qec"]).arg(format!("{} image prune", coracle_path().display())).arg("/dev/null");
    output::run(&mut command, b"y\n", LIMIT).ok();
    assert_eq!(lab.coracle(["images", "-q"]).ok().text(), "");
}

#[test]
fn pruning_spares_what_runs() {
    let lab = Lab::new();
    let running = Detached::start(&lab, &["--name", "runs"], &["sleep", "1000"]);
    lab.coracle(["create", "--name", "old", &image("busybox"), "true"]).ok();
    let text = lab.coracle(["system", "prune", "--force", "--volumes"]).ok().text();
    assert!(text.starts_with("Deleted Containers\n") && !text.contains(&running.id), "{text}");
    assert_eq!(lab.coracle(["ps", "-a", "--format", "{{.Names}}"]).ok().text(), "runs");
    lab.coracle(["system", "prune", "--force", "--filter", "color=red"]).refused(125, "E_CONFIG");
}

// --- check ------------------------------------------------------------------------------------------------------------

/// What a check finds: kind, state, problem, advice.
fn findings(lab: &Lab, flags: &[&str]) -> Vec<[String; 4]> {
    let format = "{{.Kind}}\t{{.State}}\t{{.Problem}}\t{{.Advice}}";
    let output = lab.coracle([&["system", "check", "--format", format], flags].concat());
    assert!(matches!(output.code, 0 | 125), "{output:?}");
    let text = output.text();
    let rows: Vec<[String; 4]> =
        text.lines().map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap()).collect();
    assert_eq!(output.code == 0, rows.iter().all(|row| row[1] == "repaired"), "{output:?}");
    rows
}

fn layer_blobs(lab: &Lab, name: &str) -> Vec<PathBuf> {
    let inspected = lab.inspect(name);
    let digest = inspected["Digest"].as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
    let blob = |hex: &str| lab.store().join("blobs/sha256").join(hex);
    let manifest: Value = serde_json::from_slice(&fs::read(blob(&digest)).unwrap()).unwrap();
    let layers = manifest["layers"].as_array().unwrap().iter();
    layers.map(|layer| blob(layer["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap())).collect()
}

fn layer_trees(lab: &Lab, name: &str) -> Vec<PathBuf> {
    let inspected = lab.inspect(name);
    let layers = inspected["RootFS"]["Layers"].as_array().unwrap().iter();
    let hex = |layer: &Value| layer.as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
    layers.map(|layer| lab.store().join("layers").join(hex(layer)).join("tree")).collect()
}

/// Changes one bit in the middle of a file that may be read-only.
fn flip(path: &Path) {
    let metadata = fs::metadata(path).unwrap();
    let (length, before) = (metadata.len(), metadata.permissions());
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    let mut bytes = fs::read(path).unwrap();
    let middle = usize::try_from(length / 2).unwrap();
    bytes[middle] ^= 1;
    let mut file = fs::File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.write_all(&bytes).unwrap();
    fs::set_permissions(path, before).unwrap();
}

fn assert_works(lab: &Lab) {
    let clean = lab.coracle(["system", "check"]);
    assert!(clean.ok().text().starts_with("No damage: "), "{clean:?}");
    let works = lab.coracle(["run", "--rm", "--pull", "never", &image("layers"), "cat", "/changed", "/swap/again"]);
    assert_eq!(works.ok().text(), "second\nthe third");
}

#[test]
fn whatever_other_tools_made_is_clean() {
    let lab = Lab::new();
    for name in ["busybox", "debian", "layers", "layers-docker", "layers-zstd", "layers-plain", "multi", "empty"] {
        lab.pull(name);
    }
    lab.coracle(["run", "--rm", "hello"]).ok();
    lab.coracle(["run", "--name", "c", &image("layers"), "sh", "-c", "touch /new; rm -r /etc; mkdir -m 0 /closed"])
        .ok();
    lab.coracle(["commit", "-q", "c", "committed"]).ok();
    assert_works(&lab);
    lab.coracle(["system", "check", "--quick"]).ok();
    lab.coracle(["system", "check", "--repair", "--force", "--max", "0s"]).ok();
    assert_works(&lab);
    for bad in [&["--max", "soon"][..], &["--force"], &["--format", "{{.Nothing"]] {
        lab.coracle([&["system", "check"], bad].concat()).exited(125);
    }
}

#[test]
fn a_layer_is_made_again_from_its_blob() {
    let lab = Lab::new();
    lab.pull("layers");
    let tree = layer_trees(&lab, &image("layers"))[1].clone();
    let closed = tree.parent().unwrap().to_owned();
    type Damage<'a> = (&'a str, Box<dyn Fn() + 'a>);
    let damages: Vec<Damage<'_>> = vec![
        ("content", Box::new(|| flip(&tree.join("changed")))),
        ("missing", Box::new(|| fs::remove_file(tree.join("changed")).unwrap())),
        ("should not be there", Box::new(|| fs::write(tree.join("new"), "").unwrap())),
        ("mode", Box::new(|| fs::set_permissions(tree.join("opaque"), fs::Permissions::from_mode(0o700)).unwrap())),
        ("missing", Box::new(|| fs::remove_dir_all(&closed).unwrap())),
        ("files are missing", Box::new(|| fs::remove_dir_all(&tree).unwrap())),
        ("manifest", Box::new(|| fs::write(closed.join("manifest.json"), "{").unwrap())),
        ("manifest is missing", Box::new(|| fs::remove_file(closed.join("manifest.json")).unwrap())),
    ];
    for (problem, damage) in damages {
        damage();
        let found = findings(&lab, &[]);
        assert_eq!(found.len(), 1, "{problem}: {found:?}");
        assert_eq!(found[0][..2], ["layer", "damaged"].map(String::from), "{found:?}");
        assert!(found[0][2].contains(problem), "{problem}: {found:?}");
        lab.coracle(["system", "check"]).exited(125).says("[E_STORE_CORRUPT]").says("--repair");
        assert_eq!(findings(&lab, &["--repair"])[0][1], "repaired", "{problem}");
        assert_works(&lab);
    }
}

#[test]
fn a_layer_is_not_taken_from_a_container_that_runs() {
    let lab = Lab::new();
    lab.pull("layers");
    lab.coracle(["run", "-d", "--name", "runs", &image("layers"), "sleep", "1000"]).ok();
    flip(&layer_trees(&lab, &image("layers"))[1].join("changed"));
    let found = findings(&lab, &["--repair"]);
    assert!(found.iter().any(|row| row[1] == "damaged" && row[3].contains("stop runs")), "{found:?}");
    assert_eq!(lab.coracle(["exec", "runs", "echo", "lives"]).ok().text(), "lives");
    lab.coracle(["rm", "-f", "runs"]).ok();
    assert_eq!(findings(&lab, &["--repair"])[0][1], "repaired");
    assert_works(&lab);
}

#[test]
fn a_damaged_blob_is_fetched_again_by_the_pull_that_is_named() {
    let lab = Lab::new();
    let name = image("layers");
    lab.pull("layers");
    for damage in [flip as fn(&Path), |path| fs::remove_file(path).unwrap()] {
        for blob in layer_blobs(&lab, &name) {
            damage(&blob);
            let found = findings(&lab, &[]);
            assert!(found.iter().any(|row| row[0] == "blob" && row[3] == format!("coracle pull {name}")), "{found:?}");
            // The image still runs while nothing more is done about it.
            findings(&lab, &["--repair"]);
            assert_eq!(lab.coracle(["run", "--rm", "--pull", "never", &name, "cat", "/changed"]).ok().text(), "second");
            lab.pull("layers");
            assert_works(&lab);
        }
    }
    // One that cannot be fetched is not taken away.
    lab.coracle(["run", "--name", "c", &name, "touch", "/new"]).ok();
    lab.coracle(["commit", "-q", "c", "mine"]).ok();
    lab.coracle(["rm", "c"]).ok();
    lab.coracle(["rmi", &name]).ok();
    let blob = layer_blobs(&lab, "mine").pop().unwrap();
    flip(&blob);
    let found = findings(&lab, &["--repair"]);
    assert!(
        found.iter().any(|row| row[0] == "blob" && row[1] == "damaged" && row[3].contains("still runs")),
        "{found:?}"
    );
    assert!(blob.exists());
    lab.coracle(["run", "--rm", "mine", "ls", "/new"]).ok();
}

#[test]
fn records_are_made_again() {
    let lab = Lab::new();
    let name = image("layers");
    let id = lab.pull("layers");
    let record = lab.store().join("images").join(format!("{id}.json"));
    let whole = fs::read_to_string(&record).unwrap();
    for damaged in ["", "{", "null", &whole[..whole.len() / 2], &"\0".repeat(whole.len())] {
        fs::write(&record, damaged).unwrap();
        let found = findings(&lab, &[]);
        assert_eq!(found[0][..2], ["image", "damaged"].map(String::from), "{found:?}");
        assert_eq!(findings(&lab, &["--repair"])[0][1], "repaired", "{damaged:?}");
        assert_eq!(fs::read_to_string(&record).unwrap(), whole);
        assert_works(&lab);
    }
    fs::remove_file(&record).unwrap();
    assert_eq!(findings(&lab, &["--quick", "--repair"])[0][..2], ["reference", "repaired"].map(String::from));
    assert_works(&lab);
    let reference = entries(&lab.store().join("refs")).pop().unwrap();
    fs::write(&reference, "{").unwrap();
    let found = findings(&lab, &["--repair"]);
    assert!(found[0][0] == "reference" && found[0][3].contains(&format!("coracle pull {name}")), "{found:?}");
    assert_eq!(lab.coracle(["images", "--noheading", "--format", "{{.Tag}}"]).ok().text(), "<none>");
    lab.pull("layers");
    assert_works(&lab);
    // Of a newer program nothing is taken.
    fs::write(&record, whole.replace("{\"v\":1", "{\"v\":99")).unwrap();
    assert_eq!(findings(&lab, &["--repair"])[0][1], "damaged");
    assert!(record.exists());
}

#[test]
fn containers_have_their_names_again() {
    let lab = Lab::new();
    lab.coracle(["create", "--name", "c", &image("layers"), "true"]).ok();
    fs::remove_file(lab.store().join("names/c")).unwrap();
    let found = findings(&lab, &[]);
    assert!(found[0][0] == "container" && found[0][2].contains("name c"), "{found:?}");
    assert_eq!(findings(&lab, &["--repair"])[0][1], "repaired");
    lab.coracle(["start", "-a", "c"]).ok();
    assert_works(&lab);
    let record = entries(&lab.store().join("containers")).pop().unwrap().join("record.json");
    fs::write(record, "{").unwrap();
    assert_eq!(findings(&lab, &["--repair"])[0][..2], ["container", "damaged"].map(String::from));
    assert_eq!(findings(&lab, &["--repair", "--force"])[0][1], "repaired");
    assert_works(&lab);
    assert_eq!(lab.coracle(["ps", "-aq"]).ok().text(), "");
}
