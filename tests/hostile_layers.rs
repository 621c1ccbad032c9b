//! Layers that attack whoever unpacks them: nothing outside the target may change, and nothing of a refused layer may
//! remain. Each kind of refusal has a positive twin in `store.rs`.

#![allow(clippy::unwrap_used, reason = "what these helpers cannot do fails the test")]

#[path = "support/sandbox.rs"]
mod support;

use support::{Header, Sandbox, Tar, pax_record, seal};

use coracle::failure::Explain;
use coracle::store::unpack::limits::Limits;

#[test]
fn names_that_lead_out_are_refused() {
    let sandbox = Sandbox::new();
    let names =
        ["../v", "/../v", "a/../../v", "a/..", "..", "../", "./../v", "a/b/../../../v", "../../canary/file", "//../v"];
    for name in names {
        let code = if name.ends_with('/') { "E_LAYER_FORMAT" } else { "E_LAYER_PATH" };
        sandbox.refuses(name, &Tar::new().file(name, "x").end(), code);
        sandbox.refuses(name, &Tar::new().directory(name).end(), "E_LAYER_PATH");
        sandbox.refuses(name, &Tar::new().symlink(name, "/").end(), "E_LAYER_PATH");
        sandbox.refuses(name, &Tar::new().file("f", "x").hard_link(name, "f").end(), "E_LAYER_PATH");
        sandbox.refuses(name, &Tar::new().file("f", "x").hard_link("g", name).end(), "E_LAYER_PATH");
        let long = Tar::new().pax(&[("path", name.as_bytes())]).file("innocent", "x").end();
        sandbox.refuses(name, &long, code);
        let gnu = Tar::new().entry(Header::new(b'L', "././@LongLink"), format!("{name}\0").as_bytes());
        sandbox.refuses(name, &gnu.file("innocent", "x").end(), code);
    }
}

#[test]
fn absolute_names_are_below_the_root() {
    let sandbox = Sandbox::new();
    let canary = sandbox.canary().join("file");
    let before = sandbox.surroundings();
    let (tree, _) = sandbox.unpack(&Tar::new().file(canary.to_str().unwrap(), "evil").end()).unwrap();
    let inside = tree.join(canary.strip_prefix("/").unwrap());
    assert_eq!(std::fs::read_to_string(inside).unwrap(), "evil");
    let after = sandbox.surroundings();
    assert!(before.iter().filter(|line| line.contains("/canary")).all(|line| after.contains(line)));
}

/// What is written "through" a symbolic link lands inside: the link is replaced, never followed.
#[test]
fn nothing_is_written_through_a_symbolic_link() {
    let sandbox = Sandbox::new();
    let canary = sandbox.canary();
    let canary = canary.to_str().unwrap();
    let evil = "../".repeat(20) + canary;
    for target in [canary, &evil, "..", "../..", "/", "."] {
        let tars = [
            Tar::new().symlink("a", target).file("a/file", "evil"),
            Tar::new().symlink("a", target).file("a/directory/file", "evil"),
            Tar::new().symlink("a", target).directory("a").file("a/file", "evil"),
            Tar::new().symlink("a", target).directory("a/directory"),
            Tar::new().symlink("a", target).header(&Header::new(b'5', "a/directory/").mode(0o777)),
            Tar::new().symlink("a", target).symlink("a/file", "/"),
            Tar::new().symlink("a", target).file("f", "x").hard_link("a/file", "f"),
            Tar::new().symlink("a", target).file("a/.wh.file", ""),
            Tar::new().symlink("a", target).file("a/.wh..wh..opq", ""),
            Tar::new().symlink("a", target).header(&Header::new(b'6', "a/file")),
            Tar::new().symlink("a", target).file("a", "evil"),
            Tar::new().symlink("x", target).symlink("y", "x").symlink("z", "y/x").file("z/y/x/file", "evil"),
            Tar::new().symlink("a", "b").symlink("b", "c").symlink("c", target).file("a/file", "e").file("b/file", "e"),
        ];
        for (number, tar) in tars.into_iter().enumerate() {
            let before = std::fs::read(sandbox.canary().join("file")).unwrap();
            let untouched =
                |lines: Vec<String>| lines.into_iter().filter(|l| l.contains("/canary")).collect::<Vec<_>>();
            let facts = untouched(sandbox.surroundings());
            sandbox.unpack(&tar.end()).unwrap_or_else(|error| panic!("{target} {number}: {error:?}"));
            assert_eq!(std::fs::read(sandbox.canary().join("file")).unwrap(), before);
            let now = untouched(sandbox.surroundings());
            assert!(facts.iter().all(|fact| now.contains(fact)), "{target} {number}");
        }
    }
}

