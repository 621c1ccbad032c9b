//! Several things at once, in a few threads.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::host::config::containers::ContainersConf;

/// How many blobs are moved at once: more hardly go faster, and each has a thread.
const USUAL: usize = 4;

/// How many blobs are moved at once, as containers.conf has it.
pub fn copies() -> usize {
    let configured = ContainersConf::here().text("image_parallel_copies");
    configured.and_then(|text| text.parse().ok()).filter(|&count| count > 0).unwrap_or(USUAL)
}

/// Does `work` with every item and its position, `at_once` of them at a time. After the first failure, which is returned,
/// no more is begun. The threads, which there are where there are several items, are gone when this returns.
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
    match items.len().min(at_once) {
        0 | 1 => run(),
        threads => thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(run)))),
    }
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// What `work` makes of each item, in their order, `at_once` of them at a time.
pub fn all<T: Sync, R: Send>(items: &[T], at_once: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let done = Mutex::new(Vec::new());
    let outcome = each(items, at_once, |position, item| {
        let result = work(item);
        done.lock().unwrap_or_else(PoisonError::into_inner).push((position, result));
        Ok::<_, Infallible>(())
    });
    match outcome {
        Ok(()) => {}
        Err(never) => match never {},
    }
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(position, _)| *position);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn all_results_come_in_the_order_of_the_items() {
        let items: Vec<u64> = (0..100).collect();
        assert_eq!(all(&items, 7, |item| item * 2), items.iter().map(|item| item * 2).collect::<Vec<_>>());
    }

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
