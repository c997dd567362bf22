//! How many files the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Kept from HTTP: associations and those who wait for one, packs, the index, spools.
const RESERVED: u64 = 512;

/// Raises the limit of open files as far as the process itself may; gives what it is then, `None` for no limit.
pub(crate) fn raise() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            warn!(%error, "the limit of open files stays as it is");
            limit.current
        }
    }
}

/// Connections that HTTP may have of those that are set, so that the others keep what they need.
pub(crate) fn left_for_http(set: usize, limit: Option<u64>) -> usize {
    let Some(limit) = limit else { return set };
    // A quarter where there is not even as much as is reserved.
    let left = limit.saturating_sub(RESERVED).max(limit / 4);
    set.min(usize::try_from(left).unwrap_or(usize::MAX)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_leaves_files_to_the_others() {
        assert_eq!(left_for_http(1024, None), 1024);
        assert_eq!(left_for_http(1024, Some(65_536)), 1024);
        assert_eq!(left_for_http(1024, Some(1024)), 512);
        assert_eq!(left_for_http(1024, Some(256)), 64);
        assert_eq!(left_for_http(0, Some(256)), 1);
    }

    #[test]
    fn the_limit_is_raised_to_what_the_process_may_have() {
        let limit = raise();
        assert_eq!(getrlimit(Resource::Nofile).current, limit);
        assert_eq!(getrlimit(Resource::Nofile).maximum, limit);
    }
}
