//! Storage commitment that is asked of destinations (PS3.4 Annex J): what each was asked to commit itself to, and what it
//! has reported.
//!
//! A request is a line of the register, under its Transaction UID, before it is sent; a report is another one before it is
//! answered. So both outlive a restart, and a report may come to any node, hours later. Who carries on with it is
//! [`Forward`](crate::jobs::Forward).

use std::collections::{BTreeMap, BTreeSet};

use dicom_store::Work;
use dicom_store::model::{AeTitle, SopInstanceUid, StudyInstanceUid, TransactionUid};
use dicom_store::register::Entry;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::jobs::{Forward, to_json};

/// The kinds of its lines in the register.
pub const COMMITMENT: &str = "commitment";
pub const REPORT: &str = "commitment-report";

/// What a destination was asked to commit itself to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Asked {
    pub destination: AeTitle,
    pub study: StudyInstanceUid,
    /// The rule, or who asked, for which the study was sent.
    pub by: String,
    pub instances: BTreeSet<SopInstanceUid>,
    /// Seconds since 1970.
    pub at: u64,
    /// The destination has taken the request; before, it may never have got it.
    pub is_taken: bool,
}

/// What a destination says of a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    pub committed: BTreeSet<SopInstanceUid>,
    /// With Failure Reason (0008,1197).
    pub failed: BTreeMap<SopInstanceUid, u16>,
}

/// A Transaction UID that nobody else has (PS3.5 §B.2).
pub(crate) fn new_transaction() -> TransactionUid {
    TransactionUid::parse(SopInstanceUid::random().as_str()).expect("one UID is as good as another")
}

async fn read<T: DeserializeOwned>(
    work: &Work,
    kind: &str,
    transaction: &TransactionUid,
) -> Result<Option<T>> {
    let row = work.registered_as(kind, transaction.as_str()).await?;
    Ok(row.and_then(|row| serde_json::from_str(&row.body).ok()))
}

/// Notes what is asked.
pub(crate) async fn keep(work: &Work, transaction: &TransactionUid, asked: &Asked) -> Result<()> {
    Ok(work.register(&[Entry::new(COMMITMENT, transaction.as_str(), to_json(asked)?)]).await?)
}

/// What was asked under this UID, and what was reported.
pub(crate) async fn known(
    work: &Work,
    transaction: &TransactionUid,
) -> Result<Option<(Asked, Option<Report>)>> {
    let Some(asked) = read(work, COMMITMENT, transaction).await? else { return Ok(None) };
    Ok(Some((asked, read(work, REPORT, transaction).await?)))
}

/// Forgets a transaction that has ended.
pub(crate) async fn forget(work: &Work, transaction: &TransactionUid) -> Result<()> {
    work.unregister(COMMITMENT, transaction.as_str()).await?;
    work.unregister(REPORT, transaction.as_str()).await?;
    Ok(())
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    New,
    /// It had come before.
    Again,
    /// The peer was asked nothing under this UID.
    Unknown,
}

/// Notes a report of this peer, durably, and has it looked at.
///
/// # Errors
/// When the index cannot be reached.
pub async fn note(
    work: &Work,
    from: &AeTitle,
    transaction: &TransactionUid,
    report: &Report,
) -> Result<Noted> {
    let Some((asked, before)) = known(work, transaction).await? else { return Ok(Noted::Unknown) };
    if asked.destination != *from {
        return Ok(Noted::Unknown);
    }
    if before.is_some() {
        return Ok(Noted::Again);
    }
    work.register(&[Entry::new(REPORT, transaction.as_str(), to_json(report)?)]).await?;
    work.enqueue_durably(&[Forward::reported(&asked)?]).await?;
    Ok(Noted::New)
}
