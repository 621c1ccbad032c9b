//! `images` and `image ls`.

use std::collections::BTreeSet;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::dispatch;
use super::render::format::{Format, Header};
use super::render::{output, size, time};
use super::tree::{Globals, Invocation};
use crate::failure::Failure;
use crate::image::filter;
use crate::image::list::Summary;
use crate::name::filter::Filters;
use crate::name::reference::Reference;

/// List images
///
/// Those of the store, newest first; with a name, those of that name.
#[derive(Args, Clone, Debug)]
pub struct ImagesArgs {
    /// Show intermediate images, too; there are none unless images are built here
    #[arg(short, long)]
    all: bool,
    /// Print ids only
    #[arg(short, long, conflicts_with = "format")]
    quiet: bool,
    /// Show the digests of the manifests
    #[arg(long)]
    digests: bool,
    /// Show ids in full
    #[arg(long)]
    no_trunc: bool,
    /// Print JSON (json), or a Go template for each image (table TEMPLATE aligns the columns)
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Show images for which this is true only, for example reference=debian, dangling=true, label=KEY, until=24h
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Show all names of an image in one more column
    #[arg(long)]
    history: bool,
    /// Do not print the header
    #[arg(short = 'n', long)]
    noheading: bool,
    /// Order of the rows
    #[arg(long, value_enum, default_value = "created", hide_possible_values = false)]
    sort: SortKey,
    /// Show images of this repository, or with this tag, only
    #[arg(value_name = "IMAGE")]
    image: Option<String>,
}

/// What a listing is sorted by.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum SortKey {
    /// Newest first.
    #[value(help = None)]
    Created,
    /// By id.
    #[value(help = None)]
    Id,
    /// By name.
    #[value(help = None)]
    Repository,
    /// Smallest first.
    #[value(help = None)]
    Size,
    /// By tag.
    #[value(help = None)]
    Tag,
}

const TITLES: &[(&str, &str)] = &[("ID", "IMAGE ID")];

/// What templates can name.
const FIELDS: &[&str] = &[
    "ID",
    "Id",
    "Repository",
    "Tag",
    "Digest",
    "Created",
    "CreatedSince",
    "CreatedAt",
    "CreatedTime",
    "Size",
    "VirtualSize",
    "Labels",
    "Containers",
    "History",
    "Names",
    "RepoTags",
    "RepoDigests",
    "Dangling",
    "ReadOnly",
];

impl Invocation for ImagesArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("All images", "coracle images"),
        ("Names and sizes", "coracle images --format 'table {{.Repository}}:{{.Tag}}\\t{{.Size}}'"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        if let Some(text) = &self.image {
            text.parse::<Reference>()?;
        }
        let filters = Filters::parse(&self.filter, filter::KEYS)?;
        let format = self.layout_of_rows()?;
        let images = dispatch::list_images(&globals.layout()?, &filters)?;
        let lines = lines(images, self.image.as_deref(), self.sort);
        output::write(&self.text(&format, &lines, Timestamp::now(), &TimeZone::system())?)?;
        Ok(0)
    }
}

/// A row: an image under one of its names, or under none.
struct Line {
    image: Summary,
    reference: Option<Reference>,
}

impl Line {
    fn repository(&self) -> Option<String> {
        self.reference.as_ref().map(Reference::name)
    }

    fn tag(&self) -> Option<&str> {
        self.reference.as_ref().and_then(Reference::tag)
    }
}

/// The rows; where nothing else decides, newest image first, and its names in alphabetical order.
fn lines(mut images: Vec<Summary>, wanted: Option<&str>, key: SortKey) -> Vec<Line> {
    images.sort_by(|one, other| other.created.cmp(&one.created).then_with(|| one.id.cmp(&other.id)));
    let mut lines = Vec::new();
    for image in images {
        let mut references = image.references.clone();
        references.sort();
        if references.is_empty() && wanted.is_none() {
            lines.push(Line { image: image.clone(), reference: None });
        }
        for reference in references {
            if wanted.is_none_or(|text| reference.is_meant_by(text)) {
                lines.push(Line { image: image.clone(), reference: Some(reference) });
            }
        }
    }
    match key {
        SortKey::Created => {}
        SortKey::Id => lines.sort_by(|one, other| one.image.id.cmp(&other.image.id)),
        SortKey::Repository => lines.sort_by_key(Line::repository),
        SortKey::Size => lines.sort_by_key(|line| line.image.size),
        SortKey::Tag => lines.sort_by(|one, other| one.tag().cmp(&other.tag())),
    }
    lines
}

