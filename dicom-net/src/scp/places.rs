//! Places for associations: so many in all, and so many for one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The associations at the same time, counted by the address that they come from.
///
/// One address has half of the places at most, so that a peer that holds all it gets locks nobody else
/// out. Loopback is free of that: behind it may be any number of peers (tunnels, proxies, trials).
pub(super) struct Places {
    most: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// A place for one association; given back by being dropped.
pub(super) struct Place<'a> {
    places: &'a Places,
    address: IpAddr,
}

impl Places {
    pub(super) fn new(most: usize) -> Self {
        Self { most, taken: Mutex::default() }
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // The table is whole after every statement; a panic elsewhere cannot have broken it.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, `None` when all are taken, or all that `address` may have.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Place<'_>> {
        let share = if address.is_loopback() { self.most } else { of_one_address(self.most) };
        let mut taken = self.taken();
        let of_address = taken.get(&address).copied().unwrap_or(0);
        if of_address >= share || taken.values().sum::<usize>() >= self.most {
            return None;
        }
        taken.insert(address, of_address + 1);
        Some(Place { places: self, address })
    }
}

/// How many of all places one address may have, other than loopback.
pub(super) fn of_one_address(most: usize) -> usize {
    (most / 2).max(1)
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        if let Some(count) = taken.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const CT: &str = "10.0.0.5";
    const MR: &str = "10.0.0.6";
    const LOOPBACK: &str = "127.0.0.1";

    #[rstest]
    #[case::half(4, &[CT, CT, CT], &[true, true, false])]
    #[case::the_rest_is_for_others(4, &[CT, CT, CT, MR, MR, MR], &[true, true, false, true, true, false])]
    #[case::all_taken(4, &[CT, CT, MR, MR, LOOPBACK], &[true, true, true, true, false])]
    #[case::at_least_one(1, &[CT, MR], &[true, false])]
    #[case::loopback_may_have_all(3, &[LOOPBACK, "::1", LOOPBACK, LOOPBACK], &[true, true, true, false])]
    #[case::none(0, &[CT, LOOPBACK], &[false, false])]
    fn one_address_has_half_of_the_places_at_most(
        #[case] most: usize,
        #[case] addresses: &[&str],
        #[case] expected: &[bool],
    ) {
        let places = Places::new(most);
        let entered: Vec<_> =
            addresses.iter().map(|address| places.enter(address.parse().unwrap())).collect();
        assert_eq!(entered.iter().map(Option::is_some).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_place_is_free_again_after_it_was_left() {
        let places = Places::new(2);
        let address = CT.parse().unwrap();
        let first = places.enter(address);
        assert!(first.is_some() && places.enter(address).is_none());
        drop(first);
        assert!(places.enter(address).is_some());
        assert!(places.taken().is_empty());
    }
}
