//! Reading ranges of sealed packs, compressed or not.

use std::ops::Range;
use std::sync::{Arc, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt};

use super::compressed::{FOOTER, FRAME, Table};
use super::{Objects, blocking, key};
use crate::buffers::Buffers;
use crate::model::PackId;
use crate::{Error, ErrorKind, Result};

/// Tables that are remembered, some KiB each.
const MOST_TABLES: usize = 1024;

impl Objects {
    /// # Errors
    /// `NotFound` when there is no such pack, `Corrupt` when it ends before the range does.
    pub(crate) async fn pack_range(&self, pack: PackId, range: Range<u64>) -> Result<Bytes> {
        let length = range.end.saturating_sub(range.start);
        let key = key::pack(pack);
        let bytes = self.of_pack(pack, range.clone(), self.store.get_range(&key, range)).await?;
        if bytes.len() as u64 != length {
            let what = format!("pack {pack} gave {} of {length} bytes", bytes.len());
            return Err(Error::corrupt(what));
        }
        Ok(bytes)
    }

    /// The same, as far as the pack reaches, in memory that was used before.
    pub(crate) async fn pack_block(
        &self,
        pack: PackId,
        range: Range<u64>,
        buffers: &Buffers,
    ) -> Result<Bytes> {
        let key = key::pack(pack);
        self.of_pack(pack, range.clone(), fetched(&*self.store, &key, range, buffers)).await
    }

    /// A range of a pack, by what gets it of the tar file, or of its compressed form.
    async fn of_pack(
        &self,
        pack: PackId,
        range: Range<u64>,
        plain: impl Future<Output = object_store::Result<Bytes>>,
    ) -> Result<Bytes> {
        let plain = Box::pin(plain);
        // What is compressed is never a tar file again.
        if self.tables.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&pack) {
            return Box::pin(self.compressed_range(pack, range)).await;
        }
        match self.within(range.end.saturating_sub(range.start), plain).await {
            Err(error) if error.kind == ErrorKind::NotFound => {
                Box::pin(self.compressed_range(pack, range)).await
            }
            result => result,
        }
    }

    /// How long the tar file is of which a pack is the compressed form; `None` when there is none.
    pub(crate) async fn compressed_length(&self, pack: PackId) -> Result<Option<u64>> {
        Ok(self.table(pack).await?.map(|table| table.length))
    }

    /// A range of the tar file of a compressed pack, as far as it reaches.
    ///
    /// # Errors
    /// `NotFound` when there is no such pack, `Corrupt` when it is damaged.
    pub(crate) async fn compressed_range(&self, pack: PackId, range: Range<u64>) -> Result<Bytes> {
        let (table, range, bytes) = self.compressed_bytes(pack, range).await?;
        blocking(move || Ok(table.decompressed(&bytes, &range))).await?
    }

    /// The same of a pack that is damaged, read once more; frame by frame where the disk has lost some.
    pub(super) async fn legible(&self, pack: PackId, range: Range<u64>) -> Result<Bytes> {
        match self.compressed_bytes(pack, range.clone()).await {
            Err(error) if error.kind == ErrorKind::Corrupt => {}
            read => {
                let (table, range, bytes) = read?;
                return blocking(move || Ok(table.legible(&bytes, &range))).await;
            }
        }
        let (mut plain, mut at) = (BytesMut::new(), range.start);
        while at < range.end {
            let frame = at..range.end.min((at / FRAME + 1) * FRAME);
            let bytes = match self.compressed_bytes(pack, frame.clone()).await {
                Err(error) if error.kind == ErrorKind::Corrupt => Bytes::new(),
                read => read?.2,
            };
            let (table, part) = (self.table(pack).await?, frame.clone());
            let table = table.ok_or_else(|| Error::not_found(format!("pack {pack} is not there")))?;
            plain.extend_from_slice(&blocking(move || Ok(table.legible(&bytes, &part))).await?);
            at = frame.end;
        }
        Ok(plain.freeze())
    }

    /// The frames that hold a range of a compressed pack, as they lie, and what of the range there is.
    async fn compressed_bytes(
        &self,
        pack: PackId,
        range: Range<u64>,
    ) -> Result<(Arc<Table>, Range<u64>, Bytes)> {
        let table = self.table(pack).await?;
        let table = table.ok_or_else(|| Error::not_found(format!("pack {pack} is not there")))?;
        let range = range.start.min(table.length)..range.end.min(table.length);
        let place = table.place(&range);
        let length = place.end.saturating_sub(place.start);
        if length == 0 {
            return Ok((table, range, Bytes::new()));
        }
        match self.within(length, self.store.get_range(&key::compressed(pack), place)).await {
            Err(error) if error.kind == ErrorKind::NotFound => {
                self.tables.lock().unwrap_or_else(PoisonError::into_inner).remove(&pack);
                Err(error)
            }
            bytes => Ok((table, range, bytes?)),
        }
    }

    async fn table(&self, pack: PackId) -> Result<Option<Arc<Table>>> {
        let known = || self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = known().get(&pack).cloned() {
            return Ok(Some(table));
        }
        let key = key::compressed(pack);
        let size = match self.within(0, self.store.head(&key)).await {
            Ok(found) => found.size,
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let breaks_off = || Error::corrupt(format!("compressed pack {pack} breaks off"));
        let footer = size.checked_sub(FOOTER).ok_or_else(breaks_off)?;
        let end = self.within(0, self.store.get_range(&key, footer..size)).await?;
        let bytes = Table::bytes(&end)?;
        let frame = size.checked_sub(bytes).ok_or_else(breaks_off)?;
        let table =
            Arc::new(Table::read(&self.within(bytes, self.store.get_range(&key, frame..size)).await?)?);
        let mut tables = known();
        if tables.len() >= MOST_TABLES {
            tables.clear();
        }
        tables.insert(pack, table.clone());
        Ok(Some(table))
    }
}

/// What an object has of a range. Each piece is copied as it comes, out of memory that the connection fills again: an
/// answer that is gathered and joined takes fresh memory twice.
async fn fetched(
    store: &dyn ObjectStore,
    key: &Path,
    range: Range<u64>,
    buffers: &Buffers,
) -> object_store::Result<Bytes> {
    let found = store.get_opts(key, GetOptions::new().with_range(Some(range))).await?;
    let length = usize::try_from(found.range.end.saturating_sub(found.range.start)).unwrap_or(usize::MAX);
    let (mut buffer, mut pieces, mut at) = (buffers.take(length), found.into_stream(), 0);
    while let Some(piece) = pieces.try_next().await? {
        let end = at + piece.len();
        let place = buffer.bytes_mut().get_mut(at..end).ok_or_else(|| object_store::Error::Generic {
            store: "object store",
            source: format!("{key} gave more than the {length} bytes that it said").into(),
        })?;
        place.copy_from_slice(&piece);
        at = end;
    }
    buffer.shorten(at);
    Ok(buffer.into())
}