#[test]
fn hard_links_refer_to_this_layers_files_only() {
    let sandbox = Sandbox::new();
    let canary = sandbox.canary().join("file");
    let canary_directory = sandbox.canary();
    let targets =
        [canary.to_str().unwrap(), "/etc/passwd", "/proc/self/exe", "missing", "missing/x", "", ".", "/", "d"];
    for target in targets {
        sandbox.refuses(target, &Tar::new().directory("d").hard_link("h", target).end(), "E_LAYER_PATH");
    }
    // Through a symbolic link, directly and in a chain.
    let through = Tar::new().symlink("s", canary_directory.to_str().unwrap());
    sandbox.refuses("via symlink", &through.clone().hard_link("h", "s/file").end(), "E_LAYER_PATH");
    sandbox.refuses("chain", &through.symlink("t", "s").hard_link("h", "t/file").end(), "E_LAYER_PATH");
    // A sibling of the target whose name begins like it.
    for sibling in ["../tree-evil/x", "../tree", "/../tree-evil"] {
        sandbox.refuses(sibling, &Tar::new().hard_link("h", sibling).end(), "E_LAYER_PATH");
    }
    sandbox.refuses("itself", &Tar::new().file("f", "x").hard_link("f", "./f").end(), "E_LAYER_PATH");
    sandbox.refuses("a whiteout", &Tar::new().file(".wh.f", "").hard_link("g", "f").end(), "E_LAYER_PATH");
    sandbox.refuses("what it replaces", &Tar::new().file("d/f", "").hard_link("d", "d/f").end(), "E_LAYER_PATH");
}

#[test]
fn a_hard_link_to_a_symbolic_link_is_one_to_the_link() {
    let sandbox = Sandbox::new();
    let canary = sandbox.canary().join("file");
    let tar = Tar::new().symlink("s", canary.to_str().unwrap()).hard_link("h", "s").file("h", "evil");
    let (tree, _) = sandbox.unpack(&tar.end()).unwrap();
    assert_eq!(std::fs::read_to_string(tree.join("h")).unwrap(), "evil");
    assert_eq!(std::fs::read_to_string(canary).unwrap(), "canary");
}

#[test]
fn the_root_can_only_be_a_directory() {
    let sandbox = Sandbox::new();
    for name in ["", ".", "./", "/", "//", "./."] {
        sandbox.refuses(name, &Tar::new().symlink(name, "/").end(), "E_LAYER_PATH");
        sandbox.refuses(name, &Tar::new().symlink(name, sandbox.canary().to_str().unwrap()).end(), "E_LAYER_PATH");
        sandbox.refuses(name, &Tar::new().file("f", "x").hard_link(name, "f").end(), "E_LAYER_PATH");
        sandbox.refuses(name, &Tar::new().header(&Header::new(b'6', name)).end(), "E_LAYER_PATH");
        let file = Tar::new().file(name, "x").end();
        let code = if name.ends_with('/') { "E_LAYER_FORMAT" } else { "E_LAYER_PATH" };
        sandbox.refuses(name, &file, code);
    }
}

#[test]
fn trailing_slashes_do_not_follow_links() {
    let sandbox = Sandbox::new();
    let canary = sandbox.canary();
    for name in ["l/", "l//", "./l/", "l/."] {
        // A link and then a directory over it: the link goes.
        let tar = Tar::new().symlink("l", canary.to_str().unwrap()).header(&Header::new(b'5', name).mode(0o711));
        let (tree, _) = sandbox.unpack(&tar.end()).unwrap();
        assert!(tree.join("l").symlink_metadata().unwrap().is_dir());
        let hard = Tar::new().symlink("l", canary.to_str().unwrap()).hard_link("h", &format!("{name}/file"));
        assert_eq!(sandbox.unpack(&hard.end()).unwrap_err().code(), "E_LAYER_PATH");
    }
    use std::os::unix::fs::PermissionsExt;
    assert_ne!(canary.metadata().unwrap().permissions().mode() & 0o777, 0o711);
}

