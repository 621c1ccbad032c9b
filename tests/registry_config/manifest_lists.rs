//! `manifest`: lists of images for several platforms, made of images of the store and of a real registry.

use std::process::Command;

use serde_json::Value;

use crate::images::RealRegistry;
use crate::support::{LIMIT, Lab, image, output};

/// A store with busybox, a small image for another platform, and the list `app` of both.
fn lab() -> Lab {
    let lab = Lab::new();
    lab.pull("busybox");
    let mut content = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(8);
    content.append_data(&mut header, "hostname", &b"machine\n"[..]).unwrap();
    let content = content.into_inner().unwrap();
    lab.coracle_with_input(["import", "--arch", "riscv64", "-", "localhost/foreign:1"], &content).ok();
    lab.coracle(["manifest", "create", "app"]).ok();
    lab.coracle(["manifest", "add", "app", &image("busybox"), "localhost/foreign:1"]).ok();
    lab
}

fn index(lab: &Lab, list: &str) -> Value {
    lab.coracle(["manifest", "inspect", list]).ok().json()
}

fn architectures(index: &Value) -> Vec<&str> {
    let members = index["manifests"].as_array().unwrap().iter();
    members.map(|member| member["platform"]["architecture"].as_str().unwrap()).collect()
}

/// The bytes that skopeo finds.
fn raw(name: &str) -> Vec<u8> {
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["inspect", "--raw", "--tls-verify=false", &format!("docker://{name}")]);
    output::run(&mut skopeo, &[], LIMIT).ok().stdout.clone()
}

#[test]
fn a_list_names_its_images_and_runs_the_one_for_this_machine() {
    let lab = lab();
    let found = index(&lab, "app");
    assert_eq!(found["mediaType"], "application/vnd.oci.image.index.v1+json");
    assert_eq!(architectures(&found)[1], "riscv64");
    assert_eq!(lab.coracle(["run", "--rm", "app", "echo", "hello"]).ok().text(), "hello");
    assert!(
        lab.coracle(["images", "--format", "{{.Repository}}"]).ok().text().lines().any(|name| name == "localhost/app")
    );
    let failure = lab.coracle(["create", "--platform", "linux/s390x", "app"]);
    assert!(failure.exited(125).errors().contains("linux/riscv64"), "{failure:?}");
    assert_eq!(lab.coracle(["history", "-q", "app"]).ok().text(), "");
}

#[test]
fn a_list_goes_to_a_registry_with_all_its_images() {
    let lab = lab();
    let registry = RealRegistry::start("");
    let there = registry.image("all:1");
    let digest = lab.arg("digest");
    lab.coracle(["manifest", "push", "-q", "--digestfile", &digest, "app", &there]).ok();
    let index = lab.coracle(["manifest", "inspect", "app"]).ok().json();
    assert_eq!(serde_json::from_slice::<Value>(&raw(&there)).unwrap(), index);
    let digest = std::fs::read_to_string(digest).unwrap();
    // Somebody else's store has nothing of it.
    let other = Lab::new();
    assert_eq!(other.coracle(["manifest", "inspect", &format!("docker://{there}")]).ok().json(), index);
    other.coracle(["pull", "-q", &there]).ok();
    let names = other.coracle(["inspect", "--format", "{{.RepoDigests}}", &there]).ok().text();
    assert!(names.contains(&digest), "{names} {digest}");
    other.coracle(["run", "--rm", &there, "true"]).ok();
    // And one that takes all of the list can pass it on as it is.
    other.coracle(["manifest", "create", "--all", "copy", &format!("docker://{there}")]).ok();
    assert_eq!(architectures(&crate::manifest_lists::index(&other, "copy")), architectures(&index));
    let again = registry.image("again:1");
    other.coracle(["push", "-q", "--all", &there, &again]).ok();
    assert_eq!(raw(&again), raw(&there));
}

#[test]
fn an_index_without_its_images_goes_only_where_they_are() {
    let lab = lab();
    let registry = RealRegistry::start("");
    let there = registry.image("alone:1");
    let failure = lab.coracle(["manifest", "push", "-q", "--all=false", "app", &there]);
    assert!(failure.exited(125).errors().contains("--all sends the images"), "{failure:?}");
    lab.coracle(["manifest", "push", "-q", "app", &there]).ok();
    lab.coracle(["manifest", "annotate", "--index", "--annotation", "version=2", "app"]).ok();
    lab.coracle(["manifest", "push", "-q", "--all=false", "--rm", "app", &there]).ok();
    let found: Value = serde_json::from_slice(&raw(&there)).unwrap();
    assert_eq!(found["annotations"]["version"], "2");
    lab.coracle(["manifest", "exists", "app"]).exited(1);
}

