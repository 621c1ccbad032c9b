//! containers-certs.d(5): whose certificates are believed for a registry besides the machine's authorities, and which one
//! we show there.

use std::path::{Path, PathBuf};

use super::{Broken, user_directory};

/// What is in a registry's directory, as bytes in PEM; nothing where it has none.
#[derive(Default)]
pub struct Certificates {
    /// The files `*.crt`: authorities.
    pub authorities: Vec<(PathBuf, Vec<u8>)>,
    /// The first, by name, of the pairs `*.cert` and `*.key`.
    pub own: Option<OwnCertificate>,
}

/// What proves to a registry who we are.
pub struct OwnCertificate {
    /// The file of the certificate.
    pub path: PathBuf,
    /// The certificate, and those that vouch for it.
    pub certificate: Vec<u8>,
    /// Its private key.
    pub key: Vec<u8>,
}

impl Certificates {
    /// Those for `registry` (`host[:port]`): from the directory `explicit` (`--cert-dir`), else from the first directory of
    /// that name in the user's, podman's and docker's `certs.d`.
    pub fn of_registry(registry: &str, explicit: Option<&Path>) -> Result<Self, Broken> {
        let roots = user_directory().into_iter().chain(["/etc/containers".into(), "/etc/docker".into()]);
        let mut directories = roots.map(|root| root.join("certs.d").join(registry));
        let directory = explicit.map(Path::to_owned).or_else(|| directories.find(|path| path.is_dir()));
        directory.map_or_else(|| Ok(Self::default()), |directory| Self::read(&directory))
    }

    fn read(directory: &Path) -> Result<Self, Broken> {
        let unreadable = |cause| Broken::unreadable(directory, &cause);
        let entries = std::fs::read_dir(directory).and_then(|entries| {
            let paths = entries.map(|entry| entry.map(|entry| entry.path()));
            paths.collect::<Result<Vec<PathBuf>, _>>()
        });
        let mut paths = entries.map_err(unreadable)?;
        paths.sort();
        let mut found = Self::default();
        for path in &paths {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => found.authorities.push((path.clone(), bytes(path)?)),
                Some("cert") => {
                    let key = partner(path, "key", &paths)?;
                    if found.own.is_none() {
                        let (certificate, key) = (bytes(path)?, bytes(&key)?);
                        found.own = Some(OwnCertificate { path: path.clone(), certificate, key });
                    }
                }
                Some("key") => partner(path, "cert", &paths).map(drop)?,
                _ => {}
            }
        }
        Ok(found)
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, Broken> {
    std::fs::read(path).map_err(|cause| Broken::unreadable(path, &cause))
}

/// The file beside `path` of the same name, which must be there.
fn partner(path: &Path, extension: &str, all: &[PathBuf]) -> Result<PathBuf, Broken> {
    let partner = path.with_extension(extension);
    if all.contains(&partner) {
        return Ok(partner);
    }
    let why = format!(
        "{} is missing beside it: a client certificate is a pair NAME.cert and NAME.key, an authority is NAME.crt",
        partner.file_name().unwrap_or_default().display()
    );
    Err(Broken { path: path.into(), place: None, why })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[&str]) -> Result<(Vec<String>, Option<String>), String> {
        let directory = tempfile::tempdir().unwrap();
        for name in files {
            std::fs::write(directory.path().join(name), name).unwrap();
        }
        let found = Certificates::read(directory.path()).map_err(|broken| broken.to_string())?;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let own = found.own.map(|own| format!("{} {}", text(own.certificate), text(own.key)));
        Ok((found.authorities.into_iter().map(|(_, bytes)| text(bytes)).collect(), own))
    }

    #[test]
    fn authorities_and_pairs_are_told_apart() {
        let (authorities, own) = read(&["b.crt", "a.crt", "y.cert", "y.key", "x.key", "x.cert", "README"]).unwrap();
        assert_eq!(authorities, ["a.crt", "b.crt"]);
        assert_eq!(own.as_deref(), Some("x.cert x.key"));
        assert_eq!(read(&[]).unwrap(), (Vec::new(), None));
    }

    #[test]
    fn half_a_pair_is_named() {
        assert!(read(&["x.cert"]).unwrap_err().contains("x.key is missing"));
        assert!(read(&["x.key", "x.crt"]).unwrap_err().contains("x.cert is missing"));
        let missing = Certificates::of_registry("r.io", Some(Path::new("/nonexistent"))).map(drop).unwrap_err();
        assert!(missing.to_string().contains("No such file"), "{missing}");
    }
}
