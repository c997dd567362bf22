//! Associations on which a transaction was asked for and that are still open: its report may go there.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dicom_store::model::{AeTitle, TransactionUid};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::report::Report;
use super::transaction::Transaction;
use crate::dimse::Status;

/// A report for the peer of an open association.
#[derive(Debug)]
pub(crate) struct Handover {
    pub report: Report,
    /// Told what the peer answered; dropped when the association ends before.
    pub answered: oneshot::Sender<Status>,
}

type Key = (AeTitle, TransactionUid);

/// By who asked and for what.
#[derive(Debug, Default)]
pub(crate) struct OpenAssociations(Mutex<HashMap<Key, mpsc::Sender<Handover>>>);

impl OpenAssociations {
    fn table(&self) -> MutexGuard<'_, HashMap<Key, mpsc::Sender<Handover>>> {
        // The table is whole after every statement; a panic elsewhere cannot have broken it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The report of the transaction may go to this association, until [`OpenAssociations::close`].
    pub(crate) fn open(&self, transaction: &Transaction, association: &mpsc::Sender<Handover>) {
        let key = (transaction.calling.clone(), transaction.uid.clone());
        self.table().insert(key, association.clone());
    }

    /// The association has ended.
    pub(crate) fn close(&self, association: &mpsc::Sender<Handover>) {
        self.table().retain(|_, open| !open.same_channel(association));
    }

    /// Reports on the association of the request; `None` when it is not open, or the peer does not answer in time. Each
    /// transaction is reported so once at the most.
    pub(crate) async fn report(
        &self,
        transaction: &Transaction,
        report: &Report,
        limit: Duration,
    ) -> Option<Status> {
        let association = self.table().remove(&(transaction.calling.clone(), transaction.uid.clone()))?;
        let (answered, answer) = oneshot::channel();
        let handover = Handover { report: report.clone(), answered };
        let asked = async move {
            association.send(handover).await.ok()?;
            answer.await.ok()
        };
        timeout(limit, asked).await.ok()?
    }
}
