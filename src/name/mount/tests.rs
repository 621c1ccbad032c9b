//! What is read, and what is refused.

use std::path::Path;

use super::*;

fn bind(text: &str) -> Result<BindMount, MountRefused> {
    match parse_volume_flag(text, Path::new("/here"))? {
        MountFlag::Bind(mount) => Ok(mount),
        mount => panic!("{mount:?}"),
    }
}

fn volume(text: &str) -> VolumeMount {
    match parse_volume_flag(text, Path::new("/here")) {
        Ok(MountFlag::Volume(mount)) => mount,
        other => panic!("{other:?}"),
    }
}

#[test]
fn volumes() {
    let anonymous = VolumeMount::anonymous("/b".into());
    assert_eq!(volume("/b"), anonymous);
    let named = VolumeMount { name: Some("data".parse().unwrap()), anonymous: false, ..anonymous };
    assert_eq!(volume("data:/b"), named);
    assert_eq!(volume("data:/b/:rw,copy,z"), named);
    let other =
        VolumeMount { access: Access::ReadOnly, exec: false, copy_up: false, missing: IfMissing::Refuse, ..named };
    assert_eq!(volume("data:/b:ro,noexec,nocopy,nocreate"), other);
    for text in ["-v:/b", "a b:/b", "a/b:/b", "data:b", "data:/", "data:/b:rbind", "data:/b:copy,nocopy", "/b:ro"] {
        assert!(parse_volume_flag(text, Path::new("/here")).is_err(), "{text}");
    }
    let refused = parse_volume_flag("a/b:/b", Path::new("/here")).unwrap_err();
    assert!(crate::failure::Explain::hint(&refused).unwrap().contains("./a/b"));
}

#[test]
fn binds() {
    let plain = BindMount::new("/a".into(), "/b".into());
    assert_eq!(bind("/a:/b"), Ok(plain.clone()));
    assert_eq!(bind("/a:/b:U"), Ok(plain.clone()));
    assert_eq!(bind("/a:/b:"), Ok(plain.clone()));
    assert_eq!(bind("/a:/b/"), Ok(plain.clone()));
    assert_eq!(bind("/a:/b:rw,nosuid,nodev,rprivate,exec,rbind"), Ok(plain.clone()));
    let other = BindMount { access: Access::ReadOnly, recursive: false, exec: false, ..plain.clone() };
    assert_eq!(bind("/a:/b:ro,bind,noexec,private,Z"), Ok(other));
    assert_eq!(bind("./a:/b").unwrap().source, Path::new("/here/a"));
    assert_eq!(bind("./:/b").unwrap().source.as_os_str(), "/here");
    assert_eq!(bind("..:/b").unwrap().source, Path::new("/here/.."));
    assert_eq!(bind("/:/host").unwrap().source, Path::new("/"));
}

#[test]
fn binds_that_are_refused() {
    assert!(matches!(bind("/a:b"), Err(MountRefused::Destination(..))));
    assert!(matches!(bind("/a:"), Err(MountRefused::Destination(..))));
    assert!(matches!(bind("/a:/x/.."), Err(MountRefused::Root(_))));
    assert!(matches!(bind("/a:/b:suid"), Err(MountRefused::Forbidden(..))));
    assert!(matches!(bind("/a:/b:ro,rw"), Err(MountRefused::Contradiction(..))));
    for text in ["", ":", ":/b", "/a:/b:ro:x", "a"] {
        assert!(matches!(bind(text), Err(MountRefused::Malformed(_))), "{text}");
    }
    let slave = BindMount { propagation: Propagation::Slave, access: Access::ReadOnly, ..bind("/a:/b").unwrap() };
    assert_eq!(bind("/a:/b:rro,rslave"), Ok(slave));
    assert_eq!(bind("/a:/b:O").unwrap().writes, Writes::Discarded);
    let kept = Writes::Kept { upper: "/u".into(), work: "/w".into() };
    assert_eq!(bind("/a:/b:O,upperdir=/u,workdir=/w").unwrap().writes, kept);
    assert_eq!(volume("data:/b:O").writes, Writes::Discarded);
    for (text, part) in [
        ("O,upperdir=/u", "workdir"),
        ("O,workdir=/u", "upperdir"),
        ("upperdir=/u,workdir=/w", "needs O"),
        ("O,upperdir=u,workdir=/w", "absolute"),
        ("O,ro", "contradict"),
    ] {
        let refused = bind(&format!("/a:/b:{text}")).unwrap_err();
        assert!(refused.to_string().contains(part), "{text}: {refused}");
    }
    for option in ["shared", "rshared", "copy", "idmap", "RO", "ro ", "size=1"] {
        let error = bind(&format!("/a:/b:{option}")).unwrap_err();
        assert!(error.to_string().contains(&format!("{option:?}")), "{error}");
    }
}

