//! `import` of what is on the web.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::User;
use crate::faulty::{Answer, Fault, Faulty};
use crate::images::tar;

#[test]
fn an_archive_is_imported_from_where_the_address_leads() {
    let archive = tar(&[("hello", b"from the web")]);
    let asked_before = AtomicUsize::new(0);
    let server = Faulty::start(move |asked| match asked.path.as_str() {
        "/start" => Answer::redirect("/there/root.tar"),
        "/there/root.tar" if asked_before.fetch_add(1, Ordering::SeqCst) == 0 => Answer::new(503, "later"),
        "/there/root.tar" => Answer::new(200, archive.clone()),
        "/chunked.tar" => Answer::new(200, archive.clone()).fault(Fault::Chunked),
        _ => Answer::new(404, "nothing"),
    });
    let user = User::with("");
    for (path, name) in [("start", "web"), ("chunked.tar", "chunked")] {
        let id = user.coracle(["import", "-q", &format!("{}/{path}", server.url()), name]).ok().text();
        assert!(id.starts_with("sha256:"), "{id}");
        let script = ["create", "--name", name, &format!("localhost/{name}"), "/hello"];
        user.coracle(script).ok();
        let copied = user.coracle(["cp", &format!("{name}:/hello"), "-"]).ok().text();
        assert!(copied.contains("from the web"), "{copied}");
    }
    assert!(server.asked().iter().all(|asked| asked.header("authorization").is_none()));
    let history = user.coracle(["history", "--no-trunc", "--format", "{{.Comment}}", "web"]).ok().text();
    assert!(history.contains(&server.url()), "{history}");
}

#[test]
fn what_does_not_arrive_whole_is_no_image() {
    let archive = tar(&[("hello", b"from the web")]);
    let server = Faulty::start(move |asked| match asked.path.as_str() {
        "/cut" => Answer::new(200, archive.clone()).fault(Fault::CutAfter(700)),
        "/loop" => Answer::redirect("/loop"),
        "/away" => Answer::redirect("file:///etc/passwd"),
        "/no" => Answer::new(403, "not you"),
        _ => Answer::new(404, "nothing"),
    });
    let user = User::with("");
    for (path, code, word) in [
        ("cut", "E_SIZE_MISMATCH", "it broke off"),
        ("loop", "E_REDIRECT", "redirects more than"),
        ("away", "E_REDIRECT", "no address on the web"),
        ("no", "E_", "403"),
        ("gone", "E_NOTFOUND", "gone"),
    ] {
        let refused = user.coracle(["import", &format!("{}/{path}", server.url()), "x"]);
        refused.exited(125).says(word);
        assert!(refused.errors().contains(code), "{refused:?}");
    }
    assert!(user.images().is_empty());
}
