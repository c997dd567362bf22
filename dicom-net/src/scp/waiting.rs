//! Connections that have not asked for an association yet: bounded, the oldest gives way.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// The table of waiting connections, in the order in which they came.
pub(super) struct Waiting {
    most: usize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    next: u64,
    connections: BTreeMap<u64, CancellationToken>,
}

/// A place in the table; given back by being dropped.
pub(super) struct Place<'a> {
    waiting: &'a Waiting,
    number: u64,
    /// Cancelled when the connection has to give way to a newer one.
    pub gives_way: CancellationToken,
}

impl Waiting {
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(1), table: Mutex::default() }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // The table is whole after every statement; a panic elsewhere cannot have broken it.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place; the oldest connections beyond the limit lose theirs.
    pub(super) fn enter(&self) -> Place<'_> {
        let mut table = self.table();
        let number = table.next;
        table.next += 1;
        let gives_way = CancellationToken::new();
        table.connections.insert(number, gives_way.clone());
        while table.connections.len() > self.most {
            if let Some((_, oldest)) = table.connections.pop_first() {
                oldest.cancel();
            }
        }
        drop(table);
        Place { waiting: self, number, gives_way }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiting.table().connections.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_gives_way_when_the_table_is_full() {
        let waiting = Waiting::new(2);
        let (first, second, third) = (waiting.enter(), waiting.enter(), waiting.enter());
        assert!(first.gives_way.is_cancelled());
        assert!(!second.gives_way.is_cancelled() && !third.gives_way.is_cancelled());
    }

    #[test]
    fn a_place_is_free_again_after_it_was_left() {
        let waiting = Waiting::new(1);
        drop(waiting.enter());
        let (second, _third) = (waiting.enter(), ());
        assert!(!second.gives_way.is_cancelled());
        assert_eq!(waiting.table().connections.len(), 1);
    }
}
