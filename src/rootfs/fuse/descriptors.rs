//! Descriptors that are kept open, as many as we may have: directories of layers, and files.

use std::collections::HashMap;
use std::fs::File;
use std::hash::Hash;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use parking_lot::Mutex;

/// Things by key; those that were not used for longest go when there are too many.
#[derive(Debug)]
struct Kept<K, V> {
    things: HashMap<K, (V, u64)>,
    clock: u64,
    limit: usize,
}

impl<K: Hash + Eq + Copy, V: Clone> Kept<K, V> {
    fn new(limit: usize) -> Self {
        Self { things: HashMap::new(), clock: 0, limit }
    }

    fn get(&mut self, key: K) -> Option<V> {
        self.clock += 1;
        let clock = self.clock;
        self.things.get_mut(&key).map(|(value, used)| {
            *used = clock;
            value.clone()
        })
    }

    fn put(&mut self, key: K, value: V) {
        if self.things.len() >= self.limit {
            self.make_room();
        }
        self.things.insert(key, (value, self.clock));
    }

    /// A quarter goes at once: looking for the oldest takes a look at all.
    fn make_room(&mut self) {
        let mut ages: Vec<u64> = self.things.values().map(|(_, used)| *used).collect();
        let (_, &mut limit, _) = ages.select_nth_unstable(self.things.len() / 4);
        self.things.retain(|_, (_, used)| *used > limit);
    }
}

/// An open file, and whether it can be written to.
pub type Open = (Arc<File>, bool);

/// All that are kept.
#[derive(Debug)]
pub struct Descriptors {
    directories: Mutex<Kept<(u64, u16), Arc<OwnedFd>>>,
    files: Mutex<Kept<u64, Open>>,
}

impl Descriptors {
    /// At most so many.
    pub fn new(limit: usize) -> Self {
        let half = (limit / 2).max(16);
        Self { directories: Mutex::new(Kept::new(half)), files: Mutex::new(Kept::new(half)) }
    }

    /// The directory of the inode `serial` in `layer`.
    pub fn directory(&self, serial: u64, layer: u16) -> Option<Arc<OwnedFd>> {
        self.directories.lock().get((serial, layer))
    }

    /// Keeps it.
    pub fn keep_directory(&self, serial: u64, layer: u16, directory: Arc<OwnedFd>) {
        self.directories.lock().put((serial, layer), directory);
    }

    /// The file of the inode `serial`.
    pub fn file(&self, serial: u64) -> Option<Open> {
        self.files.lock().get(serial)
    }

    /// Keeps it.
    pub fn keep_file(&self, serial: u64, open: Open) {
        self.files.lock().put(serial, open);
    }

    /// Takes the file of the inode `serial` out, if it is kept.
    pub fn take_file(&self, serial: u64) -> Option<Open> {
        self.files.lock().things.remove(&serial).map(|(open, _)| open)
    }

    /// Closes the directory of the inode `serial` in so many layers.
    pub fn drop_directories(&self, serial: u64, layers: &[u16]) {
        let mut directories = self.directories.lock();
        for &layer in layers {
            directories.things.remove(&(serial, layer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first() {
        let mut kept = Kept::new(8);
        for number in 0..8 {
            kept.put(number, number);
            kept.clock += 1;
        }
        assert_eq!(kept.get(0), Some(0));
        kept.put(8, 8);
        assert_eq!(kept.get(0), Some(0), "it was used");
        assert_eq!(kept.get(1), None);
        assert_eq!(kept.get(8), Some(8));
        assert!(kept.things.len() <= 8);
    }
}
