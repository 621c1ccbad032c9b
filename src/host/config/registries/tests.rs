use super::*;

/// What these files say: `main` is the main file's text, the others are drop-ins by name.
fn registries(main: &str, drop_ins: &[(&str, &str)]) -> Registries {
    let root = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    };
    let main = write("registries.conf", main);
    for (name, text) in drop_ins {
        write(name, text);
    }
    Registries::read(Some(main), &[root.path().join("user"), root.path().join("etc")])
}

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

/// `name`, `name!` for an insecure one, `(name)` for a mirror.
fn places(registries: &Registries, text: &str) -> String {
    let shown = |endpoint: &Endpoint| {
        let name = format!("{}{}", endpoint.reference, if endpoint.insecure { "!" } else { "" });
        if endpoint.is_mirror { format!("({name})") } else { name }
    };
    match registries.endpoints(&reference(text)) {
        Ok(endpoints) => endpoints.iter().map(shown).collect::<Vec<_>>().join(" "),
        Err(error) => format!("refused: {error}"),
    }
}

fn candidates(registries: &Registries, text: &str) -> Vec<String> {
    let found = registries.candidates(&reference(text), &|_| {});
    found.into_iter().flat_map(|found| found.references).map(|reference| reference.to_string()).collect()
}

#[test]
fn the_longest_prefix_decides() {
    let registries = registries(
        r#"
        [[registry]]
        location = "r.io"
        insecure = true
        [[registry]]
        prefix = "r.io/secret"
        location = "r.io/secret"
        blocked = true
        [[registry]]
        prefix = "r.io/team/app:1"
        location = "old.io/app:1"
        [[registry]]
        prefix = "*.example.com"
        location = "mirror.example.net/all/"
        [[registry]]
        prefix = "*.insecure.com"
        insecure = true
        [[registry]]
        prefix = "docker.io/library"
        location = "hub.local:5000/official"
        "#,
        &[],
    );
    assert_eq!(registries.broken, []);
    for (name, expected) in [
        ("r.io/app", "r.io/app:latest!"),
        ("r.io/secret/app", "refused: registries.conf blocks r.io/secret/app:latest"),
        ("r.io/secret", "refused: registries.conf blocks r.io/secret:latest"),
        ("r.io/secrets/app", "r.io/secrets/app:latest!"),
        ("r.io/team/app:1", "old.io/app:1"),
        ("r.io/team/app:12", "r.io/team/app:12!"),
        ("r.io:5000/app", "r.io:5000/app:latest"),
        ("a.example.com/x/y:1", "mirror.example.net/all/x/y:1"),
        ("a.b.example.com:443/x", "mirror.example.net/all/x:latest"),
        ("example.com/x", "example.com/x:latest"),
        ("a.insecure.com/x", "a.insecure.com/x:latest!"),
        ("debian", "hub.local:5000/official/debian:latest"),
        ("docker.io/user/app", "docker.io/user/app:latest"),
    ] {
        assert_eq!(places(&registries, name), expected, "{name}");
    }
    assert!(registries.is_insecure("r.io").unwrap() && !registries.is_insecure("other.io").unwrap());
    assert!(registries.is_insecure("r.io/secret/app").is_err());
}

#[test]
fn mirrors_come_first_and_are_for_what_they_are_meant_for() {
    let registries = registries(
        r#"
        [[registry]]
        location = "r.io"
        [[registry.mirror]]
        location = "one.local/r"
        insecure = true
        [[registry.mirror]]
        location = "two.local"
        pull-from-mirror = "digest-only"
        [[registry.mirror]]
        location = "three.local"
        pull-from-mirror = "tag-only"
        [[registry]]
        location = "q.io"
        mirror-by-digest-only = true
        [[registry.mirror]]
        location = "four.local"
        "#,
        &[],
    );
    let digest = crate::oci::digest::Digest::of(b"");
    assert_eq!(places(&registries, "r.io/a/b"), "(one.local/r/a/b:latest!) (three.local/a/b:latest) r.io/a/b:latest");
    assert_eq!(
        places(&registries, &format!("r.io/a@{digest}")),
        format!("(one.local/r/a@{digest}!) (two.local/a@{digest}) r.io/a@{digest}")
    );
    assert_eq!(places(&registries, "q.io/a"), "q.io/a:latest");
    assert_eq!(places(&registries, &format!("q.io/a@{digest}")), format!("(four.local/a@{digest}) q.io/a@{digest}"));
}

#[test]
fn drop_ins_follow_and_the_last_has_the_last_word() {
    let registries = registries(
        "unqualified-search-registries = [\"a.io\"]\n[[registry]]\nlocation = \"a.io\"\n[aliases]\n\"x\" = \"a.io/x\"\n\"y\" = \"a.io/y\"",
        &[
            ("etc/10.conf", "broken"),
            ("user/10.conf", "[[registry]]\nlocation = \"a.io\"\ninsecure = true\n"),
            (
                "etc/20.conf",
                "unqualified-search-registries = [\"b.io\", \"c.io/sub/\"]\n[aliases]\n\"x\" = \"b.io/x\"\n\"y\" = \"\"",
            ),
            ("etc/README", "broken"),
        ],
    );
    assert_eq!(registries.broken, []);
    assert_eq!(places(&registries, "a.io/x"), "a.io/x:latest!");
    assert_eq!(candidates(&registries, "x:1"), ["b.io/x:1"]);
    assert_eq!(candidates(&registries, "y"), ["b.io/y:latest", "c.io/sub/y:latest"]);
}

