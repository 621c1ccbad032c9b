//! `manual`: the man pages, from the same definitions as the parser.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::tree::{self, Entry, Globals, Invocation, Verb};
use crate::failure::Failure;
use crate::host::env;

/// Write the man pages into a directory
#[derive(Args, Clone, Debug)]
pub struct ManualArgs {
    /// Directory, which must exist
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    directory: PathBuf,
}

impl Invocation for ManualArgs {
    const EXAMPLES: &'static [(&'static str, &'static str)] = &[("What the repository has", "coracle manual man")];

    fn execute(self, _: &Globals) -> Result<u8, Failure> {
        for (name, text) in pages()? {
            let path = self.directory.join(name);
            std::fs::write(&path, text)
                .map_err(|cause| Failure::new("E_OUTPUT", format!("writing {path:?}: {cause}")))?;
        }
        Ok(0)
    }
}

/// File name and text of every page.
pub fn pages() -> Result<Vec<(String, String)>, Failure> {
    let root = tree::documented();
    let mut pages = vec![("coracle.1".to_owned(), main_page(&root)?)];
    for entry in tree::ENTRIES {
        match entry {
            Entry::Verb(verb) if verb.hidden => {}
            Entry::Verb(verb) => pages.push((file_of(&[verb.name]), verb_page(&root, &[verb.name], verb)?)),
            Entry::Group(group, about, verbs) => {
                pages.push((file_of(&[group]), group_page(&root, group, about, verbs)?));
                for verb in verbs.iter().filter(|verb| !verb.hidden && twin(verb).is_none()) {
                    let path = [*group, verb.name];
                    pages.push((file_of(&path), verb_page(&root, &path, verb)?));
                }
            }
        }
    }
    Ok(pages)
}

/// The name of the page of a command.
fn title_of(path: &[&str]) -> String {
    ["coracle"].iter().chain(path).copied().collect::<Vec<_>>().join("-")
}

fn file_of(path: &[&str]) -> String {
    format!("{}.1", title_of(path))
}

/// The command without a group that does the same as one in a group.
fn twin(verb: &Verb) -> Option<&'static Verb> {
    tree::ENTRIES.iter().find_map(|entry| match entry {
        Entry::Verb(other) if !other.hidden && std::ptr::fn_addr_eq(other.augment, verb.augment) => Some(other),
        _ => None,
    })
}

fn main_page(root: &clap::Command) -> Result<String, Failure> {
    let mut roff = Roff::default();
    let mut pages = Vec::new();
    roff.control("SH", ["COMMANDS"]);
    for entry in tree::ENTRIES {
        if let Entry::Verb(verb) = entry
            && !verb.hidden
        {
            pages.push(format!("{}(1)", title_of(&[verb.name])));
            tagged(&mut roff, &format!("{}(1)", title_of(&[verb.name])), &about(root, &[verb.name]));
        }
    }
    roff.control("SH", ["GROUPS"]);
    for entry in tree::ENTRIES {
        if let Entry::Group(name, about, verbs) = entry {
            let names: Vec<&str> = verbs.iter().map(|verb| verb.name).collect();
            pages.push(format!("{}(1)", title_of(&[name])));
            tagged(&mut roff, &format!("{}(1)", title_of(&[name])), &format!("{about}: {}.", names.join(", ")));
        }
    }
    exit_status(
        &mut roff,
        &[("0", "Success."), ("125", "A failure of coracle itself."), ("N", "See the page of each command.")],
    );
    environment(&mut roff);
    files(&mut roff);
    see_also(&mut roff, &pages);
    page(root.clone(), "coracle", &[], &roff)
}

/// The command of this path below `root`.
fn find<'a>(root: &'a clap::Command, path: &[&str]) -> Result<&'a clap::Command, Failure> {
    let found = path.iter().try_fold(root, |command, name| command.find_subcommand(name));
    found.ok_or_else(|| Failure::new("E_CONFIG", format!("{} is not a command", path.join(" "))))
}

fn about(root: &clap::Command, path: &[&str]) -> String {
    let about = find(root, path).ok().and_then(|command| command.get_about()).map(ToString::to_string);
    about.unwrap_or_default()
}

