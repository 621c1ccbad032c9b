//! How parsed words are kept in records: as the text they are parsed from.

/// Keeps types as text, by `Display` and `FromStr`.
macro_rules! as_text {
    ($($type:ty),*) => { $(
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl serde::de::Visitor<'_> for Text {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("text")
                    }

                    // Not copied before it is parsed: listings read many records.
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }
    )* };
}
pub(crate) use as_text;

/// Bytes that are nearly always text: kept as text, and as an array of bytes where they are not.
pub mod os_string {
    use std::ffi::{OsStr, OsString};
    use std::os::unix::ffi::{OsStrExt, OsStringExt};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize)]
    #[serde(untagged)]
    enum Shown<'a> {
        Text(&'a str),
        Bytes(&'a [u8]),
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Kept {
        Text(String),
        Bytes(Vec<u8>),
    }

    fn shown(value: &OsStr) -> Shown<'_> {
        value.to_str().map_or_else(|| Shown::Bytes(value.as_bytes()), Shown::Text)
    }

    fn kept<T: From<OsString>>(kept: Kept) -> T {
        T::from(match kept {
            Kept::Text(text) => text.into(),
            Kept::Bytes(bytes) => OsString::from_vec(bytes),
        })
    }

    /// Keeps a string or a path.
    pub fn serialize<S: Serializer>(value: &impl AsRef<OsStr>, serializer: S) -> Result<S::Ok, S::Error> {
        shown(value.as_ref()).serialize(serializer)
    }

    /// Reads it back.
    pub fn deserialize<'de, T: From<OsString>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        Kept::deserialize(deserializer).map(kept)
    }

    /// The same for lists.
    pub mod list {
        use super::*;

        /// Keeps a list.
        pub fn serialize<S: Serializer>(values: &[OsString], serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(values.iter().map(|value| shown(value)))
        }

        /// Reads it back.
        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<OsString>, D::Error> {
            Vec::<Kept>::deserialize(deserializer).map(|list| list.into_iter().map(kept).collect())
        }
    }
}
