//! What `pull` can be told.

use crate::faulty::{Answer, Faulty};
use crate::images::{Image, document};
use crate::{User, always, serve};

#[test]
fn all_tags_of_a_repository() {
    let image = Image::simple(1000);
    let manifest = image.manifest_bytes();
    let (good, bytes) = (image.clone(), manifest.clone());
    let server = Faulty::start(move |asked| match asked.path.split('?').next().unwrap() {
        "/v2/app/tags/list" if !asked.path.contains("last") => {
            let next = r#"</v2/app/tags/list?last=b&n=2>; rel="next""#;
            Answer::new(200, r#"{"name": "app", "tags": ["a", "b"]}"#).header("Link", next)
        }
        "/v2/app/tags/list" => Answer::new(200, r#"{"name": "app", "tags": ["gone", "c", "not a tag\u001b[2J"]}"#),
        "/v2/app/manifests/a" | "/v2/app/manifests/b" | "/v2/app/manifests/c" => {
            document(&bytes, "application/vnd.oci.image.manifest.v1+json")
        }
        _ => good.answer(asked),
    });
    let name = format!("{}/app", server.name());
    let user = User::with("");
    let pulled = user.coracle(["pull", "--all-tags", &name]);
    pulled.exited(125).says("app:gone");
    assert_eq!(pulled.text().lines().count(), 3, "{pulled:?}");
    let mut images = user.images();
    images.sort();
    assert_eq!(images, ["a", "b", "c"].map(|tag| format!("{name}:{tag}")));
    user.coracle(["pull", "-a", &format!("{name}:a")]).refused(125, "E_CONFIG").says("names one tag");
}

#[test]
fn images_pulled_at_once_share_a_download() {
    let image = Image::simple(5_000_000);
    let (good, bytes) = (image.clone(), image.manifest_bytes());
    let server = Faulty::start(move |asked| match asked.path.as_str() {
        "/v2/app/manifests/a" | "/v2/app/manifests/b" | "/v2/app/manifests/c" => {
            document(&bytes, "application/vnd.oci.image.manifest.v1+json")
        }
        _ => good.answer(asked),
    });
    let names = ["a", "b", "c"].map(|tag| format!("{}/app:{tag}", server.name()));
    let user = User::with("");
    let pulled = user.coracle(["pull", &names[0], &names[1], &names[2]]);
    assert_eq!(pulled.ok().text().lines().count(), 3, "{pulled:?}");
    assert_eq!(server.count(&image.layer_path(0)), 1, "{pulled:?}");
    assert_eq!(user.images().len(), 3);
}

#[test]
fn several_images_and_one_that_fails() {
    let image = Image::simple(1000);
    let (good, bad) = (serve(&image), always(Answer::new(404, "")));
    let user = User::with("");
    let names = [&good, &bad, &good].map(|server| format!("{}/app", server.name()));
    let pulled = user.coracle(["pull", "--disable-content-trust", &names[0], &names[1], &names[2]]);
    pulled.exited(125).says("E_NOTFOUND");
    assert_eq!(pulled.text().lines().count(), 2);
}

#[test]
fn retries_are_counted() {
    let user = User::with("");
    for (flags, tries) in [(&["--retry=0"][..], 1), (&["--retry=2", "--retry-delay=1ms"], 3)] {
        let server = always(Answer::new(503, ""));
        let name = format!("{}/app", server.name());
        user.coracle([&["pull"][..], flags, &[&name]].concat()).refused(125, "E_REGISTRY");
        assert_eq!(server.count("/manifests/"), tries, "{flags:?}");
    }
    user.coracle(["pull", "--retry-delay=soon", "x"]).refused(125, "E_CONFIG").says("soon");
    user.coracle(["pull", "--retry=-1", "x"]).refused(125, "E_CONFIG");
}

#[test]
fn what_cannot_be_done_is_refused() {
    let user = User::with("");
    user.coracle(["pull", "--decryption-key", "key.pem", "x.io/y"])
        .refused(125, "E_CONFIG")
        .says("cannot be decrypted");
    user.coracle(["run", "--decryption-key", "key.pem", "x.io/y"]).refused(125, "E_CONFIG").says("cannot be decrypted");
    user.coracle(["pull", "--platform=linux/arm", "--variant=v7", "x.io/y"]).refused(125, "E_CONFIG").says("--variant");
    let image = Image::simple(1000);
    let server = serve(&image);
    let name = format!("{}/app", server.name());
    let other = user.coracle(["pull", "--arch=arm", "--variant=v7", &name]);
    other.refused(125, "E_NOTFOUND").says("not for linux/arm/v7");
    user.coracle(["run", "--rm", "--creds", "user:pass", "--retry=1", "--pull=always", &name]).says("/bin/true");
}
