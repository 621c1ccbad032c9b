//! `--format`: a table, JSON, or a template of the user's.

use serde_json::Value;

use super::template::Template;
use super::{json, table};
use crate::failure::Failure;

/// What `--format` asks for.
#[derive(Debug)]
pub enum Format {
    /// A table with these columns.
    Table(Template),
    /// Everything there is, as JSON.
    Json,
    /// What the template makes of each.
    Template(Template),
}

/// Whether a table has a header.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// It has.
    Shown,
    /// `--noheading`.
    Hidden,
}

impl Format {
    /// `text` as docker and podman take it: `json` (or `{{json .}}`), `table TEMPLATE`, or a template, in which the two
    /// characters `\t` and `\n` stand for a tab and a line feed.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let trimmed = text.trim();
        let compact: String = trimmed.split_whitespace().collect();
        if trimmed == "json" || matches!(compact.as_str(), "{{json.}}" | "{{json}}") {
            return Ok(Self::Json);
        }
        let unescaped = text.replace("\\t", "\t").replace("\\n", "\n");
        match unescaped.trim_start().strip_prefix("table").filter(|rest| rest.starts_with([' ', '\t'])) {
            // podman separates columns by a space between fields, too.
            Some(columns) => Ok(Self::Table(Template::parse(&columns.trim_start().replace("}} {{", "}}\t{{"))?)),
            None => Ok(Self::Template(Template::parse(&unescaped)?)),
        }
    }

    /// The lines for a listing. `items` is what JSON shows, `rows` what templates are applied to, in the same order;
    /// `titles` are those of the rows' fields.
    pub fn list(
        &self,
        items: &[Value],
        rows: &[Value],
        titles: &[(&str, &str)],
        header: Header,
    ) -> Result<String, Failure> {
        match self {
            Self::Json => json::indented(&items),
            Self::Table(template) => {
                let mut lines = Vec::with_capacity(rows.len() + 1);
                if header == Header::Shown {
                    lines.push(template.header(titles)?);
                }
                for row in rows {
                    // A line feed in a cell would break the table.
                    lines.push(template.apply(row)?.replace('\n', " "));
                }
                Ok(table::align(&lines))
            }
            Self::Template(template) => {
                let mut out = String::new();
                for row in rows {
                    push_line(&mut out, &template.apply(row)?);
                }
                Ok(out)
            }
        }
    }

    /// The text for one thing.
    pub fn one(&self, value: &Value) -> Result<String, Failure> {
        match self {
            Self::Json => json::indented(value),
            Self::Table(template) | Self::Template(template) => {
                let mut out = String::new();
                push_line(&mut out, &template.apply(value)?);
                Ok(out)
            }
        }
    }
}

/// Appends `line` and the line feed that it does not already end with.
fn push_line(out: &mut String, line: &str) {
    out.push_str(line);
    if !line.ends_with('\n') {
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn list(format: &str) -> String {
        let items = [json!({"Id": "1"})];
        let rows = [json!({"ID": "1", "Name": "a\nb"}), json!({"ID": "2", "Name": "c"})];
        Format::parse(format).unwrap().list(&items, &rows, &[("ID", "THE ID")], Header::Shown).unwrap()
    }

    #[test]
    fn the_three_kinds() {
        assert_eq!(list("{{.ID}}\\t{{.Name}}"), "1\ta\nb\n2\tc\n");
        assert_eq!(list("{{.ID}}\\n"), "1\n2\n");
        assert_eq!(list("table {{.ID}}\\t{{.Name}}"), "THE ID      NAME\n1           a b\n2           c\n");
        for text in ["json", " json ", "{{json .}}", "{{ json . }}", "{{json}}"] {
            assert_eq!(list(text), "[\n    {\n        \"Id\": \"1\"\n    }\n]\n", "{text}");
        }
        assert_eq!(list("table {{.ID}} {{.Name}}"), "THE ID      NAME\n1           a b\n2           c\n");
        assert_eq!(list("tables"), "tables\ntables\n");
        assert_eq!(list("{{json .ID}}"), "\"1\"\n\"2\"\n");
    }
}