#[test]
fn tmpfs() {
    let plain = parse_tmpfs("/t").unwrap();
    assert_eq!((plain.access, plain.size, plain.mode), (Access::ReadWrite, None, None));
    assert_eq!((plain.exec, plain.copy_up), (false, true));
    let all = parse_tmpfs("/t/:ro,size=64m,mode=1777,exec,nosuid,nodev,notmpcopyup").unwrap();
    let expected = TmpfsMount {
        destination: "/t".into(),
        access: Access::ReadOnly,
        size: Some(64 << 20),
        mode: Some(0o1777),
        exec: true,
        copy_up: false,
    };
    assert_eq!(all, expected);
    assert_eq!(parse_tmpfs("/t:mode=0700").unwrap().mode, Some(0o700));
}

#[test]
fn tmpfs_that_are_refused() {
    for text in ["", "t", "/", ":ro", "/t:size=", "/t:size=50%", "/t:mode=", "/t:mode=9", "/t:mode=7777"] {
        assert!(parse_tmpfs(text).is_err(), "{text}");
    }
    for text in ["/t:ro=1", "/t:suid", "/t:dev", "/t:nr_inodes=1", "/t:exec,noexec", "/t:x", "/t:mode=-1"] {
        assert!(parse_tmpfs(text).is_err(), "{text}");
    }
}

fn mount(text: &str) -> Result<MountFlag, MountRefused> {
    parse_mount_flag(text, Path::new("/here"))
}

#[test]
fn mount_says_the_same_as_the_short_forms() {
    let short = |text: &str| parse_volume_flag(text, Path::new("/here"));
    for (long, same) in [
        ("type=bind,src=/a,dst=/b", "/a:/b"),
        ("type=bind,source=./a,target=/b,readonly", "./a:/b:ro"),
        ("type=bind,src=/a,dest=/b,ro=true,bind-nonrecursive,bind-propagation=rprivate", "/a:/b:ro,bind"),
        ("type=bind,src=/a,destination=/b,rw,noexec,relabel=shared,consistency=cached,U", "/a:/b:noexec,z,U"),
        ("type=bind,src=/a,dst=/b,bind-recursive=disabled,ro=false", "/a:/b:bind"),
        ("type=volume,src=data,dst=/b", "data:/b"),
        ("src=data,dst=/b,volume-nocopy,nocreate", "data:/b:nocopy,nocreate"),
        ("dst=/b,volume-driver=local", "/b"),
        ("type=bind,src=/a,dst=/b,ro,bind-recursive=readonly,bind-propagation=slave", "/a:/b:rro,rslave"),
        ("type=bind,src=/a,dst=/b,O,upperdir=/u,workdir=/w", "/a:/b:O,upperdir=/u,workdir=/w"),
    ] {
        assert_eq!(mount(long).unwrap(), short(same).unwrap(), "{long}");
    }
    let tmpfs = |text: &str| MountFlag::Tmpfs(parse_tmpfs(text).unwrap());
    assert_eq!(mount("type=tmpfs,dst=/t").unwrap(), tmpfs("/t"));
    assert_eq!(mount("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=700,ro").unwrap(), tmpfs("/t:size=1m,mode=700,ro"));
    let MountFlag::Volume(volume) = mount("src=d,dst=/b,volume-subpath=a//b/,volume-label=k=v").unwrap() else {
        panic!()
    };
    assert_eq!((volume.subpath.as_deref(), volume.labels["k"].as_str()), (Some("a/b"), "v"));
    let MountFlag::Image(image) = mount("type=image,src=debian,dst=/b,rw,subpath=/usr/share").unwrap() else {
        panic!()
    };
    assert_eq!((image.access, image.subpath.as_deref()), (Access::ReadWrite, Some("usr/share")));
    let MountFlag::Image(image) = mount("type=image,src=debian,dst=/b").unwrap() else { panic!() };
    assert_eq!(image.access, Access::ReadOnly);
    let MountFlag::Glob(glob) = mount("type=glob,src=/a/*,ro").unwrap() else { panic!() };
    assert_eq!((glob.destination.as_str(), glob.access), ("", Access::ReadOnly));
    let MountFlag::Kernel(devpts) = mount("type=devpts,dst=/b,mode=620,max=4").unwrap() else { panic!() };
    let options = vec![("mode".to_owned(), "620".to_owned()), ("max".to_owned(), "4".to_owned())];
    assert_eq!(devpts.kind, KernelFilesystem::Devpts { options });
    let MountFlag::Volume(volume) = mount("src=d,dst=/b,volume-driver=nfs,volume-opt=a=b=c,volume-opt=d=").unwrap()
    else {
        panic!()
    };
    assert_eq!((volume.driver.as_deref(), volume.options["a"].as_str(), volume.options.len()), (Some("nfs"), "b=c", 2));
    let MountFlag::Bind(bind) = mount(r#"type=bind,"src=/a,""b",dst=/b,bind-recursive=writable,ro"#).unwrap() else {
        panic!()
    };
    assert_eq!((bind.source.to_str(), bind.writable_below), (Some("/a,\"b"), true));
    // A path with a colon.
    let MountFlag::Bind(bind) = mount("type=bind,src=/a:b,dst=/b").unwrap() else { panic!() };
    assert_eq!(bind.source, Path::new("/a:b"));
}

