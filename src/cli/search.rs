//! `search`.

use clap::Args;
use serde_json::{Value, json};

use super::registry_flags::{RegistryFlags, parse_credentials};
use super::render::format::{Format, Header};
use super::render::output;
use super::tree::{Globals, Invocation};
use super::{dispatch, error};
use crate::failure::{EXIT_OWN_FAILURE, Failure};
use crate::image::request::RegistryAccess;
use crate::image::search::{self, Found, HitFilter, SearchRequest, TagsRequest};
use crate::name::filter::Filters;
use crate::name::reference::Reference;
use crate::registry::Hit;

/// The most that can be asked for.
const HIGHEST_LIMIT: usize = 10_000;
/// Longer descriptions are cut, in characters.
const DESCRIPTION: usize = 44;

/// Search registries for images
///
/// Without a registry in front of the term, those are searched that short names are looked for in: docker.io unless
/// registries.conf says otherwise. One that fails does not hide what the others have.
#[derive(Args, Clone, Debug)]
pub struct SearchArgs {
    /// Show so many of each registry at most
    #[arg(long, value_name = "NUMBER", default_value_t = 25)]
    limit: usize,
    /// Show repositories for which this is true only: stars=NUMBER, is-official=BOOL, is-automated=BOOL
    #[arg(short, long, value_name = "KEY=VALUE", conflicts_with = "list_tags")]
    filter: Vec<String>,
    /// List the tags of the image that TERM names
    #[arg(long)]
    list_tags: bool,
    /// Print JSON (json), or a Go template for each (table TEMPLATE aligns the columns)
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Show descriptions in full
    #[arg(long)]
    no_trunc: bool,
    /// Show stars and marks, too, as docker does
    #[arg(long, conflicts_with = "list_tags")]
    compatible: bool,
    /// Do not print the header
    #[arg(long)]
    noheading: bool,
    /// Credentials for the registry
    #[arg(long, value_name = "USER:PASSWORD")]
    creds: Option<String>,
    #[command(flatten)]
    registry: RegistryFlags,
    /// What to look for, as [registry/]term
    #[arg(value_name = "TERM")]
    term: String,
}

impl Invocation for SearchArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[
        ("Images with a word in their name", "coracle search postgres"),
        ("Everything in a registry of one's own", "coracle search registry.example.com/"),
        ("Tags", "coracle search --list-tags --limit 100 docker.io/library/debian"),
    ];

    fn execute(self, _: &Globals) -> Result<u8, Failure> {
        if !(1..=HIGHEST_LIMIT).contains(&self.limit) {
            return Err(Failure::new("E_CONFIG", format!("--limit is not between 1 and {HIGHEST_LIMIT}")));
        }
        let credentials = self.creds.as_deref().map(parse_credentials).transpose()?;
        let access = self.registry.clone().access(credentials);
        if self.list_tags { self.show_tags(access) } else { self.show_images(access) }
    }
}

impl SearchArgs {
    fn header(&self) -> Header {
        if self.noheading { Header::Hidden } else { Header::Shown }
    }

    fn show_tags(&self, access: RegistryAccess) -> Result<u8, Failure> {
        let format = Format::parse(self.format.as_deref().unwrap_or("table {{.Name}}\\t{{.Tag}}"))?;
        let reference: Reference = self.term.parse()?;
        let request = TagsRequest { reference: reference.clone(), limit: self.limit };
        let tags = dispatch::registry::tags(&request, access)?;
        let name = reference.name();
        let rows: Vec<Value> = tags.iter().map(|tag| json!({"Name": name, "Tag": tag})).collect();
        let items = [json!({"Name": name, "Tags": tags})];
        output::write(&format.list(&items, &rows, &[], self.header())?).map(|()| 0)
    }

    fn show_images(&self, access: RegistryAccess) -> Result<u8, Failure> {
        let format = Format::parse(self.format.as_deref().unwrap_or(match self.compatible {
            true => "table {{.Name}}\\t{{.Description}}\\t{{.Stars}}\\t{{.Official}}\\t{{.Automated}}",
            false => "table {{.Name}}\\t{{.Description}}",
        }))?;
        let (registry, term) = split(&self.term)?;
        let filter = HitFilter::new(&Filters::parse(&self.filter, search::KEYS)?)?;
        let request = SearchRequest { registry, term, limit: self.limit, filter };
        let found = dispatch::registry::search(&request, access)?;
        let has_answer = found.iter().any(|found| found.hits.is_ok());
        let mut rows = Vec::new();
        for Found { registry, hits } in found {
            match hits {
                Ok(hits) => rows.extend(hits.iter().map(|hit| self.row(&registry, hit))),
                Err(failure) => error::report(&failure.into()),
            }
        }
        output::write(&format.list(&rows, &rows, &[], self.header())?)?;
        Ok(if has_answer { 0 } else { EXIT_OWN_FAILURE })
    }

    /// What templates and JSON show, under podman's names.
    fn row(&self, registry: &str, hit: &Hit) -> Value {
        let mark = |is: bool| if is { "[OK]" } else { "" };
        let description = hit.description.split_whitespace().collect::<Vec<_>>().join(" ");
        let description = match description.char_indices().nth(DESCRIPTION) {
            Some((end, _)) if !self.no_trunc => format!("{}...", &description[..end]),
            _ => description,
        };
        json!({
            "Index": registry,
            "Name": search::full_name(registry, hit),
            "Description": description,
            "Stars": hit.stars,
            "Official": mark(hit.official),
            "Automated": mark(hit.automated),
            "Tag": "",
        })
    }
}

/// The registry, if one is named, and what is looked for there.
fn split(text: &str) -> Result<(Option<String>, String), Failure> {
    let refused = || {
        let failure = Failure::new("E_NAME_INVALID", format!("{text:?} is nothing that can be searched for"));
        failure.with_hint("a word, or REGISTRY/WORD; REGISTRY/ lists all that a registry has")
    };
    if text.is_empty() || text.len() > 256 || text.contains(|c: char| c.is_control()) {
        return Err(refused());
    }
    match text.split_once('/') {
        Some((registry, term)) if registry.contains(['.', ':']) || registry == "localhost" => {
            let name: crate::name::registry::RegistryName = registry.parse()?;
            Ok((Some(name.registry().to_owned()), term.to_owned()))
        }
        _ => Ok((None, text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_in_front_of_the_term() {
        let split = |text: &str| split(text).unwrap();
        assert_eq!(split("debian"), (None, "debian".into()));
        assert_eq!(split("user/app"), (None, "user/app".into()));
        assert_eq!(split("quay.io/user/app"), (Some("quay.io".into()), "user/app".into()));
        assert_eq!(split("localhost:5000/"), (Some("localhost:5000".into()), String::new()));
        assert_eq!(split("index.docker.io/x"), (Some("docker.io".into()), "x".into()));
        for text in ["", "a\nb", "a b.c/x", &"x".repeat(300)] {
            assert!(super::split(text).is_err(), "{text:?}");
        }
    }
}
