//! What the log tells the index of a group that it is still writing and syncing.
//!
//! The index makes the rows of a group meanwhile, and commits them when it hears that they
//! are durable: nobody sees a row whose bytes a power cut may take.

use std::sync::{Arc, OnceLock};

use super::company::Present;
use crate::{Error, Result};

/// Whether a group is durable, as soon as that is known.
#[derive(Debug)]
pub(crate) struct Synced {
    known: Arc<OnceLock<Result<()>>>,
    /// Its senders, until they are answered.
    _senders: Option<Present>,
}

/// Who will know. Dropped without a word, the group is not durable.
#[derive(Debug)]
pub(crate) struct Syncing(Arc<OnceLock<Result<()>>>);

impl Synced {
    /// Of a group that is durable already.
    pub(crate) fn already() -> Self {
        Self { known: Arc::new(OnceLock::from(Ok(()))), _senders: None }
    }

    /// Of a group that is about to be written.
    pub(super) fn soon(senders: Present) -> (Syncing, Self) {
        let known = Arc::default();
        (Syncing(Arc::clone(&known)), Self { known, _senders: Some(senders) })
    }

    /// Blocks the thread until it is known.
    ///
    /// # Errors
    /// Why the group is not durable.
    pub(crate) fn wait(&self) -> Result<()> {
        self.known.wait().as_ref().copied().map_err(|cause| Error::new(cause.kind, cause.what.clone()))
    }
}

impl Syncing {
    pub(crate) fn tell(self, result: Result<()>) {
        // Only this one tells, once.
        let _ = self.0.set(result);
    }
}

impl Drop for Syncing {
    fn drop(&mut self) {
        let _ = self.0.set(Err(Error::internal("the log did not finish a group")));
    }
}

#[cfg(test)]
mod tests {
    use super::super::company::Company;
    use super::*;

    #[test]
    fn it_is_known_once_it_was_told() {
        let (syncing, synced) = Synced::soon(Company::default().sends(1));
        let told = std::thread::spawn(move || synced.wait());
        syncing.tell(Ok(()));
        assert!(told.join().unwrap().is_ok());
        assert!(Synced::already().wait().is_ok());
    }

    #[test]
    fn what_nobody_tells_of_is_not_durable() {
        let (syncing, synced) = Synced::soon(Company::default().sends(1));
        drop(syncing);
        assert!(synced.wait().is_err());
    }
}