impl ImagesArgs {
    fn layout_of_rows(&self) -> Result<Format, Failure> {
        if let Some(format) = &self.format {
            return Format::parse(format);
        }
        if self.quiet {
            return Format::parse("{{.ID}}");
        }
        let digest = if self.digests { "{{.Digest}}\\t" } else { "" };
        let history = if self.history { "\\t{{.History}}" } else { "" };
        let columns = "{{.ID}}\\t{{.Created}}\\t{{.Size}}";
        Format::parse(&format!("table {{{{.Repository}}}}\\t{{{{.Tag}}}}\\t{digest}{columns}{history}"))
    }

    fn text(&self, format: &Format, lines: &[Line], now: Timestamp, zone: &TimeZone) -> Result<String, Failure> {
        let (mut items, mut rows) = (Vec::new(), Vec::new());
        match format {
            Format::Json => {
                let mut seen = BTreeSet::new();
                let images = lines.iter().filter(|line| seen.insert(&line.image.id));
                items.extend(images.map(|line| item(&line.image)));
            }
            Format::Table(_) | Format::Template(_) => {
                let fields = self.fields();
                rows.extend(lines.iter().map(|line| self.row(line, &fields, now, zone)));
            }
        }
        let header = if self.noheading { Header::Hidden } else { Header::Shown };
        format.list(&items, &rows, TITLES, header)
    }

    /// What templates see, under podman's names.
    fn row(&self, line: &Line, fields: &[&str], now: Timestamp, zone: &TimeZone) -> Value {
        fields.iter().map(|&name| (name.to_owned(), self.cell(name, line, now, zone))).collect()
    }

    /// What rows are made of. There may be many: of our own table's only the cells that it shows are made.
    fn fields(&self) -> Vec<&'static str> {
        let is_shown = |name: &&&str| match **name {
            "Repository" | "Tag" | "ID" | "Created" | "Size" => true,
            "Digest" => self.digests || self.format.is_some(),
            "History" => self.history || self.format.is_some(),
            _ => self.format.is_some(),
        };
        FIELDS.iter().filter(is_shown).copied().collect()
    }

    fn cell(&self, name: &str, line: &Line, now: Timestamp, zone: &TimeZone) -> Value {
        let image = &line.image;
        let none = || "<none>".to_owned();
        match name {
            "ID" if self.no_trunc => image.id.to_string().into(),
            "ID" => image.id.short().into(),
            "Id" => image.id.hex().into(),
            "Repository" => line.repository().unwrap_or_else(none).into(),
            "Tag" => line.tag().map_or_else(none, str::to_owned).into(),
            "Digest" => image.manifest.to_string().into(),
            "Created" | "CreatedSince" => {
                image.created.map_or_else(|| "N/A".into(), |created| time::ago(created, now)).into()
            }
            "CreatedAt" | "CreatedTime" => {
                image.created.map_or_else(|| "N/A".into(), |created| time::in_zone(created, zone)).into()
            }
            "Size" | "VirtualSize" => size::decimal(image.size).into(),
            "Labels" => json!(image.labels),
            "Containers" => image.containers.into(),
            "History" => names(image).join(", ").into(),
            "Names" | "RepoTags" => json!(names(image)),
            "RepoDigests" => json!(repo_digests(image)),
            "Dangling" => image.references.is_empty().into(),
            // Nothing is read-only.
            _ => false.into(),
        }
    }
}

/// What `--format json` shows, under podman's names.
fn item(image: &Summary) -> Value {
    json!({
        "Id": image.id.hex(),
        "ParentId": "",
        "RepoTags": names(image),
        "RepoDigests": repo_digests(image),
        "Size": image.size,
        "SharedSize": 0,
        "VirtualSize": image.size,
        "Labels": image.labels,
        "Containers": image.containers,
        "Dangling": image.references.is_empty(),
        "Names": names(image),
        "Digest": image.manifest.to_string(),
        "History": names(image),
        "Created": image.created.map_or(time::NEVER_SECONDS, |created| created.as_second()),
        "CreatedAt": image.created.map_or_else(|| time::NEVER.into(), time::rfc3339),
    })
}

fn names(image: &Summary) -> Vec<String> {
    let mut names: Vec<String> = image.references.iter().map(Reference::to_string).collect();
    names.sort();
    names
}

