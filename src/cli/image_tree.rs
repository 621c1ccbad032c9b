//! `image tree`.

use clap::Args;

use super::dispatch;
use super::render::{output, size};
use super::tree::{Globals, Invocation};
use crate::failure::Failure;
use crate::image::tree::{Direction, Node, Report};

/// Show the layers of an image
///
/// Lowest first, each with its unpacked size and the images whose last layer it is.
#[derive(Args, Clone, Debug)]
pub struct ImageTreeArgs {
    /// Show the images that are based on it, and their layers
    #[arg(long)]
    whatrequires: bool,
    /// Name, id, or beginning of an id
    #[arg(value_name = "IMAGE")]
    image: String,
}

impl Invocation for ImageTreeArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("Its layers", "coracle image tree debian"),
        ("What is based on it", "coracle image tree --whatrequires debian"),
    ];

    fn execute(self, globals: &Globals) -> Result<u8, Failure> {
        let direction = if self.whatrequires { Direction::Up } else { Direction::Down };
        let report = dispatch::image_tree(&globals.layout()?, &self.image.parse()?, direction)?;
        output::write(&text(&report))?;
        Ok(0)
    }
}

fn text(report: &Report) -> String {
    let names = report.names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let mut text =
        format!("Image ID: {}\nTags:     [{names}]\nSize:     {}\n", report.id.short(), size::compact(report.size));
    text.push_str(if report.layers.is_empty() { "No Image Layers\n" } else { "Image Layers\n" });
    branches(&report.layers, "", &mut text);
    text
}

fn branches(nodes: &[Node], indent: &str, text: &mut String) {
    for (number, node) in nodes.iter().enumerate() {
        let is_last = number + 1 == nodes.len();
        let top_of = match &node.top_of[..] {
            [] => String::new(),
            names => format!(" Top Layer of: [{}]", names.join(" ")),
        };
        let branch = if is_last { "└──" } else { "├──" };
        let size = size::compact(node.size);
        text.push_str(&format!("{indent}{branch} ID: {} Size: {size}{top_of}\n", node.diff_id.short()));
        branches(&node.children, &format!("{indent}{}", if is_last { "    " } else { "│   " }), text);
    }
}
