//! A file on the web that is no registry's: what `import` is given the address of. No credentials are sent to anybody.

use std::io::{self, Read};

use reqwest::header::HeaderMap;
use reqwest::{Method, Url};

use super::error::{RegistryError, shown};
use super::http::{self, Home, Http, Payload};
use super::retry::RetryPolicy;
use super::{MAX_REDIRECTS, TlsVerify, location};
use crate::host::config::certificates::Certificates;

/// What is at an address, as it comes. One whose length was announced fails if it is shorter.
pub struct WebFile {
    response: reqwest::blocking::Response,
    broken: Option<String>,
}

impl WebFile {
    /// Why not all of it came, if that is so: whoever reads it may take that for something else.
    pub fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }
}

impl Read for WebFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.response.read(buffer);
        if let Err(error) = &read
            && error.kind() != io::ErrorKind::Interrupted
        {
            self.broken = Some(error.to_string());
        }
        read
    }
}

/// Asks for what is at `address`, again while the failure may pass. Redirections are followed, but never from TLS to plain
/// HTTP. `notice` is told of failures that pass.
pub fn open(address: &str, notice: &(dyn Fn(&str) + Sync)) -> Result<WebFile, RegistryError> {
    let refused = || RegistryError::RedirectTarget { url: address.chars().take(200).collect() };
    let first = Url::parse(address).map_err(|_| refused())?;
    let home = Home::new(first.clone(), false, Certificates::default())?;
    let http = Http::new(TlsVerify::Required, home, RetryPolicy::default(), notice);
    http.persist(|| {
        let mut url = first.clone();
        for _ in 0..=MAX_REDIRECTS {
            let response = http.exchange(Method::GET, &url, HeaderMap::new(), Payload::Nothing)?;
            match response.status().as_u16() {
                200..=299 => return Ok(WebFile { response, broken: None }),
                301..=303 | 307 | 308 => url = location(&response, &url)?.ok_or_else(refused)?,
                404 => return Err(RegistryError::NotFound { url: shown(&url), message: http::message_of(response) }),
                _ => return Err(http::status_error(shown(&url), response)),
            }
        }
        Err(RegistryError::Redirects { url: shown(&url) })
    })
}
