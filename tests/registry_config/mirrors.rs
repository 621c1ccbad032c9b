//! registries.conf(5): mirrors, other locations, blocked and insecure registries.

use crate::faulty::{Answer, Faulty};
use crate::images::{Image, RealRegistry, installed, run, tar, umoci_layout};
use crate::{User, always, nobody, questions, serve};

fn mirrored(origin: &str, mirrors: &[&str]) -> String {
    let mut text = format!("[[registry]]\nlocation = \"{origin}\"\n");
    for mirror in mirrors {
        text.push_str(&format!("[[registry.mirror]]\nlocation = \"{mirror}\"\n"));
    }
    text
}

#[test]
fn the_first_mirror_that_has_it_answers() {
    let image = Image::simple(1000);
    let (missing, mirror, origin) = (always(Answer::new(404, "")), serve(&image), serve(&image));
    let user = User::with(&mirrored(&origin.name(), &[&nobody(), &missing.name(), &mirror.name()]));
    let name = format!("{}/app", origin.name());
    let pulled = user.coracle(["pull", &name]);
    pulled.ok().says(&format!("{name}:latest came from {}/app:latest", mirror.name()));
    pulled.says("this is a mirror, trying the next place");
    assert_eq!(user.images(), [format!("{name}:latest")], "the image has the name that was asked for");
    assert!(questions(&origin).is_empty());
    assert!(mirror.count("/blobs/") > 0 && missing.count("/manifests/") == 1);
}

#[test]
fn the_origin_has_what_no_mirror_has() {
    let image = Image::simple(50_000);
    // One has the manifest and nothing else, one has other bytes, one is broken.
    let bare = {
        let image = image.clone();
        Faulty::start(
            move |asked| if asked.path.contains("/blobs/") { Answer::new(404, "") } else { image.answer(asked) },
        )
    };
    let rotten = {
        let (image, layer) = (image.clone(), image.layer_path(0));
        Faulty::start(move |asked| {
            let mut answer = image.answer(asked);
            if asked.path == layer && !answer.body.is_empty() {
                answer.body[100] ^= 1;
            }
            answer
        })
    };
    let broken = always(Answer::new(500, ""));
    let origin = serve(&image);
    let user = User::with(&mirrored(&origin.name(), &[&bare.name(), &rotten.name(), &broken.name()]));
    let name = format!("{}/app", origin.name());
    user.coracle(["pull", &name]).ok();
    assert!(rotten.count(&image.layer_path(0)) > 0);
    assert!(origin.count(&image.layer_path(0)) == 1 && broken.count("/manifests/") == 2, "a mirror is tried twice");

    let lost = User::with(&mirrored(&nobody(), &[&bare.name()]));
    let name = lost.lab.root().join("config/containers/registries.conf");
    let origin = std::fs::read_to_string(name).unwrap().split('"').nth(1).unwrap().to_owned();
    lost.coracle(["pull", "--retry=0", &format!("{origin}/app")]).refused(125, "E_REGISTRY").says("this is a mirror");
    assert_eq!(lost.images(), [""; 0]);
}

