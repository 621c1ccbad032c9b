//! Which image of an index is the one for a platform.

use crate::failure::Explain;
use crate::oci::manifest::{Descriptor, Index};
use crate::oci::platform::Platform;

/// The index has no image for the platform.
#[derive(Debug, thiserror::Error)]
#[error("there is no image for {wanted}, only for {}", available.join(", "))]
pub struct NoSuchPlatform {
    /// The platform asked for.
    wanted: Platform,
    /// The platforms that there are.
    available: Vec<String>,
}

impl Explain for NoSuchPlatform {
    fn code(&self) -> &'static str {
        "E_NOTFOUND"
    }

    fn hint(&self) -> Option<String> {
        let other = self.available.iter().find(|platform| platform.parse::<Platform>().is_ok())?;
        Some(format!("choose one of these, as with `--platform={other}`"))
    }
}

/// The manifest of `index` for `wanted`: the one of exactly this variant, else the most general one, else the first.
/// An entry that names no platform is taken where it is the only one; its configuration is checked later.
pub fn select<'i>(index: &'i Index, wanted: &Platform) -> Result<&'i Descriptor, NoSuchPlatform> {
    let platform = |entry: &Descriptor| entry.platform.as_ref().and_then(|platform| platform.normalized());
    let described = index.manifests.iter().filter_map(|entry| Some((entry, platform(entry)?)));
    let fitting: Vec<_> = described.filter(|(_, platform)| platform.satisfies(wanted)).collect();
    let exact = fitting.iter().find(|(_, platform)| platform.variant == wanted.variant);
    let general = fitting.iter().find(|(_, platform)| platform.variant.is_none());
    if let Some((entry, _)) = exact.or(general).or(fitting.first()) {
        return Ok(entry);
    }
    match &index.manifests[..] {
        [only] if only.platform.is_none() => Ok(only),
        _ => Err(NoSuchPlatform { wanted: wanted.clone(), available: available(index) }),
    }
}

/// The platforms of an index, each once. `unknown/unknown` marks what is no image, such as attestations.
fn available(index: &Index) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for platform in index.manifests.iter().filter_map(|entry| entry.platform.as_ref()?.normalized()) {
        let name = platform.to_string();
        if platform.os != "unknown" && !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() { vec!["no platform at all".into()] } else { names }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::digest::Digest;
    use serde_json::json;

    /// An index whose entries have the digests of their platforms' names; `-` stands for none.
    fn index(platforms: &[&str]) -> Index {
        let entry = |text: &&str| {
            let mut parts = text.split('/');
            let mut entry = json!({"mediaType": "m", "digest": Digest::of(text.as_bytes()).to_string(), "size": 1});
            if *text != "-" {
                entry["platform"] = json!({"os": parts.next(), "architecture": parts.next(), "variant": parts.next()});
            }
            entry
        };
        let manifests: Vec<_> = platforms.iter().map(entry).collect();
        serde_json::from_value(json!({ "manifests": manifests })).unwrap()
    }

    fn selected(platforms: &[&str], wanted: &str) -> Option<String> {
        let index = index(platforms);
        let digest = &select(&index, &wanted.parse().unwrap()).ok()?.digest;
        platforms.iter().find(|text| Digest::of(text.as_bytes()) == *digest).map(|text| text.to_string())
    }

    #[test]
    fn the_best_fit_is_taken() {
        let cases: [(&[&str], &str, Option<&str>); 9] = [
            (&["linux/arm64", "linux/amd64"], "linux/amd64", Some("linux/amd64")),
            (&["linux/amd64/v3", "linux/amd64"], "linux/amd64", Some("linux/amd64")),
            (&["linux/amd64", "linux/amd64/v3"], "linux/amd64/v3", Some("linux/amd64/v3")),
            (&["linux/arm64/v8"], "linux/arm64", Some("linux/arm64/v8")),
            (&["linux/arm/v6", "linux/arm/v7"], "linux/arm", Some("linux/arm/v7")),
            (&["windows/amd64", "unknown/unknown"], "linux/amd64", None),
            (&["-"], "linux/amd64", Some("-")),
            (&["-", "linux/arm64"], "linux/amd64", None),
            (&[], "linux/amd64", None),
        ];
        for (platforms, wanted, expected) in cases {
            assert_eq!(selected(platforms, wanted).as_deref(), expected, "{platforms:?} {wanted}");
        }
    }

    #[test]
    fn the_refusal_lists_what_there_is() {
        let index = index(&["linux/arm64/v8", "linux/riscv64", "unknown/unknown", "linux/riscv64"]);
        let refusal = select(&index, &"linux/amd64".parse().unwrap()).unwrap_err();
        assert_eq!(refusal.to_string(), "there is no image for linux/amd64, only for linux/arm64, linux/riscv64");
        assert_eq!(refusal.hint().as_deref(), Some("choose one of these, as with `--platform=linux/arm64`"));
    }
}
