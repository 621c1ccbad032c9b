//! `system df`.

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::dispatch::{self, DiskReport};
use super::render::format::{Format, Header};
use super::render::{output, size, table, time};
use super::tree::{Globals, Invocation};
use super::{ps, selection};
use crate::failure::Failure;
use crate::name::reference::Reference;
use crate::volume::summary::Summary as Volume;

/// Show how much room images, containers and volumes take
///
/// Bytes on the disk, in whole blocks; what several images share counts once. RECLAIMABLE is what `coracle system prune
/// --all` would free. Leftovers are what interrupted commands and removals have left, and what is being written just now.
#[derive(Args, Clone, Debug)]
pub struct DfArgs {
    /// Show each image, container and volume
    #[arg(short, long, conflicts_with = "format")]
    verbose: bool,
    /// Print JSON (json), or a Go template for each kind (table TEMPLATE aligns the columns)
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Do not print the header
    #[arg(short = 'n', long, conflicts_with = "verbose")]
    noheading: bool,
}

const TABLE: &str = "table {{.Type}}\\t{{.Total}}\\t{{.Active}}\\t{{.Size}}\\t{{.Reclaimable}}";

impl Invocation for DfArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("The sums", "coracle system df"),
        ("Each image and container", "coracle system df --verbose"),
        ("Bytes", "coracle system df --format '{{.Type}} {{.RawSize}}'"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let format = Format::parse(self.format.as_deref().unwrap_or(TABLE))?;
        let report = dispatch::measure_disk(&globals.layout()?)?;
        if self.verbose {
            output::write(&verbose(&report, Timestamp::now()))?;
            return Ok(0);
        }
        let kinds = kinds(&report);
        let header = if self.noheading { Header::Hidden } else { Header::Shown };
        output::write(&format.list(&kinds, &kinds, &[], header)?)?;
        Ok(0)
    }
}

/// One row, under podman's names.
fn kind(name: &str, total: usize, active: usize, size: u64, reclaimable: u64) -> Value {
    let percent = if size == 0 { 0 } else { (reclaimable as f64 * 100.0 / size as f64).round() as u64 };
    json!({
        "Type": name,
        "Total": total,
        "Active": active,
        "RawSize": size,
        "RawReclaimable": reclaimable,
        "TotalCount": total,
        "Size": size::compact(size),
        "Reclaimable": format!("{} ({percent}%)", size::compact(reclaimable)),
    })
}

fn kinds(report: &DiskReport) -> Vec<Value> {
    let images = &report.images;
    let active = images.images.iter().filter(|image| image.image.containers > 0).count();
    let (up, down): (Vec<_>, Vec<_>) = report.containers.iter().partition(|(container, _)| selection::is_up(container));
    let bytes = |containers: &[&(_, u64)]| containers.iter().map(|(_, bytes)| bytes).sum::<u64>();
    let (left, unfinished) = (images.unreferenced, images.unfinished);
    vec![
        kind("Images", images.images.len(), active, images.size, images.reclaimable),
        kind("Containers", report.containers.len(), up.len(), bytes(&up) + bytes(&down), bytes(&down)),
        volumes(&report.volumes),
        kind("Leftovers", left.count + unfinished.count, unfinished.count, left.bytes + unfinished.bytes, left.bytes),
    ]
}

fn volumes(measured: &[(Volume, u64)]) -> Value {
    let size = |used: Option<bool>| {
        let meant = measured.iter().filter(|(volume, _)| used.is_none_or(|used| used != volume.users.is_empty()));
        meant.map(|(_, bytes)| bytes).sum::<u64>()
    };
    let active = measured.iter().filter(|(volume, _)| !volume.users.is_empty()).count();
    kind("Local Volumes", measured.len(), active, size(None), size(Some(false)))
}

fn verbose(report: &DiskReport, now: Timestamp) -> String {
    let mut images = vec!["REPOSITORY\tTAG\tIMAGE ID\tCREATED\tSIZE\tSHARED SIZE\tUNIQUE SIZE\tCONTAINERS".into()];
    for usage in &report.images.images {
        let image = &usage.image;
        let created = image.created.map_or_else(|| "N/A".into(), |time| time::ago(time, now));
        let sizes = [usage.size, usage.shared, usage.size - usage.shared].map(size::compact).join("\t");
        let mut names: Vec<Option<&Reference>> = image.references.iter().map(Some).collect();
        if names.is_empty() {
            names.push(None);
        }
        for name in names {
            let repository = name.map_or_else(|| "<none>".into(), Reference::name);
            let tag = name.and_then(Reference::tag).unwrap_or("<none>");
            let id = image.id.short();
            images.push(format!("{repository}\t{tag}\t{id}\t{created}\t{sizes}\t{}", image.containers));
        }
    }
    let mut containers = vec!["CONTAINER ID\tIMAGE\tCOMMAND\tLOCAL VOLUMES\tSIZE\tCREATED\tSTATUS\tNAMES".into()];
    for (container, bytes) in &report.containers {
        let created = time::ago(container.created, now);
        let (id, command) = (container.id.short(), container.command.join(" "));
        let (status, size) = (ps::status(container, now), size::compact(*bytes));
        let links =
            report.volumes.iter().filter(|(volume, _)| volume.users.iter().any(|user| user == container.name.as_str()));
        let links = links.count().to_string();
        let row = [id, &container.image, &command, &links, &size, &created, &status, container.name.as_str()];
        containers.push(row.map(|cell| cell.replace(['\t', '\n'], " ")).join("\t"));
    }
    let section = |title: &str, rows: &[String]| format!("{title} space usage:\n\n{}", table::align(rows));
    let mut volumes = vec!["VOLUME NAME\tLINKS\tSIZE".to_owned()];
    volumes.extend(
        report.volumes.iter().map(|(volume, bytes)| {
            format!("{}\t{}\t{}", volume.record.name, volume.users.len(), size::compact(*bytes))
        }),
    );
    let (left, unfinished) = (report.images.unreferenced, report.images.unfinished);
    let leftovers = [
        "KIND\tCOUNT\tSIZE".to_owned(),
        format!("unreferenced\t{}\t{}", left.count, size::compact(left.bytes)),
        format!("unfinished\t{}\t{}", unfinished.count, size::compact(unfinished.bytes)),
    ];
    [
        section("Images", &images),
        section("Containers", &containers),
        section("Local Volumes", &volumes),
        section("Leftovers", &leftovers),
    ]
    .join("\n")
}
