//! Whether the records of containers are what they should be.

use super::list;
use super::name_link;
use crate::name::container::ContainerId;
use crate::store::Store;
use crate::store::finding::{Finding, Kind};

/// What is done about what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Nothing.
    No,
    /// What loses nothing.
    Yes,
}

/// How many containers there are, and what is wrong with them: records that cannot be read, layers and images that are not
/// there, names that lead elsewhere.
pub fn execute(store: &Store, repair: Repair) -> (usize, Vec<Finding>) {
    let mut findings = Vec::new();
    let identifiers = list::identifiers(store.layout()).collect::<Vec<_>>();
    for id in &identifiers {
        findings.extend(one(store, id, repair));
    }
    (identifiers.len(), findings)
}

fn one(store: &Store, id: &ContainerId, repair: Repair) -> Vec<Finding> {
    let finding = |problem: String, repaired, advice: String| Finding {
        kind: Kind::Container,
        subject: id.short().to_owned(),
        problem,
        repaired,
        advice,
    };
    let remove = || format!("coracle rm --force {}", id.short());
    let container = match list::load(store.layout(), id) {
        Ok(Some(container)) => container,
        // Removed meanwhile.
        Ok(None) if !store.layout().container(id).exists() => return Vec::new(),
        Ok(None) => return vec![finding("it has no record".into(), false, remove())],
        Err(failure) => return vec![finding(failure.to_string(), false, remove())],
    };
    let mut findings = Vec::new();
    for layer in container.record.layers.iter().filter(|layer| !store.layers().contains(layer)) {
        let advice =
            container.record.image.as_ref().map_or_else(remove, |image| format!("coracle pull {}", image.name));
        findings.push(finding(format!("its layer {} is missing", layer.short()), false, advice));
    }
    if let Some(image) = &container.record.image
        && matches!(store.images().get(&image.id), Ok(None))
    {
        findings.push(finding("its image is missing".into(), false, format!("coracle pull {}", image.name)));
    }
    let link = store.layout().container_name(&container.record.name);
    if name_link::holder(&link).as_ref() == Some(id) {
        return findings;
    }
    let problem = format!("its name {} does not lead to it", container.record.name);
    let repaired = repair == Repair::Yes && name_link::make(&link, id).is_ok();
    let advice = match (repaired, repair) {
        (true, _) => "it has its name again".to_owned(),
        (false, Repair::No) => "coracle system check --repair".to_owned(),
        (false, Repair::Yes) => format!("another has the name: coracle rename {} NEW-NAME", id.short()),
    };
    findings.push(finding(problem, repaired, advice));
    findings
}
