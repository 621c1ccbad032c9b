//! Blobs: streamed, and resumed where the connection broke (distribution-spec end-2 with `Range`).

use std::io::{self, Read};

use reqwest::blocking::Response;
use reqwest::header::{CONTENT_RANGE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, StatusCode, Url};

use super::Registry;
use super::error::{RegistryError, shown};
use crate::oci::manifest::Descriptor;

/// How much is read at once, in bytes.
const PIECE: usize = 128 << 10;

/// Why a blob did not arrive.
#[derive(Debug)]
pub enum Transfer<E> {
    /// The registry did not send it.
    Registry(RegistryError),
    /// The receiver did not want it.
    Receiver(E),
}

impl<E> From<RegistryError> for Transfer<E> {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error)
    }
}

impl Registry<'_> {
    /// Streams the blob, from its byte `from` on, to `receive`, which gets every byte once and in order, whatever breaks on
    /// the way. The length is verified here; verifying the digest is the receiver's, who must not believe anything before.
    ///
    /// There is no limit to the breaks, as long as there is progress between them.
    pub fn blob<E>(
        &self,
        descriptor: &Descriptor,
        from: u64,
        mut receive: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), Transfer<E>> {
        if from > 0 && from == descriptor.size {
            return Ok(());
        }
        let url = self.address("blobs", &descriptor.digest.to_string());
        let mut arrival = Arrival { expected: descriptor.size, received: from, url };
        let mut failures = 0;
        loop {
            let before = arrival.received;
            let part = self.part(&arrival).map_err(Transfer::Registry);
            match part.and_then(|part| self.drain(part, &mut arrival, &mut receive)) {
                Err(Transfer::Registry(failure)) if failure.is_transient() => {
                    failures = if arrival.received > before { 1 } else { failures + 1 };
                    self.http.wait_or_give_up(failures, failure)?;
                }
                outcome => return outcome,
            }
        }
    }

    /// The blob from the first byte that has not been received.
    fn part(&self, arrival: &Arrival) -> Result<Response, RegistryError> {
        let Arrival { expected, received, url } = arrival;
        let mut headers = HeaderMap::new();
        if *received > 0 {
            let range = HeaderValue::from_str(&format!("bytes={received}-"));
            range.into_iter().for_each(|range| drop(headers.insert(RANGE, range)));
        }
        let mut response = self.ask(&Method::GET, url, &headers, &[StatusCode::RANGE_NOT_SATISFIABLE])?;
        let wrong_size = |got| RegistryError::Size { url: shown(url), expected: *expected, got };
        let start = match response.status() {
            // It has no more than what we have already.
            StatusCode::RANGE_NOT_SATISFIABLE => return Err(wrong_size(*received)),
            StatusCode::PARTIAL_CONTENT => range_start(&response).unwrap_or(u64::MAX),
            _ => 0,
        };
        if start != 0 && start != *received {
            return Err(RegistryError::Range { url: shown(url), expected: *received });
        }
        if let Some(length) = response.content_length()
            && start.checked_add(length) != Some(*expected)
        {
            return Err(wrong_size(start.saturating_add(length)));
        }
        // A server that knows no ranges sends everything again. Whether that is the same is for the digest to tell.
        let repeated = received - start;
        let skipped = io::copy(&mut response.by_ref().take(repeated), &mut io::sink());
        let skipped = skipped.map_err(|error| arrival.broke_off(&error, self.http.retry.stall))?;
        if skipped == repeated { Ok(response) } else { Err(arrival.ended()) }
    }

    fn drain<E>(
        &self,
        mut part: Response,
        arrival: &mut Arrival,
        receive: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), Transfer<E>> {
        let mut piece = vec![0; PIECE];
        loop {
            let length = match part.read(&mut piece) {
                Ok(0) if arrival.received < arrival.expected => return Err(arrival.ended().into()),
                Ok(0) => return Ok(()),
                Ok(length) => length,
                Err(_) if arrival.received == arrival.expected => return Ok(()),
                Err(error) => return Err(arrival.broke_off(&error, self.http.retry.stall).into()),
            };
            let got = arrival.received + length as u64;
            if got > arrival.expected {
                let (url, expected) = (shown(&arrival.url), arrival.expected);
                return Err(RegistryError::Size { url, expected, got }.into());
            }
            receive(&piece[..length]).map_err(Transfer::Receiver)?;
            arrival.received = got;
        }
    }
}

/// How far a blob has come.
struct Arrival {
    url: Url,
    expected: u64,
    received: u64,
}

impl Arrival {
    fn broke_off(&self, error: &io::Error, stall: std::time::Duration) -> RegistryError {
        RegistryError::of_transport(&self.url, error, stall).into_short(self.received, self.expected)
    }

    fn ended(&self) -> RegistryError {
        RegistryError::of_early_end(&self.url).into_short(self.received, self.expected)
    }
}

/// The first byte of a partial response (RFC 9110 section 14.4).
fn range_start(response: &Response) -> Option<u64> {
    let text = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    text.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}