fn group_page(root: &clap::Command, group: &str, what: &str, verbs: &[Verb]) -> Result<String, Failure> {
    let mut roff = Roff::default();
    roff.control("SH", ["COMMANDS"]);
    for verb in verbs.iter().filter(|verb| !verb.hidden) {
        let page = twin(verb).map_or_else(|| title_of(&[group, verb.name]), |twin| title_of(&[twin.name]));
        let about = about(root, &[group, verb.name]);
        let about = if about.ends_with('.') { about } else { format!("{about}.") };
        tagged(&mut roff, &format!("coracle {group} {}", verb.name), &format!("{about} See {page}(1)."));
    }
    exit_status(&mut roff, &[("0", "Success."), ("125", "A failure."), ("N", "See the page of each command.")]);
    examples(&mut roff, verbs.iter().filter(|verb| !verb.hidden).filter_map(|verb| verb.examples.first()));
    see_also(&mut roff, &["coracle(1)".into()]);
    let name = title_of(&[group]);
    let command = find(root, &[group])?.clone().bin_name(format!("coracle {group}")).display_name(name.clone());
    page(command.about(what.to_owned()), &name, &[], &roff)
}

fn verb_page(root: &clap::Command, path: &[&str], verb: &Verb) -> Result<String, Failure> {
    let name = title_of(path);
    // Global options are on the main page.
    let command = find(root, path)?.clone().bin_name(format!("coracle {}", path.join(" "))).display_name(name.clone());
    let mut roff = Roff::default();
    exit_status(&mut roff, verb.exit_status);
    examples(&mut roff, verb.examples.iter());
    let groups = tree::ENTRIES.iter().filter_map(|entry| match entry {
        Entry::Group(group, _, verbs) if path.len() == 1 => {
            let same = verbs.iter().find(|other| std::ptr::fn_addr_eq(other.augment, verb.augment));
            same.map(|same| format!("coracle {group} {}", same.name))
        }
        _ => None,
    });
    let groups: Vec<String> = groups.collect();
    if !groups.is_empty() {
        roff.control("SH", ["NOTES"]).text([roman("The same as "), bold(groups.join(", ")), roman(".")]);
    }
    let above = if path.len() > 1 { title_of(&path[..1]) } else { "coracle".into() };
    see_also(&mut roff, &[format!("{above}(1)")]);
    page(command, &name, verb.sections, &roff)
}

/// A page: what clap knows, `sections`, `after`.
fn page(command: clap::Command, name: &str, sections: &[(&str, &str)], after: &Roff) -> Result<String, Failure> {
    let version = concat!("coracle ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command).title(name).section("1").source(version).manual("coracle").date("");
    let mut text = Vec::new();
    let mut extra = Roff::default();
    for (heading, paragraph) in sections {
        extra.control("SH", [*heading]).text([roman(*paragraph)]);
    }
    man.render_title(&mut text)
        .and_then(|()| man.render_name_section(&mut text))
        .and_then(|()| man.render_synopsis_section(&mut text))
        .and_then(|()| man.render_description_section(&mut text))
        .and_then(|()| man.render_options_section(&mut text))
        .and_then(|()| extra.to_writer(&mut text))
        .and_then(|()| after.to_writer(&mut text))
        .map_err(|cause| Failure::new("E_OUTPUT", format!("writing the page {name}: {cause}")))?;
    String::from_utf8(text).map_err(|cause| Failure::new("E_OUTPUT", format!("writing the page {name}: {cause}")))
}

fn exit_status(roff: &mut Roff, codes: &[(&str, &str)]) {
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in codes {
        tagged(roff, code, meaning);
    }
}

fn examples<'a>(roff: &mut Roff, examples: impl Iterator<Item = &'a (&'a str, &'a str)>) {
    roff.control("SH", ["EXAMPLES"]);
    for (what, line) in examples {
        roff.control("PP", []).text([roman(format!("{what}:"))]);
        roff.control("PP", []).control("RS", ["4"]).control("nf", []).text([roman(*line)]);
        roff.control("fi", []).control("RE", []);
    }
}

fn environment(roff: &mut Roff) {
    roff.control("SH", ["ENVIRONMENT"]);
    for variable in env::ALL {
        tagged(roff, variable.name, variable.meaning);
    }
}

fn files(roff: &mut Roff) {
    roff.control("SH", ["FILES"]);
    for (path, what) in [
        ("$XDG_DATA_HOME/coracle", "Images and containers: all of it the user's own."),
        ("$XDG_RUNTIME_DIR/coracle", "Which processes serve which container; worthless after a reboot."),
        ("$XDG_CONFIG_HOME/containers", "Configuration of registries and credentials, shared with other tools."),
        ("$XDG_CACHE_HOME/coracle", "Partial downloads."),
    ] {
        tagged(roff, path, what);
    }
}

fn see_also(roff: &mut Roff, pages: &[String]) {
    roff.control("SH", ["SEE ALSO"]).text([roman(pages.join(", "))]);
}

fn tagged(roff: &mut Roff, tag: &str, text: &str) {
    roff.control("TP", []).text([bold(tag)]).text([roman(text)]);
}
