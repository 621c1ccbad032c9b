//! What is configured about registries, with the real binary: mirrors and short names, certificates, proxies and policies,
//! logins, searches. And lists of images for several platforms.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support/faulty.rs"]
mod faulty;
#[path = "../support/registry.rs"]
mod images;
#[path = "../support/mod.rs"]
mod support;

mod certificates;
mod login;
mod manifest_lists;
mod mirrors;
mod policy;
mod proxies;
mod pull_flags;
mod search;
mod short_names;
mod web;

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use faulty::{Answer, Asked, Faulty};
use images::Image;
use support::{LIMIT, Lab, Output, output};

/// A user with a registries.conf, and nothing of the machine's.
pub struct User {
    lab: Lab,
}

impl User {
    /// With this in registries.conf.
    pub fn with(registries_conf: &str) -> Self {
        let user = Self { lab: Lab::new() };
        user.configure("registries.conf", registries_conf);
        // The machine's policy, whatever it is, is not to matter.
        user.configure("policy.json", r#"{"default": [{"type": "insecureAcceptAnything"}]}"#);
        user
    }

    /// Writes a file into the user's directory `containers`.
    pub fn configure(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.lab.root().join("config/containers").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.lab.command(arguments);
        command.env("CONTAINERS_REGISTRIES_CONF_DIR", self.lab.root().join("none"));
        command
    }

    fn coracle<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Output {
        output::run(&mut self.command(arguments), &[], LIMIT)
    }

    fn coracle_with_input<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>, input: &str) -> Output {
        output::run(&mut self.command(arguments), input.as_bytes(), LIMIT)
    }

    /// The names of all images.
    pub fn images(&self) -> Vec<String> {
        let listed = self.coracle(["images", "--format", "{{.Repository}}:{{.Tag}}"]).ok().text();
        listed.lines().map(str::to_owned).collect()
    }
}

/// A registry that has `image` as `app`.
pub fn serve(image: &Image) -> Faulty {
    let image = image.clone();
    Faulty::start(move |asked| image.answer(asked))
}

/// A registry that answers nothing but this, once it was asked whether it speaks HTTP.
pub fn always(answer: Answer) -> Faulty {
    Faulty::start(move |asked| if asked.path == "/v2/" { Answer::new(200, "{}") } else { answer.clone() })
}

/// What was asked, but for whether HTTP is spoken.
pub fn questions(server: &Faulty) -> Vec<Asked> {
    server.asked().into_iter().filter(|asked| asked.path != "/v2/").collect()
}

/// A port of this machine where nobody listens.
pub fn nobody() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}
