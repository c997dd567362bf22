//! An act as an entry of the log: a JSON file among the instances.

use bytes::Bytes;
use object_store::PutPayload;
use tokio::sync::oneshot;

use super::Packs;
use super::entry::{BLOCK, BLOCK_BYTES, Entry, padded};
use super::file::PackFile;
use super::writer::seconds;
use crate::Result;
use crate::index::Mark;
use crate::ledger;

/// An act on its way into the log.
#[derive(Debug)]
pub(crate) struct ActAppend {
    pub(crate) entry: ledger::Entry,
    pub(crate) answer: oneshot::Sender<Result<()>>,
}

/// Writes and syncs it; gives the place behind it.
pub(super) fn append(pack: &mut PackFile, entry: &ledger::Entry) -> Result<Mark> {
    pack.append(&slices(entry)?)?;
    Ok(Mark { pack: pack.id, offset: pack.end })
}

/// Puts it into the object store, as a pack of its own.
pub(super) async fn put(packs: &Packs, entry: &ledger::Entry) -> Result<Mark> {
    let mut slices = slices(entry)?;
    let offset = slices.iter().map(|slice| slice.len() as u64).sum();
    slices.push(Bytes::from_static(&[0; 2 * BLOCK_BYTES]));
    let pack = packs.next_id_for_good().await?;
    packs.objects.put_pack(pack, PutPayload::from_iter(slices)).await?;
    Ok(Mark { pack, offset })
}

fn slices(entry: &ledger::Entry) -> Result<Vec<Bytes>> {
    let json = entry.to_json()?;
    let length = json.len() as u64;
    let header = Entry::header(&entry.name(), length, blake3::hash(&json).as_bytes(), seconds())?;
    let padding = usize::try_from(padded(length) - BLOCK - length).unwrap_or_default();
    let padding = Bytes::from_static(&[0; BLOCK_BYTES]).slice(..padding);
    Ok(vec![Bytes::copy_from_slice(&header), json.into(), padding])
}
