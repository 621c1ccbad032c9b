//! Several things at once, in a few threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Does `work` with every item and its position, `at_once` of them at a time. After the first failure, which is returned,
/// no more is begun. The threads are gone when this returns.
pub(super) fn each<T: Sync, E: Send>(
    items: &[T],
    at_once: usize,
    work: impl Fn(usize, &T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let (next, failure) = (AtomicUsize::new(0), Mutex::new(None));
    let lock = || failure.lock().unwrap_or_else(PoisonError::into_inner);
    let run = || {
        while lock().is_none() {
            let position = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(position) else { return };
            if let Err(cause) = work(position, item) {
                lock().get_or_insert(cause);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..items.len().min(at_once) {
            scope.spawn(run);
        }
    });
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn everything_is_done_once_until_something_fails() {
        let items: Vec<u64> = (0..100).collect();
        let sum = AtomicU64::new(0);
        let outcome = each(&items, 7, |position, item| {
            assert_eq!(position as u64, *item);
            sum.fetch_add(*item, Ordering::Relaxed);
            Ok::<_, ()>(())
        });
        assert_eq!((outcome, sum.into_inner()), (Ok(()), 4950));
        let begun = AtomicU64::new(0);
        let outcome = each(&items, 1, |_, item| {
            begun.fetch_add(1, Ordering::Relaxed);
            if *item == 3 { Err("three") } else { Ok(()) }
        });
        assert_eq!((outcome, begun.into_inner()), (Err("three"), 4));
    }
}
