//! A registry that takes uploads into memory, for scripts that break it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::faulty::{Answer, Asked};
use crate::support::{blob_answer, document};
use coracle::oci::digest::Digest;

/// All that it has.
#[derive(Clone, Default)]
pub struct Shelf(Arc<Mutex<Content>>);

#[derive(Default)]
struct Content {
    /// `REPOSITORY@DIGEST`.
    blobs: HashMap<String, Vec<u8>>,
    /// `REPOSITORY:SELECTOR`, media type and bytes.
    documents: HashMap<String, (String, Vec<u8>)>,
    uploads: HashMap<String, Vec<u8>>,
    begun: usize,
}

impl Shelf {
    pub fn blob(&self, repository: &str, digest: &Digest) -> Option<Vec<u8>> {
        self.0.lock().unwrap().blobs.get(&format!("{repository}@{digest}")).cloned()
    }

    pub fn document(&self, repository: &str, selector: &str) -> Option<Vec<u8>> {
        self.0.lock().unwrap().documents.get(&format!("{repository}:{selector}")).map(|(_, bytes)| bytes.clone())
    }

    /// Forgets an upload that has begun.
    pub fn lose_uploads(&self) {
        self.0.lock().unwrap().uploads.clear();
    }

    /// What a good registry answers.
    pub fn answer(&self, asked: &Asked) -> Answer {
        let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
        let query: HashMap<String, String> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.replace("%3A", ":").replace("%2F", "/")))
            .collect();
        let words: Vec<&str> = path.trim_start_matches("/v2/").split('/').collect();
        let mut content = self.0.lock().unwrap();
        match (asked.method.as_str(), &words[..]) {
            ("GET", [""]) => Answer::new(200, "{}"),
            ("HEAD" | "GET", [repository, "blobs", digest]) if digest.contains(':') => content
                .blobs
                .get(&format!("{repository}@{digest}"))
                .map_or_else(missing, |blob| blob_answer(blob, asked)),
            ("POST", [repository, "blobs", "uploads", ""]) => content.begin(repository, &query),
            (_, [repository, "blobs", "uploads", id]) => content.upload(asked, repository, id, &query),
            ("HEAD" | "GET", [repository, "manifests", selector]) => {
                let found = content.documents.get(&format!("{repository}:{selector}"));
                found.map_or_else(missing, |(media_type, bytes)| document(bytes, media_type))
            }
            ("PUT", [repository, "manifests", selector]) => {
                let digest = Digest::of(&asked.body).to_string();
                let value = (asked.header("content-type").unwrap().to_owned(), asked.body.clone());
                for selector in [*selector, &digest] {
                    content.documents.insert(format!("{repository}:{selector}"), value.clone());
                }
                Answer::new(201, "").header("Docker-Content-Digest", digest).header("Location", path)
            }
            _ => Answer::new(405, ""),
        }
    }
}

impl Content {
    fn begin(&mut self, repository: &str, query: &HashMap<String, String>) -> Answer {
        if let (Some(digest), Some(from)) = (query.get("mount"), query.get("from"))
            && let Some(blob) = self.blobs.get(&format!("{from}@{digest}")).cloned()
        {
            self.blobs.insert(format!("{repository}@{digest}"), blob);
            return Answer::new(201, "").header("Location", format!("/v2/{repository}/blobs/{digest}"));
        }
        self.begun += 1;
        let id = format!("u{}", self.begun);
        self.uploads.insert(id.clone(), Vec::new());
        accepted(repository, &id, 0)
    }

    fn upload(&mut self, asked: &Asked, repository: &str, id: &str, query: &HashMap<String, String>) -> Answer {
        let Some(upload) = self.uploads.get_mut(id) else { return missing() };
        match asked.method.as_str() {
            "GET" => Answer { status: 204, ..accepted(repository, id, upload.len()) },
            "DELETE" => {
                self.uploads.remove(id);
                Answer::new(204, "")
            }
            "PATCH" => {
                let start = asked.header("content-range").and_then(|range| range.split('-').next()?.parse().ok());
                if start.unwrap_or(0) != upload.len() {
                    return Answer { status: 416, ..accepted(repository, id, upload.len()) };
                }
                upload.extend(&asked.body);
                accepted(repository, id, upload.len())
            }
            "PUT" if !asked.broken_off => {
                upload.extend(&asked.body);
                let digest = &query["digest"];
                if Digest::of(upload).to_string() != *digest {
                    return Answer::new(400, r#"{"errors":[{"code":"DIGEST_INVALID"}]}"#);
                }
                let blob = self.uploads.remove(id).unwrap();
                self.blobs.insert(format!("{repository}@{digest}"), blob);
                Answer::new(201, "").header("Docker-Content-Digest", digest.as_str())
            }
            _ => Answer::new(405, ""),
        }
    }
}

fn accepted(repository: &str, id: &str, length: usize) -> Answer {
    Answer::new(202, "")
        .header("Location", format!("/v2/{repository}/blobs/uploads/{id}?state={length}"))
        .header("Range", format!("0-{}", length.saturating_sub(1)))
}

fn missing() -> Answer {
    Answer::new(404, r#"{"errors":[{"code":"UNKNOWN","message":"no such thing"}]}"#)
}
