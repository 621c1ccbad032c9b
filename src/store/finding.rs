//! What a check of the store finds.

/// What something is that is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A blob.
    Blob,
    /// An unpacked layer.
    Layer,
    /// An image.
    Image,
    /// A name of an image.
    Reference,
    /// A container.
    Container,
}

impl Kind {
    /// A word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Layer => "layer",
            Self::Image => "image",
            Self::Reference => "reference",
            Self::Container => "container",
        }
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// Which one.
    pub subject: String,
    /// What is wrong with it.
    pub problem: String,
    /// Whether nothing is wrong with it any more.
    pub repaired: bool,
    /// What was done, or is to be done.
    pub advice: String,
}
