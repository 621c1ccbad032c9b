//! Manifests and indexes (image-spec "Image Manifest" and "Image Index"; docker's schema 2 has the same shape).
//!
//! The types are ours and not those of the `oci-spec` crate, because their digests and platforms are already parsed:
//! a value of these types is safe in a path and in a URL. `urls` and `data` of descriptors are never looked at.

use serde::Deserialize;
use serde_json::Value;

use super::digest::Digest;
use super::media_type::{self, DocumentKind};
use super::platform::Platform;
use super::strict_json::{self, JsonRefused};

/// More layers than the kernel's overlay can stack (`OVL_MAX_STACK`) cannot be run.
pub const MAX_LAYERS: usize = 500;
/// The largest manifest or index that is read, in bytes (distribution-spec "Pushing Manifests" asks registries for the
/// same limit).
pub const MAX_DOCUMENT: u64 = 4 << 20;
/// The largest image configuration that is read, in bytes.
pub const MAX_CONFIG: u64 = 8 << 20;

/// A typed pointer to content (image-spec "Content Descriptors").
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Media type of the content.
    pub media_type: String,
    /// Digest of the content.
    pub digest: Digest,
    /// Length of the content in bytes.
    pub size: u64,
    /// In an index: what the manifest is for.
    #[serde(default)]
    pub platform: Option<DescribedPlatform>,
}

/// `platform` of a descriptor, as written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DescribedPlatform {
    /// `GOOS` word.
    pub os: String,
    /// `GOARCH` word.
    pub architecture: String,
    /// CPU variant.
    #[serde(default)]
    pub variant: Option<String>,
}

impl DescribedPlatform {
    /// The platform in its normal spelling, if it is one.
    pub fn normalized(&self) -> Option<Platform> {
        let mut text = format!("{}/{}", self.os, self.architecture);
        if let Some(variant) = self.variant.as_deref().filter(|variant| !variant.is_empty()) {
            text.push('/');
            text.push_str(variant);
        }
        text.parse().ok()
    }
}

/// One image: its configuration and its layers, lowest first.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Manifest {
    /// The type that the manifest and its sender agree on.
    #[serde(skip)]
    pub media_type: String,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
}

/// Several images for different platforms.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Index {
    /// The type that the index and its sender agree on.
    #[serde(skip)]
    pub media_type: String,
    /// Their manifests.
    pub manifests: Vec<Descriptor>,
}

/// What a manifest's digest or tag leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// One image.
    Manifest(Manifest),
    /// Several images.
    Index(Index),
}

/// A document with the bytes that it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Digest of the bytes.
    pub digest: Digest,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What they say.
    pub document: Document,
}

/// Why a document was refused.
#[derive(Debug, thiserror::Error)]
pub enum DocumentRefused {
    /// Not JSON, or JSON with room for two readings.
    #[error("it is not a well-formed document")]
    Json(#[source] JsonRefused),
    /// Valid JSON of another shape.
    #[error("it does not have the shape of {expected}")]
    Shape {
        /// With article.
        expected: &'static str,
        /// What is wrong.
        #[source]
        cause: JsonRefused,
    },
    /// Manifest and index at once, or neither.
    #[error("it could be read as more than one kind of document: {0}")]
    Ambiguous(String),
    /// Docker's schema 1.
    #[error("it is in docker's schema 1 format, which is no longer supported")]
    SchemaOne,
    /// Too many layers.
    #[error("it has {0} layers, more than the limit of {MAX_LAYERS}")]
    TooManyLayers(usize),
}

impl DocumentRefused {
    /// Its stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooManyLayers(_) => "E_LAYER_LIMIT",
            _ => "E_MANIFEST_AMBIGUOUS",
        }
    }
}

impl Index {
    /// Reads an index that says of itself that it is one.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentRefused> {
        match Document::parse(bytes, None)? {
            Document::Index(index) => Ok(index),
            Document::Manifest(_) => {
                Err(DocumentRefused::Ambiguous("it is a manifest where an index should be".into()))
            }
        }
    }
}

