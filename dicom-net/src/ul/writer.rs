//! The sending half of an association: messages → PDVs → PDUs, never longer than the peer wants them
//! (PS3.8 §9.3.5, §D.1).

use std::io::IoSlice;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::pdu::{HEADER_LENGTH, Header, IS_COMMAND, IS_LAST, P_DATA_TF, PDV_HEADER_LENGTH};
use super::state::{Event, Machine};
use crate::error::{Error, Result};

/// The longest P-DATA-TF that we send, however much more a peer would take.
const LONGEST_SENT: usize = 256 * 1024;

/// Slices given to the system in one call.
const SLICES: usize = 256;

/// Writes messages to a byte stream.
pub struct PduWriter<W> {
    stream: W,
    /// Bytes of a data set that go into one PDV: even, so that every fragment is (PS3.8 §E.1).
    fragment: usize,
    /// What was queued and not sent yet.
    queued: BytesMut,
    patience: Duration,
    machine: Machine,
}

impl<W: AsyncWrite + Unpin> PduWriter<W> {
    /// `patience`: how long the peer may take nothing of what is sent.
    pub(super) fn new(stream: W, patience: Duration, machine: Machine) -> Self {
        Self { stream, fragment: fragment_length(0), queued: BytesMut::new(), patience, machine }
    }

    /// From here on nothing longer than `max_length` is sent; 0 is no limit (PS3.8 §D.1).
    pub(super) fn establish(&mut self, max_length: u32) {
        self.fragment = fragment_length(max_length);
    }

    /// Puts a command set, and the data set that belongs to it, behind what is queued.
    ///
    /// The two go into PDUs of their own: a PDU with PDVs of both is legal, but some peers fail on it.
    pub fn queue(&mut self, context: u8, command: &[u8], data: Option<&[u8]>) {
        self.queue_pdus(context, IS_COMMAND, command);
        if let Some(data) = data {
            self.queue_pdus(context, 0, data);
        }
    }

    /// How much is queued, in bytes.
    pub fn queued(&self) -> usize {
        self.queued.len()
    }

    fn queue_pdus(&mut self, context: u8, control: u8, bytes: &[u8]) {
        if bytes.is_empty() {
            self.queued.put_slice(&pdv_header(context, control | IS_LAST, 0));
        }
        let mut left = bytes.len();
        for fragment in bytes.chunks(self.fragment) {
            left -= fragment.len();
            let last = if left == 0 { IS_LAST } else { 0 };
            self.queued.put_slice(&pdv_header(context, control | last, fragment.len()));
            self.queued.put_slice(fragment);
        }
    }

    /// Sends what is queued, in as few writes as the system allows.
    ///
    /// # Errors
    /// `Io`, `Silent` when the peer takes nothing for too long, and `GivenUp` when it may not be sent anything any more.
    pub async fn flush(&mut self) -> Result<()> {
        if !self.queued.is_empty() {
            self.machine.ask(Event::PDataRequest)?;
        }
        self.push_all().await
    }

    async fn push_all(&mut self) -> Result<()> {
        let patience = self.patience;
        let mut sent = 0;
        while let Some(rest) = self.queued.get(sent..).filter(|rest| !rest.is_empty()) {
            sent +=
                timeout(patience, self.stream.write(rest)).await.map_err(|_| Error::Silent(patience))??;
        }
        self.queued.clear();
        self.push_out().await
    }

    /// What a stream keeps back for itself, as one within TLS does.
    async fn push_out(&mut self) -> Result<()> {
        let patience = self.patience;
        Ok(timeout(patience, self.stream.flush()).await.map_err(|_| Error::Silent(patience))??)
    }

