//! How much room images take.

use std::collections::HashSet;

use super::list::{self, Summary};
use crate::failure::Failure;
use crate::oci::digest::ImageId;
use crate::state::schema::image::ImageRecord;
use crate::store::usage::{self, Room, Sizes};
use crate::store::{Store, StoreError};

/// One image.
#[derive(Clone, Debug)]
pub struct ImageUsage {
    /// What it is.
    pub image: Summary,
    /// Bytes on the disk of its layers and blobs.
    pub size: u64,
    /// Bytes of those that another image has, too.
    pub shared: u64,
}

/// All that is in the store on account of images.
#[derive(Clone, Debug)]
pub struct Report {
    /// Each image.
    pub images: Vec<ImageUsage>,
    /// Bytes of all of them, each layer and blob once.
    pub size: u64,
    /// Bytes of what no container needs.
    pub reclaimable: u64,
    /// What nothing points to.
    pub unreferenced: Room,
    /// What is being written, or was by somebody who is dead.
    pub unfinished: Room,
    /// Damaged records, whose images are left out.
    pub damaged: Vec<String>,
}

/// Measures everything. The caller holds the store's shared lock.
pub fn execute(store: &Store) -> Result<Report, Failure> {
    let sizes = usage::measure(store)?;
    let records: Vec<ImageRecord> = store.images().list()?.into_iter().map(|listed| listed.record).collect();
    let (summaries, damaged) = list::execute(store)?;
    let active: HashSet<&ImageId> =
        summaries.iter().filter(|image| image.containers > 0).map(|image| &image.id).collect();
    let needed = sizes.of(records.iter().filter(|record| active.contains(&record.id)));
    let all = sizes.in_use();
    let images = records.iter().filter_map(|record| {
        let image = summaries.iter().find(|summary| summary.id == record.id)?;
        Some(one(&sizes, record, &records, image.clone()))
    });
    Ok(Report {
        images: images.collect(),
        size: all.room().bytes,
        reclaimable: all.room().bytes - all.shared_with(&needed).bytes,
        unreferenced: sizes.unreferenced(),
        unfinished: usage::unfinished(store)?,
        damaged: damaged.iter().map(StoreError::to_string).collect(),
    })
}

fn one(sizes: &Sizes, record: &ImageRecord, records: &[ImageRecord], image: Summary) -> ImageUsage {
    let own = sizes.of([record]);
    let others = sizes.of(records.iter().filter(|other| other.id != record.id));
    ImageUsage { image, size: own.room().bytes, shared: own.shared_with(&others).bytes }
}
