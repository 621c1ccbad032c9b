//! A registry that does what a test tells it to: one closure answers every request, and everything asked is kept.
#![allow(clippy::disallowed_methods, reason = "a test server needs threads that outlive a scope")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// One request, as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    /// With query.
    pub path: String,
    /// Names in lowercase.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// How many requests for this very path came before.
    pub earlier: usize,
    /// Whether the body was not read to its end: the answer is not sent then.
    pub broken_off: bool,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first byte of `Range`.
    pub fn range(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// What is answered, and what goes wrong with it.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub fault: Fault,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// The connection is closed after so many bytes of the body.
    CutAfter(usize),
    /// So many bytes of the body, then silence until the other side gives up.
    StallAfter(usize),
    /// The connection is closed without any answer.
    HangUp,
    /// The body comes in chunks: its length is not announced.
    Chunked,
    /// The body has no end.
    Endless,
}

/// How much of the body of a request is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyRead {
    /// All of it.
    #[default]
    Whole,
    /// So many bytes; then the connection is closed without an answer.
    Until(usize),
    /// So many bytes; then nothing more until the other side gives up.
    StallAfter(usize),
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn fault(self, fault: Fault) -> Self {
        Self { fault, ..self }
    }

    pub fn redirect(location: impl Into<String>) -> Self {
        Self::new(307, "").header("Location", location)
    }
}

type Script = dyn Fn(&Asked) -> Answer + Send + Sync;
type Reading = dyn Fn(&Asked) -> BodyRead + Send + Sync;

/// The server. Its threads end with the test's process.
pub struct Faulty {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Faulty {
    /// A server on a port of its own that answers with `script`.
    pub fn start(script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_on("127.0.0.1", None, script)
    }

    /// The same, but `reading` decides, knowing all but the body, how much of that is read before `script` is asked.
    pub fn start_reading(
        reading: impl Fn(&Asked) -> BodyRead + Send + Sync + 'static,
        script: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::start_with("127.0.0.1", None, reading, script)
    }

    /// The same on another loopback address, with TLS if there is a configuration for it.
    pub fn start_on(
        host: &str,
        tls: Option<Arc<rustls::ServerConfig>>,
        script: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(host, tls, |_| BodyRead::Whole, script)
    }

    fn start_with(
        host: &str,
        tls: Option<Arc<rustls::ServerConfig>>,
        reading: impl Fn(&Asked) -> BodyRead + Send + Sync + 'static,
        script: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let reading: Arc<Reading> = Arc::new(reading);
        let listener = TcpListener::bind((host, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (script, log): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (script, log, tls) = (Arc::clone(&script), Arc::clone(&log), tls.clone());
                let reading = Arc::clone(&reading);
                thread::spawn(move || {
                    let stream = stream.unwrap();
                    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
                    match tls {
                        None => serve(&stream, &stream, &reading, &script, &log),
                        Some(config) => {
                            let session = rustls::ServerConnection::new(config).unwrap();
                            let shared = Shared(Arc::new(Mutex::new(rustls::StreamOwned::new(session, stream))));
                            serve(shared.clone(), shared, &reading, &script, &log);
                        }
                    }
                });
            }
        });
        Self { address, asked }
    }

    /// `127.0.0.1:PORT`.
    pub fn name(&self) -> String {
        self.address.to_string()
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How many requests had a path that contains `part`.
    pub fn count(&self, part: &str) -> usize {
        self.asked().iter().filter(|asked| asked.path.contains(part)).count()
    }

    /// Forgets what was asked.
    pub fn forget(&self) {
        self.asked.lock().unwrap().clear();
    }
}

/// One TLS stream for reading and writing.
#[derive(Clone)]
struct Shared(Arc<Mutex<rustls::StreamOwned<rustls::ServerConnection, TcpStream>>>);

impl Read for Shared {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().read(buffer)
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.lock().unwrap().flush()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let mut stream = self.0.lock().unwrap();
        stream.conn.send_close_notify();
        let _ = stream.flush();
    }
}

/// Serves one request and closes the connection.
fn serve(
    input: impl Read,
    mut output: impl Write,
    reading: &Arc<Reading>,
    script: &Arc<Script>,
    log: &Mutex<Vec<Asked>>,
) {
    let mut input = BufReader::new(input);
    let Ok(first) = input.fill_buf() else { return };
    if first.first() == Some(&0x16) {
        // A TLS handshake: answered as Go's server does.
        let _ = output.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n");
        return;
    }
    let Some(asked) = read_request(&mut input, reading, log) else { return };
    log.lock().unwrap().push(asked.clone());
    let answer = script(&asked);
    if asked.broken_off {
        if matches!(reading(&asked), BodyRead::StallAfter(_)) {
            // Nothing is read, so that only the other side's end ends this.
            let _ = output.flush();
            thread::park_timeout(Duration::from_secs(60));
        }
        return;
    }
    // The other side may have gone: that is its business.
    let _ = write_answer(&mut output, &asked, &answer);
    if matches!(answer.fault, Fault::StallAfter(_)) {
        let _ = input.read(&mut [0]);
    }
}

fn read_request(input: &mut impl BufRead, reading: &Arc<Reading>, log: &Mutex<Vec<Asked>>) -> Option<Asked> {
    let mut line = String::new();
    input.read_line(&mut line).ok()?;
    let mut words = line.split_ascii_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok());
    let length = length.unwrap_or(0);
    let earlier = log.lock().unwrap().iter().filter(|asked| asked.path == path).count();
    let mut asked = Asked { method, path, headers, body: Vec::new(), earlier, broken_off: false };
    let wanted = match reading(&asked) {
        BodyRead::Whole => length,
        BodyRead::Until(limit) | BodyRead::StallAfter(limit) => limit.min(length),
    };
    asked.body = vec![0; wanted];
    asked.broken_off = wanted < length;
    input.read_exact(&mut asked.body).ok()?;
    Some(asked)
}

fn write_answer(output: &mut impl Write, asked: &Asked, answer: &Answer) -> std::io::Result<()> {
    if answer.fault == Fault::HangUp {
        return Ok(());
    }
    write!(output, "HTTP/1.1 {} Scripted\r\nConnection: close\r\n", answer.status)?;
    for (name, value) in &answer.headers {
        write!(output, "{name}: {value}\r\n")?;
    }
    let has_length = answer.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let chunked = matches!(answer.fault, Fault::Chunked | Fault::Endless);
    if chunked {
        write!(output, "Transfer-Encoding: chunked\r\n")?;
    } else if !has_length {
        write!(output, "Content-Length: {}\r\n", answer.body.len())?;
    }
    write!(output, "\r\n")?;
    if asked.method == "HEAD" {
        return output.flush();
    }
    match answer.fault {
        Fault::CutAfter(length) | Fault::StallAfter(length) => {
            output.write_all(&answer.body[..length.min(answer.body.len())])?;
        }
        Fault::Chunked => {
            for piece in answer.body.chunks(1000) {
                write!(output, "{:x}\r\n", piece.len())?;
                output.write_all(piece)?;
                write!(output, "\r\n")?;
            }
            write!(output, "0\r\n\r\n")?;
        }
        Fault::Endless => loop {
            write!(output, "10000\r\n{}\r\n", " ".repeat(0x10000))?;
        },
        Fault::None | Fault::HangUp => output.write_all(&answer.body)?,
    }
    output.flush()
}
