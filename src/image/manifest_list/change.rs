//! `manifest annotate` and `manifest remove`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{ListError, add_annotations, edit, find, members};
use crate::failure::Failure;
use crate::name::image_selector::ImageSelector;
use crate::oci::digest::{Digest, ImageId};
use crate::oci::platform::Platform;
use crate::state::lock::OnWait;
use crate::store::Store;

/// What a list is to say about a member. What is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotation {
    /// `architecture` of its platform.
    pub architecture: Option<String>,
    /// `os`.
    pub os: Option<String>,
    /// `os.version`.
    pub os_version: Option<String>,
    /// `variant`.
    pub variant: Option<String>,
    /// `os.features`.
    pub os_features: Vec<String>,
    /// `features`, of docker's lists.
    pub features: Vec<String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

impl Annotation {
    /// The platform that it names, the rest the host's.
    pub(super) fn platform(&self) -> Result<Platform, Failure> {
        if self.os.is_none() && self.architecture.is_none() && self.variant.is_none() {
            return Ok(Platform::host());
        }
        let host = Platform::host();
        let mut text = self.os.clone().unwrap_or(host.os);
        for part in [Some(self.architecture.clone().unwrap_or(host.architecture)), self.variant.clone()] {
            part.iter().for_each(|part| text.push_str(&format!("/{part}")));
        }
        Ok(text.parse()?)
    }

    /// Says it about a member.
    pub(super) fn apply(&self, member: &mut Value) -> Result<(), Failure> {
        let words = [
            ("architecture", &self.architecture),
            ("os", &self.os),
            ("os.version", &self.os_version),
            ("variant", &self.variant),
        ];
        for (key, value) in words {
            if let Some(value) = value {
                platform_of(member)[key] = json!(value);
            }
        }
        for (key, values) in [("os.features", &self.os_features), ("features", &self.features)] {
            if !values.is_empty() {
                platform_of(member)[key] = json!(values);
            }
        }
        add_annotations(member, &self.annotations)
    }
}

fn platform_of(member: &mut Value) -> &mut Value {
    if !member["platform"].is_object() {
        member["platform"] = json!({ "architecture": "", "os": "" });
    }
    &mut member["platform"]
}

/// Which member of a list.
#[derive(Clone, Debug)]
pub enum MemberSelector {
    /// The one whose manifest has this digest.
    Digest(Digest),
    /// This image of the store.
    Image(ImageSelector),
}

impl MemberSelector {
    fn digest(&self, store: &Store, list: &str) -> Result<String, Failure> {
        match self {
            Self::Digest(digest) => Ok(digest.to_string()),
            Self::Image(selector) => {
                let missing = || ListError::NoMember { list: list.to_owned(), member: selector.to_string() };
                let found = store.images().resolve(selector)?.ok_or_else(missing)?;
                Ok(found.record.manifest.digest.to_string())
            }
        }
    }
}

/// What the list is called in the store: what the user writes may be short.
fn name_of(store: &Store, list: &ImageSelector) -> Result<String, Failure> {
    let found = find(store, list)?;
    Ok(found.reference.map_or_else(|| found.record.id.hex().to_owned(), |name| name.to_string()))
}

/// Says something about a member of a list, or, without a member, about the list itself; the list's id.
pub fn annotate(
    store: &Store,
    list: &ImageSelector,
    member: Option<&MemberSelector>,
    annotation: &Annotation,
    on_wait: OnWait<'_>,
) -> Result<ImageId, Failure> {
    let _stays = store.lock_shared(on_wait)?;
    let Some(member) = member else {
        return edit(store, list, on_wait, |index| add_annotations(index, &annotation.annotations));
    };
    let name = name_of(store, list)?;
    let digest = member.digest(store, &name)?;
    edit(store, list, on_wait, |index| {
        let found = members(index)?.iter_mut().find(|member| member["digest"] == digest);
        annotation.apply(found.ok_or_else(|| ListError::NoMember { list: name, member: digest.clone() })?)
    })
}

/// Removes a member from a list; the list's id.
pub fn remove(
    store: &Store,
    list: &ImageSelector,
    member: &MemberSelector,
    on_wait: OnWait<'_>,
) -> Result<ImageId, Failure> {
    let _stays = store.lock_shared(on_wait)?;
    let name = name_of(store, list)?;
    let digest = member.digest(store, &name)?;
    edit(store, list, on_wait, |index| {
        let members = members(index)?;
        let before = members.len();
        members.retain(|member| member["digest"] != digest);
        match members.len() < before {
            true => Ok(()),
            false => Err(ListError::NoMember { list: name, member: digest.clone() }.into()),
        }
    })
}