// SECURITY.md R13: a secret goes to whom it is for.
#[test]
fn a_mirror_gets_its_own_credentials_and_no_others() {
    let image = Image::simple(1000);
    let guarded = |user: &'static str| {
        let image = image.clone();
        Faulty::start(move |asked| match asked.header("authorization") {
            Some(header) if header == format!("Basic {user}") => image.answer(asked),
            _ if asked.path == "/v2/" => Answer::new(200, "{}"),
            _ => Answer::new(401, "").header("WWW-Authenticate", "Basic"),
        })
    };
    let (mirror, origin) = (guarded("bWlycm9yOm1pcnJvcg=="), guarded("dXNlcjpodW50ZXIy"));
    let user = User::with(&mirrored(&origin.name(), &[&mirror.name()]));
    let name = format!("{}/app", origin.name());
    user.coracle(["pull", "--creds", "user:hunter2", &name]).ok();
    assert!(questions(&mirror).iter().all(|asked| asked.header("authorization").is_none()));
    assert!(questions(&origin).iter().any(|asked| asked.header("authorization").is_some()));

    origin.forget();
    user.configure("auth.json", format!(r#"{{"auths": {{"{}": {{"auth": "bWlycm9yOm1pcnJvcg=="}}}}}}"#, mirror.name()));
    user.coracle(["pull", &name]).ok();
    assert!(questions(&origin).is_empty());
}

#[test]
fn a_prefix_can_be_elsewhere_insecure_or_blocked() {
    let image = Image::simple(1000);
    let server = serve(&image);
    let user = User::with(&format!(
        "[[registry]]\nprefix = \"registry.example/team\"\nlocation = \"{0}\"\n\
         [[registry]]\nprefix = \"registry.example/team/secret\"\nlocation = \"{0}\"\nblocked = true\n",
        server.name()
    ));
    user.coracle(["pull", "registry.example/team/secret"]).refused(125, "E_REGISTRY").says("registries.conf blocks");
    assert!(server.asked().is_empty());
    user.coracle(["pull", "registry.example/team/app"]).ok();
    assert_eq!(user.images(), ["registry.example/team/app:latest"]);
    assert!(server.count("/v2/app/manifests/latest") == 1);
}

// A file that is broken does not matter to what is local, and says where it is broken where it does.
#[test]
fn a_broken_file_is_a_warning_where_it_is_not_needed() {
    let image = Image::simple(1000);
    let server = serve(&image);
    let user = User::with("");
    let name = format!("{}/app", server.name());
    user.coracle(["pull", &name]).ok();
    user.configure("registries.conf", "unqualified-search-registries = [\n[[registry]\n");
    user.coracle(["version"]).ok();
    assert_eq!(user.coracle(["images"]).ok().errors(), "");
    assert_eq!(user.coracle(["inspect", &name]).ok().errors(), "");
    // There is nothing in the image that could be run: that it is found is what matters.
    let run = user.coracle(["run", "--rm", &name, "/nothing"]);
    assert!(!run.errors().contains("registries.conf"), "{run:?}");
    user.coracle(["pull", &name]).ok().says("registries.conf: line 2 column ");
    let short = user.coracle(["pull", "debian"]);
    short.refused(125, "E_CONFIG").says("registries.conf: line 2 column ").says("hint: repair it");
    user.configure("registries.conf", "[[registry]\nlocation = \"r.io\"\nblocked = true\n");
    user.coracle(["pull", &name]).refused(125, "E_CONFIG").says("registries.conf: line 1");
    user.configure("registries.conf", "[registries.search]\nregistries = [\"r.io\"]\n");
    user.coracle(["pull", "debian"]).refused(125, "E_CONFIG").says("version 1").says("unqualified-search-registries");
}

#[test]
fn a_named_file_is_the_only_one() {
    let image = Image::simple(1000);
    let (server, other) = (serve(&image), always(Answer::new(404, "")));
    let user = User::with(&mirrored("registry.example", &[&other.name()]));
    let named = user.lab.write("named.conf", mirrored("registry.example", &[&server.name()]));
    let pull = |variable: &str| {
        let mut command = user.command(["pull", "registry.example/app"]);
        crate::output::run(command.env(variable, &named), &[], crate::LIMIT)
    };
    for variable in ["CONTAINERS_REGISTRIES_CONF", "REGISTRIES_CONFIG_PATH"] {
        pull(variable).ok();
    }
    assert!(other.asked().is_empty());
    std::fs::remove_file(&named).unwrap();
    let mut command = user.command(["pull", "--retry=0", "short"]);
    let missing = crate::output::run(command.env("CONTAINERS_REGISTRIES_CONF", &named), &[], crate::LIMIT);
    missing.refused(125, "E_CONFIG").says("named.conf");
}

#[test]
fn real_registries_as_mirror_and_origin() {
    if !["docker-registry", "skopeo", "umoci"].into_iter().all(installed) {
        return;
    }
    let (origin, mirror) = (RealRegistry::start(""), RealRegistry::start(""));
    let (layer, layout) = (origin.path("layer.tar"), origin.path("layout"));
    std::fs::write(&layer, tar(&[("file", b"content")])).unwrap();
    umoci_layout(&layout, &layer, &["--config.cmd", "/bin/sh"]);
    let source = format!("oci:{}:latest", layout.display());
    origin.copy(&source, "team/app:1", &["--preserve-digests"]);
    mirror.copy(&source, "copies/team/app:1", &["--preserve-digests"]);
    let host = |registry: &RealRegistry| registry.image("").trim_end_matches('/').to_owned();
    let user = User::with(&mirrored(&host(&origin), &[&format!("{}/copies", host(&mirror))]));
    let name = origin.image("team/app:1");
    user.coracle(["pull", &name]).ok().says("came from").says(&mirror.image("copies/team/app:1"));
    let reference = format!("docker://{name}");
    let digest = run(origin.skopeo().args(["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &reference]));
    let digest = String::from_utf8(digest).unwrap().trim().to_owned();
    assert!(user.lab.inspect(&name)["RepoDigests"].to_string().contains(&digest));
    // What only the origin has.
    origin.copy(&source, "team/app:2", &["--preserve-digests"]);
    let second = user.coracle(["pull", &origin.image("team/app:2")]);
    second.ok().says("this is a mirror, trying the next place");
}