#[test]
fn whiteouts_that_are_none_are_refused() {
    let sandbox = Sandbox::new();
    let names = [
        ".wh.",
        ".wh..",
        ".wh...",
        "a/.wh.",
        "a/.wh..",
        "a/.wh...",
        ".wh./x",
        ".wh.a/x",
        ".wh..wh.x",
        ".wh..wh.plnk",
        ".wh.a/b/c",
    ];
    for name in names {
        sandbox.refuses(name, &Tar::new().file(name, "").end(), "E_LAYER_PATH");
    }
    sandbox.refuses("dir", &Tar::new().directory(".wh.a").end(), "E_LAYER_PATH");
    sandbox.refuses("link", &Tar::new().symlink(".wh.a", "/").end(), "E_LAYER_PATH");
    sandbox.refuses("opaque link", &Tar::new().symlink("a/.wh..wh..opq", "/").end(), "E_LAYER_PATH");
    sandbox.refuses("contents", &Tar::new().file(".wh.a", "x").end(), "E_LAYER_PATH");
    sandbox.refuses("device 0:0", &Tar::new().header(&Header::new(b'3', "a")).end(), "E_LAYER_PATH");
    sandbox.refuses("link to one", &Tar::new().hard_link("b", ".wh.a").end(), "E_LAYER_PATH");
}

#[test]
fn overlay_attributes_cannot_be_planted() {
    let sandbox = Sandbox::new();
    let planted: Vec<(String, &[u8])> = [
        "user.overlay.opaque",
        "user.overlay.redirect",
        "user.overlay.metacopy",
        "user.overlay.whiteout",
        "trusted.overlay.opaque",
        "trusted.overlay.redirect",
        "user.containers.override_stat",
        "security.ima",
        "security.selinux",
        "system.posix_acl_access",
    ]
    .map(|name| (format!("SCHILY.xattr.{name}"), &b"y"[..]))
    .into();
    let records: Vec<(&str, &[u8])> = planted.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    let tar = Tar::new().pax(&records).directory("d").pax(&records).file("f", "x").pax(&records).symlink("s", "f");
    let (tree, manifest) = sandbox.unpack(&tar.end()).unwrap();
    assert_eq!(manifest.skipped.xattrs, 30);
    for path in ["d", "f"] {
        let listing = std::process::Command::new("getfattr").args(["-d", "-m", "-"]).arg(tree.join(path)).output();
        // Without getfattr the two that matter most are looked at directly.
        let listing = listing.map(|output| String::from_utf8(output.stdout).unwrap()).unwrap_or_default();
        let lines = listing.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        assert_eq!(lines.collect::<Vec<_>>(), Vec::<&str>::new());
        for name in [support::OPAQUE, support::OVERRIDE_STAT, c"user.overlay.redirect", c"user.overlay.metacopy"] {
            assert_eq!(support::xattr(&tree.join(path), name), None);
        }
    }
}

#[test]
fn tars_that_parsers_read_differently_are_refused() {
    let sandbox = Sandbox::new();
    let smuggled = Tar::new().file("smuggled", "evil").0;
    // An extended header says 0 bytes where the header says 1024, and the other way round.
    let inner = Header { size: smuggled.len() as u64, ..Header::new(b'0', "f") };
    let tar = Tar::new().pax(&[("size", b"0")]).header(&inner).raw(&smuggled).end();
    sandbox.refuses("pax size 0", &tar, "E_LAYER_FORMAT");
    let tar = Tar::new().pax(&[("size", b"1024")]).header(&Header::new(b'0', "f")).raw(&smuggled).end();
    sandbox.refuses("pax size 1024", &tar, "E_LAYER_FORMAT");
    let tar = Tar::new().pax_raw(b'g', &pax_record("size", b"1024")).header(&Header::new(b'0', "f")).raw(&smuggled);
    sandbox.refuses("global size", &tar.end(), "E_LAYER_FORMAT");
    let tar = Tar::new().pax_raw(b'g', &pax_record("path", b"/x")).file("f", "");
    sandbox.refuses("global path", &tar.end(), "E_LAYER_FORMAT");
    for typeflag in [b'1', b'2', b'3', b'4', b'5', b'6'] {
        let header = Header { size: smuggled.len() as u64, ..Header::new(typeflag, "f").link("x") };
        sandbox.refuses("size of no file", &Tar::new().header(&header).raw(&smuggled).end(), "E_LAYER_FORMAT");
    }
    let twice = [pax_record("path", b"a"), pax_record("path", b"b")].concat();
    sandbox.refuses("path twice", &Tar::new().pax_raw(b'x', &twice).file("f", "").end(), "E_LAYER_FORMAT");
    let tar = Tar::new().pax(&[("path", b"a")]).pax(&[("path", b"b")]).file("f", "").end();
    sandbox.refuses("two headers", &tar, "E_LAYER_FORMAT");
    let long = || Tar::new().entry(Header::new(b'L', "././@LongLink"), b"long\0");
    sandbox.refuses("gnu, then pax", &long().pax(&[("path", b"b")]).file("f", "").end(), "E_LAYER_FORMAT");
    let mixed = Tar::new().pax(&[("path", b"b")]).raw(&long().0).file("f", "").end();
    sandbox.refuses("pax, then gnu", &mixed, "E_LAYER_FORMAT");
    sandbox.refuses("no file follows", &long().end(), "E_LAYER_FORMAT");
    sandbox.refuses("NUL", &Tar::new().pax(&[("path", b"a\0b")]).file("f", "").end(), "E_LAYER_FORMAT");
    sandbox.refuses("slash of a file", &Tar::new().file("f/", "x").end(), "E_LAYER_FORMAT");
    for record in ["5 a\n", "99 path=a\n", "path=a\n", "12 path=a\n", "-9 path=a\n"] {
        let tar = Tar::new().pax_raw(b'x', record.as_bytes()).file("f", "").end();
        sandbox.refuses(record, &tar, "E_LAYER_FORMAT");
    }
}

