//! `search`: docker's API, catalogs, tags.

use serde_json::json;

use crate::faulty::{Answer, Asked, Fault, Faulty};
use crate::{User, nobody};

/// A registry with docker's search API.
fn hub() -> Faulty {
    Faulty::start(|asked| {
        match asked.path.split('?').next().unwrap() {
        "/v2/" => Answer::new(200, "{}"),
        "/v1/search" => Answer::new(
            200,
            json!({"num_results": 2, "results": [
                {"name": "debian", "description": "Debian is a\nfree and very large operating system, or so they say", "star_count": 42, "is_official": true, "is_automated": false},
                {"name": "user/debian", "description": "", "star_count": 1, "is_official": false, "is_automated": true, "pull_count": 7},
            ]})
            .to_string(),
        ),
        _ => Answer::new(404, ""),
    }
    })
}

/// A registry with a catalog of these repositories, two a page.
fn catalog(repositories: &'static [&'static str]) -> Faulty {
    Faulty::start(move |asked| match asked.path.split('?').next().unwrap() {
        "/v2/" => Answer::new(200, "{}"),
        "/v2/_catalog" => page(asked, "repositories", repositories),
        _ => Answer::new(404, "<html>"),
    })
}

fn page(asked: &Asked, key: &str, all: &[&str]) -> Answer {
    let from = asked.path.split("from=").nth(1).map_or(0, |from| from.parse().unwrap());
    let answer = Answer::new(200, json!({key: all[from..(from + 2).min(all.len())]}).to_string());
    match from + 2 < all.len() {
        true => {
            let path = asked.path.split('?').next().unwrap();
            answer.header("Link", format!("<{path}?from={}>; rel=\"next\"", from + 2))
        }
        false => answer,
    }
}

#[test]
fn dockers_search_api_is_shown_as_podman_does() {
    let (server, user) = (hub(), User::with(""));
    let term = format!("{}/debian", server.name());
    let search = |flags: &[&str]| user.coracle([&["search"], flags, &[&term]].concat()).ok().text();
    let table = search(&[]);
    let mut lines = table.lines();
    assert!(lines.next().unwrap().starts_with("NAME") && table.contains("DESCRIPTION"));
    let first = lines.next().unwrap();
    assert!(first.starts_with(&format!("{}/debian ", server.name())), "{table}");
    assert!(first.ends_with("Debian is a free and very large operating sy..."), "{table}");
    assert!(search(&["--no-trunc"]).contains("or so they say"));
    assert!(search(&["--compatible"]).lines().nth(1).unwrap().contains("[OK]"));
    assert_eq!(search(&["--noheading"]).lines().count(), 2);
    assert_eq!(search(&["--limit=1", "--noheading"]).lines().count(), 1);
    assert_eq!(
        search(&["--format", "{{.Index}} {{.Stars}}", "--filter", "is-official=true"]).as_str(),
        format!("{} 42", server.name())
    );
    assert_eq!(search(&["--format", "{{.Name}}", "-f", "stars=2"]), format!("{}/debian", server.name()));
    assert_eq!(search(&["--format", "{{.Name}}", "-f", "is-automated=true"]), format!("{}/user/debian", server.name()));
    let json = user.coracle(["search", "--format", "json", &term]).ok().json();
    assert_eq!(json[0]["Stars"], 42);
    assert_eq!(json[1]["Automated"], "[OK]");
    assert_eq!(server.asked().last().unwrap().path, "/v1/search?q=debian&n=25");
    assert!(server.asked().iter().all(|asked| asked.header("authorization").is_none()));
}