fn repo_digests(image: &Summary) -> BTreeSet<String> {
    image.references.iter().map(|reference| format!("{}@{}", reference.name(), image.manifest)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::digest::Digest;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_795_373_526 + seconds).unwrap()
    }

    fn store() -> Vec<Summary> {
        let image = |seed: &str, references: &[&str], created: Option<i64>| Summary {
            id: Digest::of(seed.as_bytes()),
            manifest: Digest::of(b"manifest"),
            references: references.iter().map(|text| text.parse().unwrap()).collect(),
            created: created.map(at),
            size: 124_000_000,
            labels: [("a".to_owned(), "b".to_owned())].into(),
            containers: 0,
        };
        vec![
            image("1", &["debian:12", "localhost/mine:x"], Some(-7200)),
            image("2", &["quay.io/podman/hello"], Some(-60)),
            image("3", &[], None),
        ]
    }

    fn images(words: &[&str]) -> String {
        use clap::FromArgMatches;
        let command = ImagesArgs::augment_args(clap::Command::new("images").no_binary_name(true));
        let args = ImagesArgs::from_arg_matches(&command.get_matches_from(words)).unwrap();
        let lines = lines(store(), args.image.as_deref(), args.sort);
        args.text(&args.layout_of_rows().unwrap(), &lines, at(0), &TimeZone::UTC).unwrap()
    }

    #[test]
    fn tables() {
        insta::assert_snapshot!(images(&[]), @r"
        REPOSITORY                TAG         IMAGE ID      CREATED             SIZE
        quay.io/podman/hello      latest      d4735e3a265e  About a minute ago  124 MB
        docker.io/library/debian  12          6b86b273ff34  2 hours ago         124 MB
        localhost/mine            x           6b86b273ff34  2 hours ago         124 MB
        <none>                    <none>      4e07408562be  N/A                 124 MB
        ");
        assert!(images(&["--digests"]).lines().next().unwrap().contains("DIGEST"));
        assert_eq!(images(&["-qn", "--no-trunc"]).lines().next().unwrap(), Digest::of(b"2").to_string());
    }

    #[test]
    fn selections() {
        let tags = |words: &[&str]| images(&[&["--format", "{{.Repository}}:{{.Tag}}"], words].concat());
        assert_eq!(tags(&["debian"]), "docker.io/library/debian:12\n");
        assert_eq!(tags(&["debian:12"]), "docker.io/library/debian:12\n");
        assert_eq!(tags(&["debian:11"]), "");
        assert_eq!(tags(&["hello"]), "quay.io/podman/hello:latest\n");
        assert_eq!(tags(&["quay.io/podman/hello"]), "quay.io/podman/hello:latest\n");
        assert_eq!(tags(&["docker.io/podman/hello"]), "");
        assert_eq!(tags(&["ello"]), "");
    }

    #[test]
    fn orders_and_columns() {
        let tags = |key: &str| images(&["--format", "{{.Repository}}:{{.Tag}}", "--sort", key]);
        let sorted = "<none>:<none>\ndocker.io/library/debian:12\nlocalhost/mine:x\nquay.io/podman/hello:latest\n";
        assert_eq!(tags("repository"), sorted);
        assert_eq!(tags("tag").lines().nth(1), Some("docker.io/library/debian:12"));
        assert_eq!(tags("id").lines().next(), Some("<none>:<none>"));
        assert!(tags("created").starts_with("quay.io"));
        assert_eq!(tags("size"), tags("created"), "they are equally large");
        let history = images(&["--history", "debian"]);
        assert!(
            history.lines().nth(1).unwrap().ends_with("docker.io/library/debian:12, localhost/mine:x"),
            "{history}"
        );
    }

    #[test]
    fn json_has_podmans_names() {
        let value: Value = serde_json::from_str(&images(&["--format", "json"])).unwrap();
        assert_eq!(value.as_array().unwrap().len(), 3, "one for each image, not for each name");
        let keys: Vec<&str> = value[0].as_object().unwrap().keys().map(String::as_str).collect();
        let podman = "Id ParentId RepoTags RepoDigests Size SharedSize VirtualSize Labels Containers Dangling Names \
                      Digest History Created CreatedAt";
        assert_eq!(keys, podman.split(' ').collect::<Vec<_>>());
        assert_eq!(value[1]["Names"], json!(["docker.io/library/debian:12", "localhost/mine:x"]));
        assert_eq!(value[0]["CreatedAt"], "2026-11-22T18:51:06Z");
    }
}