#[test]
fn damaged_tars_are_refused() {
    let sandbox = Sandbox::new();
    let good = Tar::new().directory("d").file("d/f", &"x".repeat(3000)).end();
    for length in [1, 511, 513, 1023, 1024 + 1, 2000, 512 + 512 + 2999, 512 + 512 + 3001] {
        sandbox.refuses(&format!("cut at {length}"), &good[..length], "E_LAYER_FORMAT");
    }
    let mut flipped = good.clone();
    flipped[3] ^= 1;
    sandbox.refuses("checksum", &flipped, "E_LAYER_FORMAT");
    sandbox.refuses("after the end", &[&good[..], b"more"].concat(), "E_LAYER_FORMAT");
    let hidden = [&good[..], &Tar::new().file("hidden", "x").end()].concat();
    sandbox.refuses("a tar after the end", &hidden, "E_LAYER_FORMAT");
    sandbox.refuses("no tar", &b"GIF89a".repeat(1000), "E_LAYER_FORMAT");
    sandbox.refuses("unknown type", &Tar::new().header(&Header::new(b'Q', "f")).end(), "E_LAYER_FORMAT");
    for field in [124..136, 108..116, 100..108, 136..148] {
        for value in [&b"-1\0\0\0\0\0\0"[..], b"9\0\0\0\0\0\0\0", b"\xff\xff\xff\xff\xff\xff\xff\xff"] {
            let mut block = Header::new(b'0', "f").block();
            block[field.clone()][..8].copy_from_slice(value);
            seal(&mut block);
            sandbox.refuses("number", &Tar::new().raw(&block).end(), "E_LAYER_FORMAT");
        }
    }
    let owner = Tar::new().pax(&[("uid", b"4294967295")]).file("f", "").end();
    sandbox.refuses("no such uid", &owner, "E_LAYER_FORMAT");
}

#[test]
fn bombs_are_refused_before_they_cost_anything() {
    let sandbox = Sandbox::new();
    let before = sandbox.surroundings();
    let small = Limits { bytes: 10_000, entries: 3 };
    let refused = |what: &str, tar: &[u8], says: &str| {
        let error = sandbox.unpack_within(tar, &small).map(drop).unwrap_err();
        assert_eq!(error.code(), "E_LAYER_LIMIT", "{what}: {error:?}");
        let text = coracle::failure::Failure::from(error).to_string();
        assert!(text.contains(says), "{what}: {text}");
        assert_eq!(sandbox.surroundings(), before, "{what}");
    };
    let huge = Header { size: 0o77_777_777_777, ..Header::new(b'0', "f") };
    refused("declared size", &Tar::new().header(&huge).end(), "10000 bytes");
    refused("size", &Tar::new().file("f", &"x".repeat(10_000)).end(), "10000 bytes");
    refused("zeroes after the end", &[Tar::new().end(), vec![0; 10_000]].concat(), "10000 bytes");
    let many = (0..4).fold(Tar::new(), |tar, number| tar.file(&number.to_string(), "")).end();
    refused("entries", &many, "entries is over the limit of 3");
    let long = Header { size: 2 << 20, ..Header::new(b'x', "p") };
    refused("PAX", &Tar::new().header(&long).end(), "1048576 bytes");
    let long = Header { size: 1 << 30, ..Header::new(b'L', "p") };
    refused("long name", &Tar::new().header(&long).end(), "4096 bytes");
    // A file of a few bytes that says it is 100 GiB long.
    let sparse: &[(&str, &[u8])] =
        &[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"107374182400")];
    refused(
        "sparse",
        &Tar::new().pax(sparse).file("f", &format!("0\n{}", "\0".repeat(510))).end(),
        "68719476736 bytes",
    );
    let deep = "d/".repeat(2048) + "f";
    refused("path", &Tar::new().pax(&[("path", deep.as_bytes())]).file("f", "").end(), "path");
    refused("component", &Tar::new().pax(&[("path", &[b'x'; 256])]).file("f", "").end(), "component");
    // What is just within the limits is unpacked.
    let fits = (0..3).fold(Tar::new(), |tar, number| tar.file(&number.to_string(), &"x".repeat(2000))).end();
    sandbox.unpack_within(&fits, &small).unwrap();
}