#[test]
fn what_a_list_says_about_an_image_can_be_changed() {
    let lab = lab();
    let change = ["--variant", "v9", "--os-version", "1", "--os-features", "a,b", "--annotation", "k=v"];
    lab.coracle(["manifest", "annotate"].iter().chain(&change).chain(&["app", "localhost/foreign:1"])).ok();
    let found = index(&lab, "app");
    let (member, platform) = (&found["manifests"][1], &found["manifests"][1]["platform"]);
    assert_eq!((platform["variant"].as_str(), platform["os.version"].as_str()), (Some("v9"), Some("1")));
    assert_eq!((&platform["os.features"], &member["annotations"]["k"]), (&serde_json::json!(["a", "b"]), &"v".into()));
    let digest = member["digest"].as_str().unwrap().to_owned();
    lab.coracle(["manifest", "remove", "app", &digest]).ok();
    assert_eq!(architectures(&index(&lab, "app")).len(), 1);
    lab.coracle(["manifest", "remove", "app", &digest]).refused(125, "E_NOTFOUND");
    lab.coracle(["manifest", "annotate", "--arch", "arm", "app", &digest]).refused(125, "E_NOTFOUND");
    // What was there is there once, however often it is added.
    lab.coracle(["manifest", "add", "app", "localhost/foreign:1"]).ok();
    lab.coracle(["manifest", "add", "app", "localhost/foreign:1"]).ok();
    assert_eq!(architectures(&index(&lab, "app")).len(), 2);
}

#[test]
fn images_that_a_list_names_stay_in_the_store() {
    let lab = lab();
    lab.coracle(["rmi", "localhost/foreign:1", &image("busybox")]).ok();
    lab.coracle(["image", "prune", "--force", "--all"]).ok();
    lab.coracle(["manifest", "exists", "app"]).exited(1);
    let lab = self::lab();
    lab.coracle(["rmi", "localhost/foreign:1", &image("busybox")]).ok();
    lab.coracle(["image", "prune", "--force"]).ok();
    lab.coracle(["system", "check"]).ok();
    lab.coracle(["manifest", "push", "-q", "app", &RealRegistry::start("").image("kept:1")]).ok();
    // Its files are gone, and made of what is kept.
    assert_eq!(lab.coracle(["run", "--rm", "app", "echo", "again"]).ok().text(), "again");
    lab.coracle(["manifest", "rm", "app"]).ok();
    assert_eq!(lab.coracle(["images", "-q"]).ok().text().lines().count(), 1);
}

#[test]
fn lists_and_images_are_not_taken_for_each_other() {
    let lab = lab();
    let busybox = image("busybox");
    lab.coracle(["manifest", "create", "app"]).refused(125, "E_EXISTS");
    lab.coracle(["manifest", "create", "--amend", "app"]).ok();
    assert_eq!(architectures(&index(&lab, "app")).len(), 2);
    lab.coracle(["manifest", "create", &busybox]).refused(125, "E_EXISTS");
    lab.coracle(["manifest", "add", &busybox, "app"]).refused(125, "E_CONFIG");
    lab.coracle(["manifest", "rm", &busybox]).exited(125);
    // They are named as they are, whatever a short name might stand for.
    for verb in ["annotate", "remove"] {
        lab.coracle(["manifest", verb, "app", "localhost/none:1"])
            .refused(125, "E_NOTFOUND")
            .says("localhost/app:latest");
        lab.coracle(["manifest", verb, "nothing", "localhost/none:1"]).refused(125, "E_NOTFOUND").says("nothing");
    }
    lab.coracle(["manifest", "exists", &busybox]).exited(1);
    lab.coracle(["manifest", "rm", "--ignore", "nothing"]).ok();
    lab.coracle(["manifest", "push", "nothing"]).refused(125, "E_NOTFOUND");
    lab.coracle(["manifest", "create", "empty"]).ok();
    lab.coracle(["manifest", "push", "empty", "127.0.0.1:9/empty:1"]).refused(125, "E_CONFIG");
    lab.coracle(["run", "--rm", "empty", "true"]).refused(125, "E_CONFIG");
    lab.coracle(["images", "-q", &busybox]).ok();
}

#[test]
fn a_list_that_cannot_be_filled_is_not_made() {
    let lab = lab();
    lab.coracle(["manifest", "create", "half", &image("busybox"), "localhost/none:1"]).exited(125);
    lab.coracle(["manifest", "exists", "half"]).exited(1);
    lab.coracle(["manifest", "create", "--amend", "app", "localhost/none:1"]).exited(125);
    assert_eq!(architectures(&index(&lab, "app")).len(), 2);
}

#[test]
fn two_who_add_to_one_list_lose_nothing() {
    let lab = Lab::new();
    lab.coracle(["manifest", "create", "app"]).ok();
    let add = |number: usize| {
        let mut content = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        content.append_data(&mut header, format!("file{number}"), &b"x"[..]).unwrap();
        let (name, content) = (format!("localhost/i{number}:1"), content.into_inner().unwrap());
        lab.coracle_with_input(
            ["import", "--arch", "riscv64", "--variant", &format!("v{number}"), "-", &name],
            &content,
        )
        .ok();
        lab.coracle(["manifest", "add", "app", &name]).ok();
    };
    std::thread::scope(|scope| (0..6).for_each(|number| drop(scope.spawn(move || add(number)))));
    assert_eq!(architectures(&index(&lab, "app")).len(), 6);
}
