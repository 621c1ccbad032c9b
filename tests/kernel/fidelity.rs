//! What other people's tools pack comes out of an image as it went in.

use std::process::Command;

use crate::support::{LIMIT, Lab, output};

/// A tree with everything an unprivileged user can make.
const TREE: &str = r#"mkdir tree; cd tree
    mkdir -p plain closed "$(printf 'long%.0s' $(seq 40))/$(printf 'deep%.0s' $(seq 40))"
    echo one >plain/file; ln plain/file plain/hard; ln -s file plain/link; ln -s /nowhere plain/dangling; mkfifo plain/pipe
    echo upper >plain/Case; echo lower >plain/case
    echo long >"$(printf 'long%.0s' $(seq 40))/$(printf 'deep%.0s' $(seq 40))/$(printf 'name%.0s' $(seq 50))"
    ln -s "$(printf 'target/%.0s' $(seq 40))" plain/far
    printf 'bytes' >"$(printf 'plain/\303\244 b')"
    chmod 1777 plain; chmod 4755 plain/file; chmod 500 closed; touch -d @1000000000 plain/case
    setfattr -n user.comment -v hello plain/case 2>/dev/null || true
    cd ..; "#;

fn sh(lab: &Lab, script: &str) -> output::Output {
    let mut command = lab.program("/bin/sh");
    output::run(command.args(["-c", script]), &[], LIMIT)
}

fn has(program: &str) -> bool {
    Command::new("/bin/sh")
        .args(["-c", &format!("command -v {program}")])
        .output()
        .is_ok_and(|found| found.status.success())
}

/// Each tool and format, and what it writes the tree with.
const TOOLS: &[(&str, &str)] = &[
    ("tar", "tar --format=gnu --owner=33 --group=34 --numeric-owner -cf layer.tar -C tree ."),
    ("tar", "tar --format=pax --xattrs --owner=33 --group=34 --numeric-owner -cf layer.tar -C tree ."),
    (
        "tar",
        "tar --format=posix --pax-option=delete=atime,delete=ctime --owner=33 --group=34 --numeric-owner -cf layer.tar -C tree .",
    ),
    ("tar", "tar --format=gnu --sparse --owner=33 --group=34 --numeric-owner -cf layer.tar -C tree ."),
    ("bsdtar", "bsdtar --format=pax --uid 33 --gid 34 --uname '' --gname '' -cf layer.tar -C tree ."),
    ("bsdtar", "bsdtar --format=gnutar --uid 33 --gid 34 --uname '' --gname '' -cf layer.tar -C tree ."),
];

/// Into an image and out of a container again: GNU tar lists the same files, with the same owners, modes, links and times.
#[test]
fn trees_come_out_as_they_went_in() {
    let lab = Lab::new();
    sh(&lab, TREE).ok();
    for (number, (tool, pack)) in TOOLS.iter().enumerate() {
        if !has(tool) {
            crate::support::skip("fidelity", &format!("{tool} is not installed"));
            continue;
        }
        sh(&lab, pack).ok();
        let name = format!("packed:{number}");
        lab.coracle(["import", "layer.tar", &name]).ok();
        lab.coracle(["create", "--name", "c", &name, "/none"]).ok();
        lab.coracle(["export", "-o", "out.tar", "c"]).ok();
        let list = |archive: &str| {
            let script = format!(
                "tar --numeric-owner --full-time -tvf {archive} | sed -e 's, \\./, ,' -e 's/ link to .*//' -e 's/^h/-/' | \
                 awk '{{ if ($1 ~ /^-/) $3 = \"\"; if (/plain.(file|hard)$/) $2 = \"\"; $1 = $1; if (!(/^d/ && !/\\/$/)) print }}' | \
                 grep -v -E ' (\\./|(dev|proc|sys|etc)(/.*)?)$' | LC_ALL=C sort"
            );
            sh(&lab, &script).ok().text()
        };
        let (before, after) = (list("layer.tar"), list("out.tar"));
        assert!(before.lines().count() > 10, "{before}");
        assert_eq!(before, after, "{pack}");
        lab.coracle(["rm", "c"]).ok();
    }
    lab.coracle(["system", "check"]).ok();
}

/// Eight GiB of which there are a few bytes: as long as it was, and no room taken.
#[test]
fn sparse_files_stay_sparse() {
    let lab = Lab::new();
    sh(&lab, "mkdir tree && cd tree && truncate -s 8G huge && echo end >>huge && printf middle | dd of=huge bs=1 seek=5000000000 conv=notrunc").ok();
    for (number, pack) in [
        "tar --format=gnu --sparse -cf layer.tar -C tree .",
        "tar --format=posix --sparse --sparse-version=1.0 -cf layer.tar -C tree .",
    ]
    .iter()
    .enumerate()
    {
        sh(&lab, pack).ok();
        let name = format!("sparse:{number}");
        lab.coracle(["import", "layer.tar", &name]).ok();
        let found = sh(&lab, &format!("find {}/layers -name huge -printf '%s %b\\n' | sort -u", lab.store().display()))
            .ok()
            .text();
        let fields: Vec<u64> = found.split(' ').map(|field| field.parse().unwrap()).collect();
        assert_eq!(fields[0], (8 << 30) + 4, "{pack}");
        assert!(fields[1] * 512 < 1 << 20, "{pack}: {found}");
        let script = format!(
            "f=$(find {}/layers -name huge | head -1); tail -c 4 $f; tail -c +5000000001 $f | head -c 6",
            lab.store().display()
        );
        assert_eq!(sh(&lab, &script).ok().text(), "end\nmiddle");
    }
    lab.coracle(["system", "check"]).ok();
    let old = "tar --format=posix --sparse --sparse-version=0.1 -cf layer.tar -C tree .";
    sh(&lab, old).ok();
    lab.coracle(["import", "layer.tar", "old"]).exited(125).says("format that is not known");
}

/// One file of several names, one of which something else takes later: the others keep it.
#[test]
fn hard_links_outlive_names_that_others_take() {
    let lab = Lab::new();
    let script = "mkdir a b && echo one >a/x && ln a/x a/y && ln a/x a/z && echo two >b/x && \
        tar -cf layer.tar -C a x y z && tar -rf layer.tar -C b x";
    sh(&lab, script).ok();
    lab.coracle(["import", "layer.tar", "links"]).ok();
    let tree = format!("{}/layers/*/tree", lab.store().display());
    let text = sh(&lab, &format!("cd {tree} && cat x y z && stat -c %h x y z")).ok().text();
    assert_eq!(text, "two\none\none\n1\n2\n2");
}