impl Document {
    /// Reads a document that was announced as `declared`: the media type of its descriptor or of the HTTP response.
    ///
    /// The announced type, the document's own `mediaType` and its shape must all agree (CVE-2021-41190). A type that
    /// names no kind of document, such as `application/json`, announces nothing.
    pub fn parse(bytes: &[u8], declared: Option<&str>) -> Result<Self, DocumentRefused> {
        let value = strict_json::parse_value(bytes).map_err(DocumentRefused::Json)?;
        let (kind, media_type) = agreed_kind(&value, declared)?;
        let shape = |expected| move |cause| DocumentRefused::Shape { expected, cause };
        match kind {
            DocumentKind::SchemaOne => Err(DocumentRefused::SchemaOne),
            DocumentKind::Index => {
                let index: Index = strict_json::from_value(value).map_err(shape("an image index"))?;
                Ok(Self::Index(Index { media_type, ..index }))
            }
            DocumentKind::Manifest => {
                let manifest: Manifest = strict_json::from_value(value).map_err(shape("an image manifest"))?;
                let manifest = Manifest { media_type, ..manifest };
                if manifest.layers.len() > MAX_LAYERS {
                    return Err(DocumentRefused::TooManyLayers(manifest.layers.len()));
                }
                Ok(Self::Manifest(manifest))
            }
        }
    }
}

