//! A range of a deflated data set: inflated from its start, kept only where it was asked for.

use std::ops::Range;
use std::pin::pin;

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};
use futures_util::{Stream, TryStreamExt};

use crate::{Error, Result};

const STEP: usize = 64 * 1024;

/// `range` in coordinates where the inflated data set begins at `start`.
pub(crate) async fn range(
    deflated: impl Stream<Item = Result<Bytes>>,
    start: u64,
    range: Range<u64>,
) -> Result<Bytes> {
    let mut deflated = pin!(deflated);
    let wanted = range.start.saturating_sub(start)..range.end.saturating_sub(start);
    let mut taken = Vec::new();
    let mut inflater = Decompress::new(false);
    let mut out = Vec::with_capacity(STEP);
    while let Some(part) = deflated.try_next().await? {
        let mut rest = part.as_ref();
        loop {
            let (read, at) = (inflater.total_in(), inflater.total_out());
            out.clear();
            let status = inflater
                .decompress_vec(rest, &mut out, FlushDecompress::None)
                .map_err(|cause| Error::corrupt("deflated data set cannot be inflated").with_source(cause))?;
            let used = usize::try_from(inflater.total_in() - read).unwrap_or(rest.len());
            rest = rest.get(used..).unwrap_or_default();
            let from = usize::try_from(wanted.start.saturating_sub(at)).unwrap_or(usize::MAX).min(out.len());
            let to = usize::try_from(wanted.end.saturating_sub(at)).unwrap_or(usize::MAX).min(out.len());
            taken.extend_from_slice(out.get(from..to).unwrap_or_default());
            let is_done = inflater.total_out() >= wanted.end;
            if is_done || status == Status::StreamEnd {
                return finish(taken, &wanted);
            }
            if rest.is_empty() && out.len() < STEP {
                break;
            }
        }
    }
    finish(taken, &wanted)
}

fn finish(taken: Vec<u8>, wanted: &Range<u64>) -> Result<Bytes> {
    if taken.len() as u64 == wanted.end.saturating_sub(wanted.start) {
        return Ok(taken.into());
    }
    Err(Error::invalid("range reaches past the end of the deflated data set"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[tokio::test]
    async fn gives_exactly_the_range_that_was_asked_for() {
        let data: Vec<u8> = (0..300_000u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&data).unwrap();
        let deflated = encoder.finish().unwrap();
        for wanted in [0..10usize, 65_530..65_550, 299_990..300_000, 100_000..250_000] {
            let parts: Vec<Result<Bytes>> =
                deflated.chunks(100).map(|part| Ok(Bytes::copy_from_slice(part))).collect();
            let asked = wanted.start as u64 + 1000..wanted.end as u64 + 1000;
            let got = range(futures_util::stream::iter(parts), 1000, asked).await.unwrap();
            assert!(got[..] == data[wanted]);
        }
    }
}
