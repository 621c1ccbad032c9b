//! Whom an image's files belong to, as far as that decides how the ids of a container are made (`--ids=auto`).

use crate::identity::passwd;
use crate::rootfs::view::View;
use crate::state::schema::image::{ImageLayer, ImageOwners, ImageRecord};
use crate::store::{Store, StoreError};

/// What the record says; of one that was written by an older version, what its layers say: a file for each, and
/// `/etc/passwd`. Nothing is gone through.
pub fn of(store: &Store, image: &ImageRecord) -> Result<ImageOwners, StoreError> {
    image.owners.map_or_else(|| of_layers(store, image.visible_layers()), Ok)
}

/// What these layers, lowest first, say. All of them are in the store.
fn of_layers(store: &Store, layers: &[ImageLayer]) -> Result<ImageOwners, StoreError> {
    let mut owners = ImageOwners { others: false, accounts: has_accounts(store, layers), given: true };
    for layer in layers {
        let manifest = store.layers().manifest(&layer.diff_id)?;
        owners.others |= manifest.foreign_owners;
        owners.given &= !(manifest.foreign_owners && manifest.single);
    }
    Ok(owners)
}

/// A file that cannot be used may have any accounts.
fn has_accounts(store: &Store, layers: &[ImageLayer]) -> bool {
    let view = View::new(layers.iter().rev().map(|layer| store.layers().path(&layer.diff_id)).collect());
    match view.open(c"etc/passwd") {
        Ok(None) => false,
        Ok(Some(file)) => passwd::read(&file, passwd::PASSWD).map_or(true, |bytes| passwd::has_other_accounts(&bytes)),
        Err(_) => true,
    }
}
