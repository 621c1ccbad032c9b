//! Secrets of a container: looked up anew for each of its lives, and never written down with it.

use std::collections::BTreeMap;
use std::ffi::CString;

use super::request::{Request, SecretForm, SecretRequest};
use crate::failure::Failure;
use crate::name::concealed::Concealed;
use crate::name::secret::SecretName;
use crate::runtime::blueprint::{Blueprint, GivenSecret, IdMaps};
use crate::secret;
use crate::state::layout::Layout;
use crate::state::schema::container::ContainerRecord;

/// Whether all of them are there.
pub fn check(layout: &Layout, request: &Request) -> Result<(), Failure> {
    request.secrets.iter().try_for_each(|wanted| Ok(secret::find(layout, wanted.name.as_str()).map(drop)?))
}

/// Those that are variables, by the variable's name.
pub fn variables(request: &Request) -> BTreeMap<String, SecretName> {
    let of = |wanted: &SecretRequest| match &wanted.form {
        SecretForm::Variable(name) => Some((name.clone(), wanted.name.clone())),
        SecretForm::File { .. } => None,
    };
    request.secrets.iter().filter_map(of).collect()
}

/// What they say now, for another process of the container.
pub fn reveal_variables(layout: &Layout, record: &ContainerRecord) -> Result<Vec<(String, Concealed)>, Failure> {
    let reveal = |(variable, name): (&String, &SecretName)| {
        Ok((variable.clone(), secret::reveal(&secret::find(layout, name.as_str())?)?))
    };
    record.secret_variables.iter().map(reveal).collect()
}

/// Adds them to the blueprint.
pub fn give(layout: &Layout, request: &Request, blueprint: &mut Blueprint) -> Result<(), Failure> {
    for wanted in &request.secrets {
        let data = secret::reveal(&secret::find(layout, wanted.name.as_str())?)?;
        match &wanted.form {
            SecretForm::Variable(name) => {
                let entry = [name.as_bytes(), b"=", data.reveal()].concat();
                let entry = CString::new(entry).map_err(|_| {
                    let what =
                        format!("giving the secret {} to the container as a variable: it has a NUL", wanted.name);
                    Failure::new("E_CONFIG", what).with_hint("give it as a file: leave type=env out")
                })?;
                let prefix = format!("{name}=");
                blueprint.process.envp.retain(|other| !other.to_bytes().starts_with(prefix.as_bytes()));
                blueprint.process.envp.push(entry);
            }
            SecretForm::File { target, mode, owner } => {
                // Whoever has one id has files of that id only, and the container sees them as its own.
                let has_several = matches!(blueprint.ids, IdMaps::Ranges { .. });
                blueprint.secrets.push(GivenSecret {
                    content: Concealed::new(data.reveal().to_vec()),
                    destination: target.clone(),
                    mode: *mode,
                    owner: has_several.then(|| (owner.0.unwrap_or(0), owner.1.unwrap_or(0))),
                });
            }
        }
    }
    Ok(())
}