    /// Sends a part of a data set, after what is queued and together with it.
    ///
    /// `bytes` is not copied. It has an even length, unless `is_last`.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub async fn send_data(&mut self, context: u8, bytes: &[u8], is_last: bool) -> Result<()> {
        self.machine.ask(Event::PDataRequest)?;
        let queued = self.queued.split().freeze();
        let mut headers = Vec::with_capacity(bytes.len() / self.fragment + 1);
        let mut left = bytes.len();
        for fragment in bytes.chunks(self.fragment) {
            left -= fragment.len();
            let last = if is_last && left == 0 { IS_LAST } else { 0 };
            headers.push(pdv_header(context, last, fragment.len()));
        }
        if bytes.is_empty() && is_last {
            headers.push(pdv_header(context, IS_LAST, 0));
        }
        let mut slices = Vec::with_capacity(1 + 2 * headers.len());
        slices.push(IoSlice::new(&queued));
        let mut fragments = bytes.chunks(self.fragment);
        for header in &headers {
            slices.push(IoSlice::new(header));
            slices.push(IoSlice::new(fragments.next().unwrap_or_default()));
        }
        self.write_all(&mut slices).await
    }

    async fn write_all(&mut self, mut slices: &mut [IoSlice<'_>]) -> Result<()> {
        let patience = self.patience;
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            let now = slices.get(..SLICES).unwrap_or(slices);
            let write = self.stream.write_vectored(now);
            let sent = timeout(patience, write).await.map_err(|_| Error::Silent(patience))??;
            if sent == 0 {
                return Err(Error::Closed);
            }
            IoSlice::advance_slices(&mut slices, sent);
        }
        self.push_out().await
    }

    /// Sends a PDU that is no P-DATA-TF, after what is queued. The event that asks for it was taken before.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub(super) async fn send_pdu(&mut self, pdu: &Bytes) -> Result<()> {
        self.queued.put_slice(pdu);
        self.push_all().await
    }

    /// Tells the peer that no more comes.
    pub(super) async fn shut_down(&mut self) {
        // The peer may be gone already; there is nobody left to tell.
        let _ = timeout(self.patience, self.stream.shutdown()).await;
    }
}

/// The even length of fragments that keeps P-DATA-TF within `max_length`.
fn fragment_length(max_length: u32) -> usize {
    let max_length = match usize::try_from(max_length) {
        Ok(0) | Err(_) => LONGEST_SENT,
        Ok(length) => length.min(LONGEST_SENT),
    };
    (max_length.saturating_sub(PDV_HEADER_LENGTH) & !1).max(2)
}

/// Headers of a P-DATA-TF with one PDV of `length` bytes.
fn pdv_header(context: u8, control: u8, length: usize) -> [u8; HEADER_LENGTH + PDV_HEADER_LENGTH] {
    // Fragments are at most LONGEST_SENT long.
    let length = u32::try_from(length).unwrap_or(u32::MAX - 6);
    let mut header = [0; HEADER_LENGTH + PDV_HEADER_LENGTH];
    let mut out = &mut header[..];
    Header { kind: P_DATA_TF, length: length + 6 }.write(&mut out);
    out.put_u32(length + 2);
    out.put_u8(context);
    out.put_u8(control);
    header
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use tokio::io::AsyncReadExt;

    use super::*;

    /// Lengths of the P-DATA-TF, and the data sets' bytes joined.
    async fn sent(max_length: u32, bytes: &[u8], is_queued: bool) -> (Vec<u32>, Vec<u8>, u8) {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let mut writer = PduWriter::new(ours, Duration::from_secs(5), Machine::established());
        writer.establish(max_length);
        if is_queued {
            writer.queue_pdus(3, 0, bytes);
            writer.flush().await.unwrap();
        } else {
            writer.send_data(3, bytes, true).await.unwrap();
        }
        drop(writer);
        let (mut lengths, mut joined, mut control) = (Vec::new(), Vec::new(), 0);
        while let Ok(kind) = theirs.read_u8().await {
            assert_eq!((kind, theirs.read_u8().await.unwrap()), (P_DATA_TF, 0));
            let length = theirs.read_u32().await.unwrap();
            assert_eq!(theirs.read_u32().await.unwrap(), length - 4);
            assert_eq!(theirs.read_u8().await.unwrap(), 3);
            assert_eq!(control, 0, "a fragment follows the last one");
            control = theirs.read_u8().await.unwrap();
            let mut data = vec![0; usize::try_from(length).unwrap() - 6];
            theirs.read_exact(&mut data).await.unwrap();
            joined.extend(data);
            lengths.push(length);
        }
        (lengths, joined, control)
    }

    #[rstest]
    #[case(4096)]
    #[case(16384)]
    #[case(131_072)]
    #[case(4097)]
    #[case(0)]
    #[tokio::test]
    async fn no_pdu_is_longer_than_the_peer_wants(#[case] max: u32, #[values(true, false)] is_queued: bool) {
        let data: Vec<u8> = (0..=250).cycle().take(600_002).collect();
        let (lengths, joined, control) = sent(max, &data, is_queued).await;
        assert!(joined == data, "the data set changed on its way");
        assert_eq!(control, IS_LAST);
        let limit = if max == 0 { 262_144 } else { max };
        assert!(lengths.iter().all(|&length| length <= limit && length % 2 == 0), "{lengths:?}");
    }

    #[rstest]
    #[tokio::test]
    async fn an_empty_data_set_is_one_empty_last_fragment(#[values(true, false)] is_queued: bool) {
        assert_eq!(sent(16384, &[], is_queued).await, (vec![6], vec![], IS_LAST));
    }
}
