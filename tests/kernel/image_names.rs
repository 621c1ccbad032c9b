//! Names of images, their history and layers, and which of them go.

use crate::support::{Lab, image};

fn names(lab: &Lab) -> Vec<String> {
    let listed = lab.coracle(["images", "--sort", "repository", "--format", "{{.Repository}}:{{.Tag}}"]).ok().text();
    listed.lines().map(str::to_owned).collect()
}

#[test]
fn names_are_given_and_taken_away() {
    let lab = Lab::new();
    lab.pull("busybox");
    let original = image("busybox");
    lab.coracle(["tag", &original, "one", "registry.example.com/team/two:3"]).ok();
    assert_eq!(names(&lab), [&original, "localhost/one:latest", "registry.example.com/team/two:3"]);
    let id = lab.inspect("one")["Id"].as_str().unwrap().to_owned();
    assert_eq!(lab.inspect(&original)["Id"], id.as_str());
    // A name moves to whoever gets it last.
    lab.pull("layers");
    lab.coracle(["tag", &image("layers"), "one"]).ok();
    assert_ne!(lab.inspect("one")["Id"], id.as_str());
    lab.coracle(["untag", "one", "one"]).ok();
    lab.coracle(["untag", &image("layers"), "one"]).exited(125).says("is not named");
    lab.coracle(["untag", &image("layers"), "busybox"]).refused(125, "E_NOTFOUND");
    lab.coracle(["untag", &id[..12]]).ok();
    assert_eq!(lab.coracle(["images", "-q", "--filter", "dangling=true"]).ok().text(), &id[..12]);
    // Found by its id, it can be named again, and runs.
    lab.coracle(["tag", &id, "again:1"]).ok();
    assert_eq!(lab.coracle(["run", "--rm", "again:1", "echo", "ran"]).ok().text(), "ran");
    let events = lab.coracle(["events", "--stream=false", "--filter", "type=image", "--format", "{{.Status}}"]);
    assert_eq!(events.ok().text().replace('\n', " "), "pull tag tag pull tag untag untag untag tag");
}

#[test]
fn what_is_no_name_and_no_image_is_refused() {
    let lab = Lab::new();
    lab.pull("busybox");
    let name = image("busybox");
    for words in
        [&["tag", "nosuch", "x"][..], &["untag", "nosuch"], &["history", "nosuch"], &["image", "tree", "nosuch"]]
    {
        lab.coracle(words).refused(125, "E_NOTFOUND").says("nosuch");
    }
    lab.coracle(["save", "nosuch"]).refused(125, "E_NOTFOUND").says("coracle images lists");
    let nobody = lab.coracle(["pull", "--retry", "0", "127.0.0.1:1/a/b"]);
    nobody.refused(125, "E_REGISTRY").says("hint: check the registry's name and port");
    for bad in ["UPPER", "a b", "-v", "", "x@sha256:0", "a:b:c", "../x", "x:\u{1b}[2J"] {
        assert_eq!(lab.coracle(["tag", &name, "--", bad]).code, 125, "{bad:?}");
    }
    let digest = lab.inspect(&name)["Digest"].as_str().unwrap().to_owned();
    lab.coracle(["tag", &name, &format!("x@{digest}")]).refused(125, "E_CONFIG");
    lab.coracle(["tag", &name]).exited(125);
    assert_eq!(names(&lab), [name]);
}

#[test]
fn existence_is_an_exit_code() {
    let lab = Lab::new();
    let id = lab.pull("busybox");
    for (name, code) in [(image("busybox").as_str(), 0), (&id, 0), (&id[..5], 0), ("nosuch", 1), ("0000", 1)] {
        assert_eq!(lab.coracle(["image", "exists", name]).exited(code).text(), "", "{name}");
    }
    lab.coracle(["image", "exists", "UPPER"]).exited(125);
}

#[test]
fn history_tells_the_steps() {
    let lab = Lab::new();
    let id = lab.pull("layers");
    let name = image("layers");
    let history = lab.coracle(["history", "--format", "json", &name]).ok().json();
    let steps = history.as_array().unwrap();
    let keys: Vec<&str> = steps[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys[..4], ["id", "created", "CreatedBy", "size"]);
    assert_eq!((&steps[0]["id"], &steps[1]["id"]), (&id.as_str().into(), &"<missing>".into()));
    let sizes: u64 = steps.iter().map(|step| step["size"].as_u64().unwrap()).sum();
    assert_eq!(sizes, lab.inspect(&name)["Size"].as_u64().unwrap());
    let table = lab.coracle(["history", &name]).ok().text();
    assert!(table.starts_with("ID            CREATED"), "{table}");
    assert!(table.lines().nth(1).unwrap().starts_with(&id[..12]), "{table}");
    assert_eq!(lab.coracle(["history", "-q", "--no-trunc", &name]).ok().text().lines().next(), Some(id.as_str()));
    let bytes = lab.coracle(["history", "--human=false", "--format", "{{.Size}} {{.Created}}", &name]).ok().text();
    let first = bytes.lines().next().unwrap();
    assert!(first.split(' ').next().unwrap().parse::<u64>().is_ok() && first.ends_with('Z'), "{bytes}");
}