#[test]
fn a_catalog_is_searched_page_by_page() {
    let server = catalog(&["a/app", "b/other", "application", "c/d", "app", "z"]);
    let user = User::with("");
    let names = |term: &str, flags: &[&str]| {
        let term = format!("{}/{term}", server.name());
        let found = user.coracle([&["search", "--format", "{{.Name}}"], flags, &[&term]].concat()).ok().text();
        found.replace(&format!("{}/", server.name()), "").lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(names("app", &[]), ["app", "a/app", "application"], "the one of this very name is first");
    assert_eq!(names("", &[]).len(), 6);
    assert_eq!(names("app", &["--limit=2"]), ["a/app", "application"]);
    assert_eq!(names("nothing", &[]), [""; 0]);
}

#[test]
fn tags_are_listed_page_by_page() {
    let server = Faulty::start(|asked| match asked.path.split('?').next().unwrap() {
        "/v2/" => Answer::new(200, "{}"),
        "/v2/team/app/tags/list" => page(asked, "tags", &["1", "2", "3", "4", "5"]),
        "/v2/empty/tags/list" => Answer::new(200, r#"{"name": "empty", "tags": null}"#),
        _ => Answer::new(404, r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known"}]}"#),
    });
    let user = User::with("");
    let name = format!("{}/team/app", server.name());
    let tags = user.coracle(["search", "--list-tags", &name]).ok().text();
    assert_eq!(tags.lines().count(), 6, "{tags}");
    assert!(tags.lines().nth(5).unwrap().starts_with(&name) && tags.ends_with('5'));
    server.forget();
    assert_eq!(
        user.coracle(["search", "--list-tags", "--limit=3", "--format", "{{.Tag}}", &name]).ok().text(),
        "1\n2\n3"
    );
    assert_eq!(server.count("tags/list"), 2, "no more is asked for than is shown");
    let json = user.coracle(["search", "--list-tags", "--format", "json", &name]).ok().json();
    assert_eq!(json, json!([{"Name": name, "Tags": ["1", "2", "3", "4", "5"]}]));
    let empty = format!("{}/empty", server.name());
    assert_eq!(user.coracle(["search", "--list-tags", "--noheading", &empty]).ok().text(), "");
    user.coracle(["search", "--list-tags", &format!("{}/none", server.name())]).refused(125, "E_NOTFOUND");
}

#[test]
fn all_registries_are_searched_and_one_that_fails_hides_nothing() {
    let (hub, own, down) = (hub(), catalog(&["my/debian", "x"]), nobody());
    let conf = |registries: &[&str]| format!("unqualified-search-registries = {registries:?}");
    let user = User::with(&conf(&[&hub.name(), &down, &own.name()]));
    let found = user.coracle(["search", "--format", "{{.Name}}", "debian"]);
    found.ok().says(&down);
    let expected = [(&hub, "debian"), (&hub, "user/debian"), (&own, "my/debian")];
    assert_eq!(
        found.text().lines().collect::<Vec<_>>(),
        expected.map(|(server, name)| format!("{}/{name}", server.name()))
    );
    user.configure("registries.conf", conf(&[&down]));
    let failed = user.coracle(["search", "--noheading", "debian"]);
    failed.refused(125, "E_REGISTRY");
    user.configure("registries.conf", conf(&[]));
    user.coracle(["search", "debian"]).refused(125, "E_CONFIG");
}

#[test]
fn lists_that_lead_astray_are_refused() {
    let stranger = catalog(&["evil"]);
    let elsewhere = format!("<{}/v2/_catalog>; rel=\"next\"", stranger.url());
    let endless = "</v2/_catalog?from=0>; rel=\"next\"".to_owned();
    for (link, code) in
        [(elsewhere, "E_REDIRECT"), (endless, "E_REDIRECT"), ("<http://[>; rel=next".into(), "E_REDIRECT")]
    {
        let server = Faulty::start(move |asked| match asked.path.split('?').next().unwrap() {
            "/v2/_catalog" => Answer::new(200, r#"{"repositories": ["x"]}"#).header("Link", link.clone()),
            "/v2/" => Answer::new(200, "{}"),
            _ => Answer::new(404, ""),
        });
        User::with("").coracle(["search", "--noheading", &format!("{}/zzz", server.name())]).refused(125, code);
        assert!(server.count("_catalog") <= 100);
    }
    assert!(stranger.asked().is_empty());
}

#[test]
fn answers_that_are_none_are_refused() {
    for (answer, code) in [
        (Answer::new(200, "<html>"), "E_REGISTRY"),
        (Answer::new(200, r#"{"repositories": [1]}"#), "E_REGISTRY"),
        (Answer::new(200, "").fault(Fault::Endless), "E_TOO_LARGE"),
        (Answer::new(401, ""), "E_AUTH"),
        (Answer::new(403, ""), "E_AUTH"),
        (Answer::new(404, ""), "E_NOTFOUND"),
    ] {
        let shown = format!("{answer:?}");
        let server = Faulty::start(move |asked| match asked.path.split('?').next().unwrap() {
            "/v2/_catalog" => answer.clone(),
            "/v2/" => Answer::new(200, "{}"),
            _ => Answer::new(404, ""),
        });
        let refused = User::with("").coracle(["search", "--noheading", &format!("{}/x", server.name())]);
        assert!(refused.errors().contains(code), "{shown}: {refused:?}");
        refused.refused(125, code);
    }
}

#[test]
fn what_cannot_be_searched_for_is_refused() {
    let user = User::with("");
    for (arguments, code) in [
        (&["search", ""][..], "E_NAME_INVALID"),
        (&["search", "--limit=0", "x"], "E_CONFIG"),
        (&["search", "--limit=20000", "x"], "E_CONFIG"),
        (&["search", "--filter", "stars=many", "x"], "E_CONFIG"),
        (&["search", "--filter", "color=red", "x"], "E_CONFIG"),
        (&["search", "--list-tags", "--filter", "stars=1", "x"], "E_CONFIG"),
        (&["search", "--list-tags", "r.io/UPPER"], "E_NAME_INVALID"),
        (&["search", "--format", "{{", "x"], "E_CONFIG"),
    ] {
        user.coracle(arguments).refused(125, code);
    }
}
