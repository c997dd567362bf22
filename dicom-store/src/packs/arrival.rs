//! In which order packs are read when an index is made anew: as their first entries came.
//!
//! Numbers are not enough: a pack that is written from others has a higher one than what came since, and nodes number
//! for themselves. What comes first under an identifier says what the patient is called.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::entry::{BLOCK, Entry};
use crate::model::PackId;
use crate::objects::Objects;
use crate::{ErrorKind, Result};

/// Packs whose first header is asked for at a time.
const AT_A_TIME: usize = 16;

/// A sealed pack that the index has to read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) pack: PackId,
    pub(super) length: u64,
    /// Where the index is in it.
    pub(super) mark: u64,
}

/// Puts packs into the order in which their first entries came, to the second; those of one second, and those whose
/// first header cannot be read, which come last, by their numbers.
pub(super) async fn in_order(objects: &Objects, due: Vec<Due>) -> Result<Vec<Due>> {
    let mut with_times: Vec<_> = stream::iter(due)
        .map(async |due| Ok::<_, crate::Error>((first_came(objects, &due).await?, due)))
        .buffered(AT_A_TIME)
        .try_collect()
        .await?;
    with_times.sort_by_key(|(came, due)| (*came, due.pack));
    Ok(with_times.into_iter().map(|(_, due)| due).collect())
}

async fn first_came(objects: &Objects, due: &Due) -> Result<u64> {
    if due.length < BLOCK {
        return Ok(u64::MAX);
    }
    match objects.pack_range(due.pack, 0..BLOCK).await {
        Ok(head) => Ok(Entry::read(&head).map_or(u64::MAX, |entry| entry.seconds)),
        Err(error) if error.kind == ErrorKind::Corrupt => Ok(u64::MAX),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn what_came_first_is_read_first_whatever_its_pack_is_numbered() {
        let objects = Objects::over(Arc::new(object_store::memory::InMemory::new()));
        let header = |seconds| Entry::header("1/2/3.dcm", 0, &[0; 32], seconds).unwrap().to_vec();
        let packs = [
            (1, header(500)),
            (2, b"torn".to_vec()),
            (3, vec![7; 512]),
            (4, header(100)),
            (5, header(500)),
            (1_000_000_001, header(200)),
        ];
        let mut due = Vec::new();
        for (number, bytes) in packs {
            let (pack, length) = (PackId(number), bytes.len() as u64);
            objects.put_pack(pack, bytes.into()).await.unwrap();
            due.push(Due { pack, length, mark: 0 });
        }
        // One that has lost its end since it was listed.
        objects.put_pack(PackId(6), b"short".to_vec().into()).await.unwrap();
        due.push(Due { pack: PackId(6), length: 1024, mark: 0 });
        let order: Vec<_> = in_order(&objects, due).await.unwrap().iter().map(|due| due.pack.0).collect();
        assert_eq!(order, [4, 1_000_000_001, 1, 5, 2, 3, 6]);
    }
}