#[test]
fn the_tree_shows_whose_layers_they_are() {
    let lab = Lab::new();
    lab.pull("layers");
    let name = image("layers");
    lab.coracle(["run", "--name", "c", &name, "touch", "/new"]).ok();
    lab.coracle(["commit", "-q", "c", "derived"]).ok();
    let tree = lab.coracle(["image", "tree", "derived"]).ok().text();
    let lines: Vec<&str> = tree.lines().collect();
    assert!(lines[0].starts_with("Image ID: ") && lines[1] == "Tags:     [localhost/derived:latest]", "{tree}");
    assert_eq!(lines.len(), 4 + 4, "three layers and one more: {tree}");
    assert!(lines[6].contains(&format!("Top Layer of: [{name}]")), "{tree}");
    assert!(lines[7].starts_with("└──") && lines[7].contains("[localhost/derived:latest]"), "{tree}");
    let up = lab.coracle(["image", "tree", "--whatrequires", &name]).ok().text();
    assert_eq!(up.lines().count(), 4 + 2, "{up}");
    assert!(up.lines().last().unwrap().starts_with("    └──"), "{up}");
}

#[test]
fn removal_names_the_containers_and_refuses_what_is_ambiguous() {
    let lab = Lab::new();
    let id = lab.pull("busybox");
    let name = image("busybox");
    for container in ["first", "second"] {
        lab.coracle(["create", "--name", container, &name, "true"]).ok();
    }
    let refused = lab.coracle(["rmi", &name]);
    refused.refused(2, "E_BUSY").says("first").says("second");
    // Images with ids that begin alike: as many as there are digits and one.
    lab.coracle(["rm", "--all"]).ok();
    let mut ids = vec![id];
    for number in 0..17 {
        let change = format!("LABEL number={number}");
        let container = lab.coracle(["create", &name, "true"]).ok().text();
        ids.push(lab.coracle(["commit", "-q", "-c", &change, &container]).ok().text());
        lab.coracle(["rm", &container]).ok();
    }
    let alike = ids.iter().find(|id| ids.iter().filter(|other| other[..1] == id[..1]).count() > 1).unwrap();
    let digit = &alike[..1];
    lab.coracle(["rmi", &format!("sha256:{digit}")]).exited(125).says("beginning of");
    assert_eq!(lab.coracle(["images", "-q"]).ok().text().lines().count(), 18, "none was removed");
    lab.coracle(["rmi", &alike[..12]]).ok();
    lab.coracle(["rmi", "--all", "--no-prune"]).ok();
    assert_eq!(lab.coracle(["images", "-q"]).ok().text(), "");
    lab.coracle(["rmi", &name]).exited(1);
    lab.coracle(["rmi", "--ignore", &name]).ok();
}

#[test]
fn filters_of_images() {
    let lab = Lab::new();
    lab.pull("busybox");
    lab.pull("layers");
    lab.coracle(["create", "--name", "c", &image("busybox"), "true"]).ok();
    let count = |filter: &str| lab.coracle(["images", "-q", "--filter", filter]).ok().text().lines().count();
    for (filter, expected) in [
        ("containers=true", 1),
        ("containers=false", 1),
        ("intermediate=true", 0),
        ("intermediate=false", 2),
        ("readonly=false", 2),
        ("readonly=true", 0),
        ("dangling=false", 2),
        ("reference=*busybox*", 1),
        (&format!("before={}", image("layers")), 1),
        (&format!("after={}", image("busybox")), 1),
        (&format!("since={}", image("busybox")), 1),
    ] {
        assert_eq!(count(filter), expected, "{filter}");
    }
    for bad in ["containers=perhaps", "readonly=", "color=red", "before=nosuch", "until=never"] {
        lab.coracle(["images", "--filter", bad]).refused(125, "E_CONFIG");
    }
    let text = |arguments: &[&str]| lab.coracle([&["images"], arguments].concat()).ok().text();
    assert_eq!(text(&["-n", &image("busybox")]).lines().count(), 1);
    assert_eq!(text(&["-n", "busybox:latest"]).lines().count(), 1);
    assert_eq!(text(&["-n", "busybox:other"]).lines().count(), 0);
}

#[test]
fn pruning_leaves_what_is_used() {
    let lab = Lab::new();
    let ids = ["busybox", "layers", "configured"].map(|name| lab.pull(name));
    lab.coracle(["untag", &ids[0]]).ok();
    lab.coracle(["untag", &ids[1]]).ok();
    lab.coracle(["create", "--name", "c", &ids[0], "true"]).ok();
    let kept = lab.coracle(["image", "prune", "-f", "--filter", "label=nosuch"]).ok().text();
    assert_eq!(kept, "Total reclaimed space: 0B");
    let pruned = lab.coracle(["image", "prune", "--force"]).ok().text();
    assert!(pruned.starts_with(&format!("{}\nTotal reclaimed space: ", ids[1])), "{pruned}");
    assert!(!pruned.ends_with(" 0B"), "{pruned}");
    assert_eq!(lab.coracle(["start", "-a", "c"]).ok().text(), "");
    let all = lab.coracle(["image", "prune", "--all", "--force"]).ok().text();
    assert!(all.starts_with(&ids[2]), "{all}");
    lab.coracle(["rm", "c"]).ok();
    let all = lab.coracle(["system", "prune", "--all", "--force"]).ok().text();
    assert!(all.starts_with(&format!("Deleted Images\n{}\n", ids[0])), "{all}");
    for directory in ["blobs/sha256", "layers", "images", "refs", "tmp"] {
        assert_eq!(std::fs::read_dir(lab.store().join(directory)).unwrap().count(), 0, "{directory}");
    }
}
