//! Layers are read as others do: by zstd alone, by the table of contents, and by the two together.

use std::io::{self, Read, Write};

use serde_json::Value;

use super::*;
use crate::host::config::base64;
use crate::oci::digest::Digest;

/// A tar of these entries: type, name, contents.
fn tar(entries: &[(u8, &str, &[u8])]) -> Vec<u8> {
    let mut builder = ::tar::Builder::new(Vec::new());
    for (kind, name, contents) in entries {
        let mut header = ::tar::Header::new_gnu();
        header.set_entry_type(::tar::EntryType::new(*kind));
        header.set_mode(0o100_644);
        header.set_uid(7);
        header.set_mtime(1_600_000_000);
        header.set_size(contents.len() as u64);
        if matches!(kind, b'1' | b'2') {
            header.set_link_name("target").unwrap();
        }
        builder.append_data(&mut header, name, *contents).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Bytes that do not repeat.
fn noise(length: usize) -> Vec<u8> {
    let mut seed = 1_u64;
    let next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn write(tar: &[u8], piece: usize) -> Finished<Vec<u8>> {
    let mut writer = Writer::new(Vec::new(), 3).unwrap();
    tar.chunks(piece).for_each(|piece| writer.write_all(piece).unwrap());
    writer.finish().unwrap()
}

fn decoded(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    zstd::Decoder::new(bytes).unwrap().read_to_end(&mut decoded).unwrap();
    decoded
}

/// The numbers of an annotation.
fn numbers(annotations: &Annotations, key: &str) -> Vec<usize> {
    let (_, value) = annotations.iter().find(|(found, _)| *found == format!("{ANNOTATIONS}{key}")).unwrap();
    value.split(':').map(|number| number.parse().unwrap()).collect()
}

/// The table of contents, and the lines of the tar's rest, as the annotations lead to them.
fn tables(layer: &[u8], annotations: &Annotations) -> (Value, Vec<Value>) {
    let toc = numbers(annotations, "manifest-position");
    let rest = numbers(annotations, "tarsplit-position");
    let part = |at: &[usize]| &layer[at[0]..at[0] + at[1]];
    assert_eq!(annotations[0].1, Digest::of(part(&toc)).to_string());
    let (text, lines) = (decoded(part(&toc)), decoded(part(&rest)));
    assert_eq!((text.len(), lines.len(), toc[3]), (toc[2], rest[2], 1));
    let parsed: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(parsed["tarSplitDigest"], Digest::of(part(&rest)).to_string());
    let lines = lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    (parsed, lines.map(|line| serde_json::from_slice(line).unwrap()).collect())
}

/// The contents of a file, from its chunks alone, each of which is verified.
fn contents(layer: &[u8], toc: &Value, name: &str) -> Vec<u8> {
    let entries: Vec<&Value> =
        toc["entries"].as_array().unwrap().iter().filter(|entry| entry["name"] == name).collect();
    let end = entries[0]["endOffset"].as_u64().unwrap();
    let mut whole = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        let from = entry["offset"].as_u64().unwrap();
        let to = entries.get(place + 1).map_or(end, |next| next["offset"].as_u64().unwrap());
        let bytes = decoded(&layer[from as usize..to as usize]);
        if entries.len() > 1 {
            assert_eq!(entry["chunkOffset"].as_u64().unwrap_or(0), whole.len() as u64);
            assert_eq!(entry["chunkSize"], bytes.len());
            assert_eq!(entry["chunkDigest"], Digest::of(&bytes).to_string());
            assert_eq!(entry["chunkType"] == "zeros", bytes.iter().all(|&byte| byte == 0));
        }
        whole.extend(bytes);
    }
    assert_eq!(entries[0]["digest"], Digest::of(&whole).to_string());
    assert_eq!(entries[0]["size"], whole.len());
    whole
}

#[test]
fn a_layer_is_the_same_tar_by_zstd_and_by_its_table() {
    let long = "d/".repeat(80);
    let (large, holes) = (noise(700_000), [&noise(100)[..], &[0; 200_000], &noise(3)].concat());
    let tar = tar(&[
        (b'5', "d/", b""),
        (b'0', "d/empty", b""),
        (b'0', "d/large", &large),
        (b'1', "d/hard", b""),
        (b'2', "d/link", b""),
        (b'0', "d/holes", &holes),
        (b'0', &format!("{long}long"), b"a long name"),
        (b'0', "small", b"x"),
    ]);
    let Finished { writer: layer, annotations } = write(&tar, 1000);
    let annotations = annotations.unwrap();
    assert_eq!(decoded(&layer), tar);
    assert_eq!(write(&tar, 1 << 20).writer, layer, "the pieces do not matter");

    let (toc, rest) = tables(&layer, &annotations);
    let entries = toc["entries"].as_array().unwrap();
    let types: Vec<&str> = entries.iter().map(|entry| entry["type"].as_str().unwrap()).collect();
    for (kind, count) in [("dir", 1), ("reg", 5), ("hardlink", 1), ("symlink", 1)] {
        assert_eq!(types.iter().filter(|found| **found == kind).count(), count, "{kind}");
    }
    let large_entry = entries.iter().find(|entry| entry["name"] == "d/large").unwrap();
    assert_eq!(large_entry["mode"], 0o100_644);
    assert_eq!(large_entry["uid"], 7);
    assert_eq!(large_entry["modtime"], "2020-09-13T12:26:40Z");
    assert_eq!(entries.iter().find(|entry| entry["name"] == "d/link").unwrap()["linkName"], "target");
    assert_eq!(contents(&layer, &toc, "d/large"), large);
    assert_eq!(contents(&layer, &toc, "d/holes"), holes);
    assert_eq!(contents(&layer, &toc, "small"), b"x");

    let mut again = Vec::new();
    for (position, line) in rest.iter().enumerate() {
        assert_eq!(line["position"], position);
        match (line["type"].as_u64(), line["name"].as_str()) {
            (Some(2), None) => again.extend(base64::decode(line["payload"].as_str().unwrap()).unwrap()),
            (Some(1), Some(name)) if line["size"].is_u64() => again.extend(contents(&layer, &toc, name)),
            (Some(1), Some(_)) => assert_eq!(line["payload"], Value::Null),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(again, tar);
}

#[test]
fn the_footer_says_what_the_annotations_say() {
    let Finished { writer: layer, annotations } = write(&tar(&[(b'0', "a", b"content")]), 512);
    let annotations = annotations.unwrap();
    let footer = &layer[layer.len() - 72..];
    assert_eq!(footer[..8], [0x50, 0x2a, 0x4d, 0x18, 64, 0, 0, 0]);
    assert_eq!(&footer[64..], b"GNUlInUx");
    let found: Vec<usize> =
        footer[8..64].as_chunks().0.iter().map(|number| u64::from_le_bytes(*number) as usize).collect();
    assert_eq!(found[..4], numbers(&annotations, "manifest-position"));
    assert_eq!(found[4..], numbers(&annotations, "tarsplit-position"));
}

#[test]
fn what_a_table_cannot_say_gets_none() {
    let file = tar(&[(b'0', "a", &[1; 5000])]);
    let mut nameless = file.clone();
    nameless[0] = 0xff;
    let mut header = ::tar::Header::from_byte_slice(&nameless[..512]).clone();
    header.set_cksum();
    nameless[..512].copy_from_slice(header.as_bytes());
    let mut junk = file.clone();
    junk.extend([1; 512]);
    let mut broken = file.clone();
    broken[100] ^= 1;
    for (tar, reason) in [
        (tar(&[(b'0', "a", b"1"), (b'0', "./a", b"2")]), "it has a file twice"),
        (tar(&[(b'7', "a", b"1")]), "it has a file of an unusual type"),
        (tar(&[(b'g', "a", b"13 comment=x\n"), (b'0', "b", b"1")]), "it has a global extended header"),
        (nameless, "it has a name that is not UTF-8"),
        (junk, "there are bytes after its end"),
        (broken, "a header's checksum is wrong"),
        (file[..3000].to_vec(), "it ends within an entry"),
        (file[..700].to_vec(), "it ends within an entry"),
        (file[..300].to_vec(), "it ends within an entry"),
    ] {
        for piece in [1, 700, 1 << 20] {
            let Finished { writer: layer, annotations } = write(&tar, piece);
            assert_eq!(annotations, Err(reason));
            assert_eq!(decoded(&layer), tar, "{reason}");
        }
    }
}

#[test]
fn an_end_without_zeroes_is_one() {
    let whole = tar(&[(b'0', "a", b"content")]);
    for length in [1024, 1536, whole.len(), whole.len() + (3 << 20)] {
        let mut cut = whole.clone();
        cut.resize(length, 0);
        let Finished { writer: layer, annotations } = write(&cut, 4096);
        assert!(annotations.is_ok(), "{length}: {annotations:?}");
        assert_eq!(decoded(&layer), cut);
    }
    assert!(write(b"", 1).annotations.is_ok());
}

#[test]
fn what_cannot_be_written_is_an_error() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut writer = Writer::new(Full, 3).unwrap();
    let failed = writer.write_all(&tar(&[(b'0', "a", &[1; 5000])])).and_then(|()| writer.finish().map(drop));
    assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::StorageFull);
}