#[test]
fn a_jail_that_is_gone_is_an_error_and_not_a_signal() {
    use std::io::Write;
    let sandbox = Sandbox::new();
    let before = sandbox.surroundings();
    // Much more than a pipe holds, so that writing goes on after the jail has left.
    let tar = [Tar::new().file("../evil", "x").0, vec![0; 8 << 20]].concat();
    sandbox.refuses("large", &tar, "E_LAYER_PATH");
    let store = coracle::store::Store::open(sandbox.store.layout().clone()).unwrap().with_program("/bin/true".into());
    let error = store.layers().ingest(&coracle::oci::digest::Digest::of(b"")).map(drop).unwrap_err();
    assert_eq!(error.code(), "E_HELPER_DIED");
    let store = store.with_program("/nonexistent".into());
    assert!(store.layers().ingest(&coracle::oci::digest::Digest::of(b"")).is_err());
    // Given up half-way.
    let mut ingest = sandbox.store.layers().ingest(&coracle::oci::digest::Digest::of(b"")).unwrap();
    ingest.write_all(&Tar::new().file("f", "x").0).unwrap();
    drop(ingest);
    assert_eq!(sandbox.surroundings(), before);
}

/// A file stored without its holes: pieces that overlap, go back, lie outside, are too many or too few; maps that end early;
/// formats that others read differently.
#[test]
fn maps_of_sparse_files_that_are_wrong_are_refused() {
    let sandbox = Sandbox::new();
    let block = |text: &str| format!("{text}{}", "\0".repeat(512 - text.len()));
    let pax = |version: (&[u8], &[u8]), size: &[u8], contents: &str| {
        let records: &[(&str, &[u8])] =
            &[("GNU.sparse.major", version.0), ("GNU.sparse.minor", version.1), ("GNU.sparse.realsize", size)];
        Tar::new().pax(records).file("f", contents).end()
    };
    let good = block("2\n0\n4\n512\n4\n") + "headtail";
    let (tree, _) = sandbox.unpack(&pax((b"1", b"0"), b"600", &good)).unwrap();
    let bytes = std::fs::read(tree.join("f")).unwrap();
    assert_eq!((bytes.len(), &bytes[..4], &bytes[512..516], bytes[300]), (600, &b"head"[..], &b"tail"[..], 0));
    for (what, contents) in [
        ("pieces overlap", block("2\n0\n4\n3\n4\n") + "headtail"),
        ("pieces go back", block("2\n512\n4\n0\n4\n") + "headtail"),
        ("a piece is outside", block("2\n0\n4\n599\n4\n") + "headtail"),
        ("too few bytes", block("2\n0\n4\n512\n5\n") + "headtail"),
        ("too many bytes", block("2\n0\n4\n512\n3\n") + "headtail"),
        ("it overflows", block("1\n18446744073709551615\n8\n") + "headtail"),
        ("a number is too large", block("1\n99999999999999999999\n8\n") + "headtail"),
        ("no number", block("1\n\n8\n") + "headtail"),
        ("no digits", block("x\n") + "headtail"),
        ("it ends", block("2\n0\n4\n512\n")),
        ("nothing", String::new()),
        ("too many pieces", block("70000\n0\n0\n")),
    ] {
        sandbox.refuses(what, &pax((b"1", b"0"), b"600", &contents), "E_LAYER_FORMAT");
    }
    sandbox.refuses("version", &pax((b"0", b"1"), b"600", &good), "E_LAYER_FORMAT");
    sandbox.refuses("size", &pax((b"1", b"0"), b"x", &good), "E_LAYER_FORMAT");
    sandbox.refuses(
        "format 0.1",
        &Tar::new().pax(&[("GNU.sparse.map", b"0,1")]).file("f", "x").end(),
        "E_LAYER_FORMAT",
    );
    let named: &[(&str, &[u8])] = &[
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.realsize", b"600"),
        ("GNU.sparse.name", b"one"),
        ("path", b"other"),
    ];
    sandbox.refuses("two names", &Tar::new().pax(named).file("f", &good).end(), "E_LAYER_FORMAT");
    sandbox.refuses("no GNU header", &Tar::new().header(&Header::new(b'S', "f")).end(), "E_LAYER_FORMAT");
}
