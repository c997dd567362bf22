//! The sending half of an association: messages → PDVs → PDUs, never longer than the peer wants them
//! (PS3.8 §9.3.5, §D.1).

use std::fs::File;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use rustix::fs::sendfile;
use rustix::io::retry_on_intr;
use rustix::net::{SendFlags, send};
use tokio::io::{AsyncWrite, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::pdu::{HEADER_LENGTH, Header, IS_COMMAND, IS_LAST, P_DATA_TF, PDV_HEADER_LENGTH};
use super::state::{Event, Machine};
use crate::error::{Error, Result};

/// The longest P-DATA-TF that we send, however much more a peer would take.
const LONGEST_SENT: usize = 256 * 1024;

/// Slices given to the system in one call.
const SLICES: usize = 256;

/// With shorter fragments than this it is more to have the system send each of them out of a file than to copy them.
const LEAST_OF_FILE: usize = 60 << 10;

/// Writes messages to a byte stream.
pub struct PduWriter<W> {
    stream: W,
    /// Bytes of a data set that go into one PDV: even, so that every fragment is (PS3.8 §E.1).
    fragment: usize,
    /// What was queued and not sent yet.
    queued: BytesMut,
    patience: Duration,
    machine: Machine,
    /// What `stream` writes to as it is written, where that is a socket.
    socket: ToSocket<W>,
}

/// The socket that a stream writes to, byte for byte.
pub type ToSocket<W> = fn(&W) -> Option<&TcpStream>;

impl<W: AsyncWrite + Unpin> PduWriter<W> {
    /// `patience`: how long the peer may take nothing of what is sent.
    pub(super) fn new(stream: W, patience: Duration, machine: Machine) -> Self {
        let (fragment, queued) = (fragment_length(0), BytesMut::new());
        Self { stream, fragment, queued, patience, machine, socket: |_| None }
    }

    /// Has the system send parts of files, where there is a socket for it.
    pub(super) fn through(&mut self, socket: ToSocket<W>) {
        self.socket = socket;
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

    /// Whether to have the system send files is worth while.
    pub fn is_by_files(&self) -> bool {
        self.fragment >= LEAST_OF_FILE && (self.socket)(&self.stream).is_some()
    }

    /// Bytes of a data set that go into one PDU.
    pub fn fragment(&self) -> usize {
        self.fragment
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

    /// Sends one fragment of a data set out of a file, after what is queued and together with it. The range is no longer
    /// than [`fragment`](Self::fragment), and of even length unless `is_last`.
    ///
    /// # Errors
    /// As [`flush`](Self::flush); `GivenUp` without a socket, or when the file ends before the range does.
    pub async fn send_file(
        &mut self,
        context: u8,
        file: &File,
        range: Range<u64>,
        is_last: bool,
    ) -> Result<()> {
        let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        let socket = (self.socket)(&self.stream);
        let socket = socket.filter(|_| length <= self.fragment);
        let socket = socket.ok_or_else(|| Error::GivenUp("a file cannot be sent as it lies".to_owned()))?;
        self.machine.ask(Event::PDataRequest)?;
        let last = if is_last { IS_LAST } else { 0 };
        self.queued.put_slice(&pdv_header(context, last, length));
        while !self.queued.is_empty() {
            let queued = &self.queued;
            let sent = waiting(socket, self.patience, || send_more(socket, queued)).await?;
            self.queued.advance(sent);
        }
        let mut at = range.start;
        while at < range.end {
            let left = usize::try_from(range.end - at).unwrap_or(usize::MAX);
            let sent = waiting(socket, self.patience, || send_part(socket, file, &mut at, left)).await?;
            if sent == 0 {
                return Err(Error::GivenUp("an object cannot be read: its file ends too early".to_owned()));
            }
        }
        Ok(())
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

/// Does something with a socket that is done at once or would have to wait, as soon as it need not wait.
async fn waiting(
    socket: &TcpStream,
    patience: Duration,
    what: impl FnMut() -> io::Result<usize>,
) -> Result<usize> {
    let done = timeout(patience, socket.async_io(Interest::WRITABLE, what)).await;
    Ok(done.map_err(|_| Error::Silent(patience))??)
}

/// Sends what more comes behind at once, so that both go together.
fn send_more(socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    Ok(retry_on_intr(|| send(socket, bytes, SendFlags::MORE | SendFlags::NOSIGNAL))?)
}

/// Sends so many bytes of a file at the most, from a place that is counted on.
fn send_part(socket: &TcpStream, file: &File, at: &mut u64, most: usize) -> io::Result<usize> {
    Ok(retry_on_intr(|| sendfile(socket, file, Some(&mut *at), most))?)
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
    use std::io::Write;

    use rstest::rstest;
    use tokio::io::{AsyncRead, AsyncReadExt};
    use tokio::net::TcpListener;
    use tokio::net::tcp::OwnedWriteHalf;

    use super::*;

    /// Lengths of the P-DATA-TF, and the data sets' bytes joined.
    async fn sent(max_length: u32, bytes: &[u8], is_queued: bool) -> (Vec<u32>, Vec<u8>, u8) {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let mut writer = PduWriter::new(ours, Duration::from_secs(5), Machine::established());
        writer.establish(max_length);
        if is_queued {
            writer.queue_pdus(3, 0, bytes);
            writer.flush().await.unwrap();
        } else {
            writer.send_data(3, bytes, true).await.unwrap();
        }
        drop(writer);
        came(theirs).await
    }

    /// The same of what came.
    async fn came(mut theirs: impl AsyncRead + Unpin) -> (Vec<u32>, Vec<u8>, u8) {
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

    /// A file with these bytes.
    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    /// A writer that has files sent through a socket, and the other end.
    async fn by_socket() -> (PduWriter<OwnedWriteHalf>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (_, ours) = listener.accept().await.unwrap().0.into_split();
        let mut writer = PduWriter::new(ours, Duration::from_secs(5), Machine::established());
        writer.through(|writer| Some(writer.as_ref()));
        (writer, theirs)
    }

    #[tokio::test]
    async fn a_file_goes_behind_what_is_queued_and_whole_though_the_peer_is_slow() {
        // More than the socket takes at once, from a place within the file.
        let data: Vec<u8> = (0..=250).cycle().take((8 << 20) + 3).collect();
        let (mut writer, theirs) = by_socket().await;
        writer.establish(131_072);
        assert!(writer.is_by_files());
        let file = file(&[b"before", &data[..], b"behind"].concat());
        let sending = async {
            writer.queue_pdus(3, 0, b"queued");
            // What was queued was the last of its message, for which nothing else is to come on this context.
            writer.queued[11] = 0;
            let (mut at, end) = (6, 6 + data.len() as u64);
            while at < end {
                let next = end.min(at + writer.fragment() as u64);
                writer.send_file(3, &file, at..next, next == end).await.unwrap();
                at = next;
            }
            drop(writer);
        };
        let ((lengths, joined, control), ()) = tokio::join!(came(theirs), sending);
        assert!(joined == [b"queued", &data[..]].concat(), "the data set changed on its way");
        assert_eq!(control, IS_LAST);
        assert!(lengths.iter().all(|&length| length <= 131_072), "{lengths:?}");
    }

    #[tokio::test]
    async fn a_file_that_ends_too_early_ends_the_association() {
        let (mut writer, _theirs) = by_socket().await;
        writer.establish(131_072);
        let error = writer.send_file(3, &file(&[7; 1000]), 500..1500, true).await.unwrap_err();
        assert!(matches!(&error, Error::GivenUp(why) if why.contains("ends too early")), "{error}");
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_of_a_file_is_not_waited_for_for_ever() {
        let (mut writer, _theirs) = by_socket().await;
        writer.patience = Duration::from_millis(50);
        writer.establish(0);
        let data = file(&vec![7; 64 << 20]);
        let mut taken = 0..u64::try_from(writer.fragment()).unwrap();
        let error = loop {
            match writer.send_file(3, &data, taken.clone(), false).await {
                Ok(()) if taken.end < 63 << 20 => taken = taken.end..taken.end + taken.end - taken.start,
                ended => break ended.unwrap_err(),
            }
        };
        assert!(matches!(error, Error::Silent(_)), "{error}");
    }

    #[rstest]
    #[case::small_fragments(16384)]
    #[case::no_socket(0)]
    #[tokio::test]
    async fn files_are_copied_where_that_is_less_or_the_only_way(#[case] max_length: u32) {
        let (mut writer, _theirs) = by_socket().await;
        writer.establish(max_length);
        assert_eq!(writer.is_by_files(), max_length == 0);
        writer.through(|_| None);
        assert!(!writer.is_by_files());
        assert!(writer.send_file(3, &file(&[7; 8]), 0..8, true).await.is_err());
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