/// The one kind that everything says about a document, and the media type that says so.
fn agreed_kind(value: &Value, declared: Option<&str>) -> Result<(DocumentKind, String), DocumentRefused> {
    let ambiguous = |text: String| Err(DocumentRefused::Ambiguous(text));
    let has = |key: &str| value.get(key).is_some();
    if has("fsLayers") || value.get("schemaVersion").and_then(Value::as_u64) == Some(1) {
        return Err(DocumentRefused::SchemaOne);
    }
    let shape = match (has("manifests"), has("layers") || has("config")) {
        (true, true) => return ambiguous("it has both `manifests` and `layers` or `config`".into()),
        (true, false) => DocumentKind::Index,
        (false, true) => DocumentKind::Manifest,
        (false, false) => return ambiguous("it has neither `manifests` nor `layers`".into()),
    };
    if value.get("schemaVersion").and_then(Value::as_u64) != Some(2) {
        return ambiguous("its `schemaVersion` is not 2".into());
    }
    let own = match value.get("mediaType") {
        None => None,
        Some(Value::String(own)) if !own.contains(';') => Some(own.as_str()),
        Some(other) => return ambiguous(format!("its `mediaType` is {other}")),
    };
    let declared = declared.map(media_type::essence).filter(|declared| DocumentKind::of(declared).is_some());
    if let (Some(own), Some(declared)) = (own, declared)
        && own != declared
    {
        return ambiguous(format!("it was announced as {declared} but calls itself {own}"));
    }
    let Some(said) = own.or(declared) else {
        return ambiguous("neither it nor its sender says which kind it is".into());
    };
    match DocumentKind::of(said) {
        Some(DocumentKind::SchemaOne) => Err(DocumentRefused::SchemaOne),
        Some(kind) if kind == shape => Ok((kind, said.to_owned())),
        _ => ambiguous(format!("it calls itself {said:?} but has another shape")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::media_type::{DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
    use serde_json::json;

    fn descriptor(media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": Digest::of(b"x").to_string(), "size": 1})
    }

    fn manifest() -> Value {
        json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor("c"), "layers": [descriptor("l")]})
    }

    fn index() -> Value {
        json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor(OCI_MANIFEST)]})
    }

    fn with(mut document: Value, key: &str, value: Value) -> Value {
        document[key] = value;
        document
    }

    fn without(mut document: Value, key: &str) -> Value {
        document.as_object_mut().unwrap().remove(key);
        document
    }

    fn outcome(document: &Value, declared: Option<&str>) -> Result<Document, String> {
        Document::parse(document.to_string().as_bytes(), declared).map_err(|error| {
            assert_eq!(error.code(), "E_MANIFEST_AMBIGUOUS");
            error.to_string()
        })
    }

    #[test]
    fn documents_that_agree_with_themselves_are_read() {
        let manifest_cases = [
            (manifest(), Some(OCI_MANIFEST)),
            (manifest(), Some("application/vnd.oci.image.manifest.v1+json; charset=utf-8")),
            (manifest(), Some("application/json")),
            (manifest(), None),
            (without(manifest(), "mediaType"), Some(OCI_MANIFEST)),
            (with(manifest(), "mediaType", json!(DOCKER_MANIFEST)), Some(DOCKER_MANIFEST)),
            (with(manifest(), "urls", json!(["http://169.254.169.254/"])), None),
        ];
        for (document, declared) in manifest_cases {
            assert!(matches!(outcome(&document, declared), Ok(Document::Manifest(_))), "{document} {declared:?}");
        }
        let docker = with(index(), "mediaType", json!(DOCKER_INDEX));
        for (document, declared) in [(index(), None), (index(), Some(OCI_INDEX)), (docker, Some(DOCKER_INDEX))] {
            assert!(matches!(outcome(&document, declared), Ok(Document::Index(_))), "{document} {declared:?}");
        }
    }

    #[test]
    fn documents_with_two_readings_are_refused() {
        let cases = [
            (with(manifest(), "manifests", json!([])), None, "both"),
            (with(index(), "config", descriptor("c")), None, "both"),
            (with(index(), "layers", Value::Null), None, "both"),
            (json!({"schemaVersion": 2}), Some(OCI_MANIFEST), "neither"),
            (json!([]), Some(OCI_MANIFEST), "neither"),
            (manifest(), Some(OCI_INDEX), "announced as"),
            (index(), Some(OCI_MANIFEST), "announced as"),
            (manifest(), Some(DOCKER_MANIFEST), "announced as"),
            (without(manifest(), "mediaType"), Some("application/json"), "which kind"),
            (without(index(), "mediaType"), Some(OCI_MANIFEST), "another shape"),
            (with(manifest(), "mediaType", json!(OCI_INDEX)), None, "another shape"),
            (with(manifest(), "mediaType", json!("text/html")), None, "another shape"),
            (with(manifest(), "mediaType", json!(7)), Some(OCI_MANIFEST), "`mediaType` is 7"),
            (with(manifest(), "schemaVersion", json!(3)), None, "not 2"),
            (with(manifest(), "schemaVersion", json!(1)), None, "schema 1"),
            (json!({"schemaVersion": 1, "fsLayers": [], "history": []}), None, "schema 1"),
            (with(manifest(), "fsLayers", json!([])), None, "schema 1"),
        ];
        for (document, declared, why) in cases {
            let refused = outcome(&document, declared).expect_err(&document.to_string());
            assert!(refused.contains(why), "{document} {declared:?}: {refused}");
        }
    }

    #[test]
    fn malformed_descriptors_are_refused() {
        let bad = |key: &str, value: Value| with(manifest(), "config", with(descriptor("c"), key, value));
        for digest in ["sha256:../../x", "sha256:", "md5:0", "x"] {
            assert!(outcome(&bad("digest", json!(digest)), None).is_err(), "{digest}");
        }
        assert!(outcome(&bad("size", json!(-1)), None).is_err());
        assert!(outcome(&bad("size", json!("1")), None).is_err());
        assert!(outcome(&bad("mediaType", Value::Null), None).is_err());
    }

    #[test]
    fn the_number_of_layers_has_a_limit() {
        let layers = |count: usize| with(manifest(), "layers", vec![descriptor("l"); count].into());
        assert!(outcome(&layers(MAX_LAYERS), None).is_ok());
        let refused = Document::parse(layers(MAX_LAYERS + 1).to_string().as_bytes(), None).unwrap_err();
        assert_eq!(refused.code(), "E_LAYER_LIMIT");
        assert!(refused.to_string().contains("500"));
    }

    #[test]
    fn described_platforms_meet_their_normal_spelling() {
        let described = |os: &str, architecture: &str, variant: Option<&str>| {
            let variant = variant.map(str::to_owned);
            DescribedPlatform { os: os.into(), architecture: architecture.into(), variant }.normalized()
        };
        assert_eq!(described("linux", "arm64", Some("v8")).unwrap().to_string(), "linux/arm64");
        assert_eq!(described("linux", "amd64", Some("")).unwrap().to_string(), "linux/amd64");
        assert_eq!(described("", "amd64", None), None);
    }
}