#[test]
fn short_names_are_aliases_or_are_searched_for() {
    let digest = crate::oci::digest::Digest::of(b"");
    let text = r#"
        unqualified-search-registries = ["docker.io", "quay.io"]
        [aliases]
        "fedora" = "registry.fedoraproject.org/fedora"
        "ubi8/nodejs" = "registry.access.redhat.com/ubi8/nodejs"
    "#;
    let some = registries(text, &[]);
    assert_eq!(candidates(&some, "fedora"), ["registry.fedoraproject.org/fedora:latest"]);
    assert_eq!(candidates(&some, "ubi8/nodejs:1"), ["registry.access.redhat.com/ubi8/nodejs:1"]);
    assert_eq!(candidates(&some, &format!("fedora@{digest}")), [format!("registry.fedoraproject.org/fedora@{digest}")]);
    assert_eq!(candidates(&some, "debian:12"), ["docker.io/library/debian:12", "quay.io/debian:12"]);
    assert_eq!(candidates(&some, "user/app"), ["docker.io/user/app:latest", "quay.io/user/app:latest"]);
    let nothing = registries("", &[]);
    assert_eq!(candidates(&nothing, "debian"), ["docker.io/library/debian:latest"]);
    assert_eq!(candidates(&registries("unqualified-search-registries = []", &[]), "debian"), [""; 0]);
}

#[test]
fn the_mode_says_who_chooses() {
    let two = "unqualified-search-registries = [\"a.io\", \"b.io\"]\n";
    for (text, expected) in [
        (two.to_owned(), Choice::Offered),
        (format!("{two}short-name-mode = \"\""), Choice::Offered),
        (format!("{two}short-name-mode = \"permissive\""), Choice::Offered),
        (format!("{two}short-name-mode = \"enforcing\""), Choice::Required),
        (format!("{two}short-name-mode = \"disabled\""), Choice::First),
        ("short-name-mode = \"enforcing\"".into(), Choice::First),
    ] {
        let found = registries(&text, &[]).candidates(&reference("x"), &|_| {}).unwrap();
        assert_eq!(found.choice, expected, "{text}");
    }
}

#[test]
fn broken_files_are_named_with_line_and_column() {
    for (text, place, why) in [
        ("\n[[registry]\n", (2, 12), "expected"),
        ("[[registry]]\nlocation = 1\n", (2, 12), "string"),
        ("[[registry]]\nlocation = \"https://r.io\"\n", (1, 1), "is an address"),
        ("x = 1\n[[registry]]\ninsecure = true\n", (2, 1), "neither prefix nor location"),
        ("[[registry]]\nprefix = \"r.io\"\n", (1, 1), "has no location"),
        ("[[registry]]\nprefix = \"a.*.io\"\n", (1, 1), "can only be its beginning"),
        ("[[registry]]\nprefix = \"*.io/x\"\n", (1, 1), "without port and path"),
        ("short-name-mode = \"sometimes\"", (1, 19), "sometimes"),
        ("unqualified-search-registries = [\"a b\"]", (1, 33), "a b"),
        ("[aliases]\n\"x\" = \"y\"", (2, 7), "registry/repository"),
        ("[aliases]\n\"x\" = \"r.io/y:1\"", (2, 7), "without tag"),
        ("[aliases]\nx = \"r.io/y\"\nx = \"r.io/z\"", (3, 1), "duplicate"),
        ("# old\n[registries.search]\nregistries = ['r.io']", (2, 1), "version 1"),
        (
            "[[registry]]\nlocation='r.io'\nmirror-by-digest-only=true\n[[registry.mirror]]\nlocation='m.io'\npull-from-mirror='all'",
            (1, 1),
            "exclude each other",
        ),
        (
            "[[registry]]\nlocation='r.io'\n[[registry.mirror]]\nlocation='m.io'\npull-from-mirror='sometimes'",
            (5, 18),
            "sometimes",
        ),
        ("[[registry]]\nlocation='r.io'\npull-from-mirror='all'", (1, 1), "registry.mirror"),
    ] {
        let registries = registries(text, &[]);
        let [broken] = &registries.broken[..] else { panic!("{text:?} is not broken") };
        assert!(broken.why.contains(why), "{text:?}: {broken}");
        assert_eq!(broken.place, Some(place), "{text:?}: {broken}");
        assert!(registries.warnings().next().unwrap().contains(&format!("line {} column {}: ", place.0, place.1)));
    }
}

// SECURITY.md R11: what may have been forbidden is not done.
#[test]
fn a_broken_file_that_may_block_something_blocks_everything() {
    let harmless = registries("[[registry]\nlocation = \"r.io\"", &[]);
    assert_eq!(places(&harmless, "r.io/a"), "r.io/a:latest");
    assert!(harmless.all_were_read().is_err());
    let blocking = registries("[[registry]\nlocation = \"r.io\"\nblocked = true", &[]);
    assert!(places(&blocking, "other.io/a").starts_with("refused: a configuration file is needed"));
}

#[test]
fn a_name_that_is_none_after_it_was_moved_is_refused() {
    let registries = registries("[[registry]]\nprefix = \"r.io\"\nlocation = \"nodots\"", &[]);
    assert!(places(&registries, "r.io/a").contains("\"nodots/a:latest\""), "{}", places(&registries, "r.io/a"));
}