#[test]
fn mounts_that_are_refused() {
    for (text, part) in [
        ("", "dst"),
        ("type=bind,dst=/b", "src"),
        ("type=bind,src=/a", "dst"),
        ("type=nosuch,dst=/b", "nosuch"),
        ("type=bind,src=/a,dst=b", "b"),
        ("type=bind,src=/a,dst=/", "/"),
        ("type=bind,src=/a,dst=/b,ro=perhaps", "perhaps"),
        ("type=bind,src=/a,dst=/b,ro,rw", "contradict"),
        ("type=bind,src=/a,dst=/b,bind-propagation=shared", "shared"),
        ("type=bind,src=/a,dst=/b,idmap=uids=0-1-10", "idmap"),
        ("type=bind,src=/a,dst=/b,volume-nocopy", "volume-nocopy"),
        ("type=bind,src=/a,dst=/b,suid", "suid"),
        ("type=bind,src=,dst=/b", "src"),
        ("src=../a,dst=/b", "../a"),
        ("src=d,dst=/b,subpath=../x", ".."),
        ("src=d,dst=/b,subpath=/", "subpath"),
        ("type=image,dst=/b", "src"),
        ("type=image,src=UPPER,dst=/b", "image"),
        ("type=image,src=a,dst=/b,subpath=../x", ".."),
        ("type=glob,dst=/b", "src"),
        ("type=devpts,dst=/b,mode=9", "mode"),
        ("type=devpts,dst=/b,colour=1", "colour"),
        ("type=ramfs,dst=/b,ramfs-size=1m", "limit"),
        ("type=bind,src=/a,dst=/b,bind-recursive=readonly", "ro"),
        ("src=d,dst=/b,volume-opt=x", "KEY=VALUE"),
        ("type=bind,\"src=/a,dst=/b", "quotation"),
        ("type=tmpfs,dst=/b,tmpfs-mode=9", "9"),
        ("type=tmpfs,dst=/b,size=-1", "size"),
    ] {
        let refused = mount(text).expect_err(text);
        assert!(refused.to_string().contains(part), "{text}: {refused}");
    }
    assert!(crate::failure::Explain::hint(&mount("type=x").unwrap_err()).unwrap().contains("type=bind,src="));
    for text in ["/a:/b:shared", "/a:/b:idmap"] {
        assert!(parse_volume_flag(text, Path::new("/here")).is_err(), "{text}");
    }
}
