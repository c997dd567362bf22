//! The receiving half of an association: bytes → PDUs → PDVs (PS3.8 §9.3.5, Annex E).
//!
//! A fragment is handed on as soon as its bytes are here, as a slice of the read buffer: neither a PDV
//! nor a PDU is ever collected or copied, and a length that a peer states costs no memory.
//! Every method may be dropped while it waits and called again; nothing is lost.

use bytes::{Buf, Bytes, BytesMut};
use dicom_ul::pdu::{AssociationAC, AssociationRQ};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::associate::{read_ac, read_rj, read_rq};
use super::negotiation::PresentationContexts;
use super::pdu::{
    ABORT, ASSOCIATE_AC, ASSOCIATE_RJ, ASSOCIATE_RQ, AbortReason, HEADER_LENGTH, Header, IS_COMMAND, IS_LAST,
    P_DATA_TF, PDV_HEADER_LENGTH, RELEASE_RP, RELEASE_RQ, Rejection,
};
use super::state::{Action, Event, Machine};
use crate::error::{Error, Result};

/// Read at once while the association is asked for; most requests fit.
const FIRST_READ: usize = 8 * 1024;

/// Read at once on an established association.
const READ: usize = 256 * 1024;

/// With less room than this left in the read buffer a new one is taken.
const LEAST_ROOM: usize = 16 * 1024;

/// An A-ASSOCIATE PDU may be this long: 128 contexts of 40 transfer syntaxes, and a ticket or assertion.
const LONGEST_ASSOCIATE: u32 = 256 * 1024;

/// A command set may be this long; a real one has some hundred bytes.
const LONGEST_COMMAND: usize = 64 * 1024;

/// So many PDVs of a message, and PDUs before its last one, may be empty. Real peers send one at most, in
/// place of a data set that is empty or as its last; each takes work and brings the message no further.
const MOST_EMPTY: u32 = 1000;

/// Part of a presentation data value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    pub context: u8,
    pub is_command: bool,
    /// The command set or data set ends with these bytes.
    pub is_last: bool,
    pub bytes: Bytes,
}

/// What a peer may begin between two messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A whole command set; a data set may follow, as the command says.
    Command { context: u8, command: Bytes },
    /// It asks for release.
    Release,
}

/// What belongs to the establishment of an association.
pub(super) enum Associate {
    Request(AssociationRQ),
    Accepted(AssociationAC),
    Rejected(Rejection),
}

/// What came on an established association.
enum Came {
    Fragment(Fragment),
    /// A release PDU, and what the table says of it: AR-2, AR-3, AR-8 or AR-10.
    Release(Action),
}

/// The event of a PDU, by its type.
fn event_of(kind: u8) -> Event {
    match kind {
        ASSOCIATE_RQ => Event::AssociateRqPdu,
        ASSOCIATE_AC => Event::AssociateAcPdu,
        ASSOCIATE_RJ => Event::AssociateRjPdu,
        P_DATA_TF => Event::PDataTfPdu,
        RELEASE_RQ => Event::ReleaseRqPdu,
        RELEASE_RP => Event::ReleaseRpPdu,
        ABORT => Event::AbortPdu,
        _ => Event::InvalidPdu,
    }
}

/// Header of the PDV under way and what is still to come of it.
#[derive(Clone, Copy)]
struct Pdv {
    context: u8,
    control: u8,
    left: usize,
}

/// Reads PDUs from a byte stream.
pub struct PduReader<R> {
    stream: R,
    machine: Machine,
    buffer: BytesMut,
    read_size: usize,
    /// The maximum length that we announced; 0 before the association is established.
    max_length: u32,
    contexts: PresentationContexts,
    /// Bytes of the P-DATA-TF under way that were not taken yet, without those of `pdv`.
    pdu_left: usize,
    pdv: Option<Pdv>,
    /// Empty PDUs and PDVs since the last message.
    empty: u32,
    /// Bytes of a release PDU that mean nothing and are still to be thrown away.
    skip: usize,
    /// The command set under way, and its context.
    command: Option<(u8, BytesMut)>,
    /// What was read and is not to be dealt with yet.
    held: Option<Received>,
}

impl<R: AsyncRead + Unpin> PduReader<R> {
    pub(super) fn new(stream: R, machine: Machine) -> Self {
        Self {
            stream,
            machine,
            buffer: BytesMut::new(),
            read_size: FIRST_READ,
            max_length: 0,
            contexts: PresentationContexts::default(),
            pdu_left: 0,
            pdv: None,
            empty: 0,
            skip: 0,
            command: None,
            held: None,
        }
    }

    /// One on an association that was accepted, for the fuzzer.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn on_established(stream: R, max_length: u32, contexts: PresentationContexts) -> Self {
        let mut reader = Self::new(stream, Machine::established());
        reader.establish(max_length, contexts);
        reader
    }

    pub(super) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// From here on P-DATA-TF of up to `max_length` bytes are taken, on these contexts.
    pub(super) fn establish(&mut self, max_length: u32, contexts: PresentationContexts) {
        self.max_length = max_length;
        self.contexts = contexts;
        self.read_size = READ;
    }

    /// Waits until at least `wanted` bytes are in the buffer.
    async fn need(&mut self, wanted: usize) -> Result<()> {
        while self.buffer.len() < wanted {
            self.fill().await?;
        }
        Ok(())
    }

    async fn fill(&mut self) -> Result<()> {
        if self.buffer.capacity() - self.buffer.len() < LEAST_ROOM.min(self.read_size) {
            self.buffer.reserve(self.read_size);
        }
        let read = self.stream.read_buf(&mut self.buffer).await;
        if !matches!(read, Ok(1..)) {
            self.machine.on(Event::TransportClosed);
        }
        match read? {
            0 => Err(Error::Closed),
            _ => Ok(()),
        }
    }

    async fn header(&mut self) -> Result<Header> {
        loop {
            if let Some(header) = self.buffer.first_chunk::<HEADER_LENGTH>() {
                return Ok(Header::read(*header));
            }
            self.fill().await?;
        }
    }

    /// The PDU that the establishment of an association waits for.
    ///
    /// # Errors
    /// `Protocol` for any other PDU, without waiting for its body; `Aborted`, `Closed`, `Io`.
    pub(super) async fn associate(&mut self) -> Result<Associate> {
        let header = self.header().await?;
        let event = match header.kind {
            ABORT => return Err(self.aborted().await),
            ASSOCIATE_RQ | ASSOCIATE_AC | ASSOCIATE_RJ => event_of(header.kind),
            P_DATA_TF | RELEASE_RQ | RELEASE_RP => {
                self.machine.receive(event_of(header.kind))?;
                return Err(Error::protocol(AbortReason::UnexpectedPdu, "a PDU came before the association"));
            }
            _ => {
                return Err(Error::protocol(
                    AbortReason::UnrecognizedPdu,
                    "a PDU of unknown type came first",
                ));
            }
        };
        if header.length > LONGEST_ASSOCIATE {
            return Err(Error::protocol(AbortReason::InvalidParameter, "an A-ASSOCIATE PDU is too long"));
        }
        let total = HEADER_LENGTH + usize::try_from(header.length).unwrap_or(usize::MAX);
        self.need(total).await?;
        let body = self.buffer.split_to(total).freeze().slice(HEADER_LENGTH..);
        // One that cannot be read is not the PDU that it says it is.
        let associate = match header.kind {
            ASSOCIATE_RQ => Associate::Request(read_rq(body)?),
            ASSOCIATE_AC => Associate::Accepted(read_ac(body)?),
            _ => Associate::Rejected(read_rj(&body)),
        };
        self.machine.receive(event)?;
        Ok(associate)
    }

    /// The source and reason of the A-ABORT PDU at the front of the buffer (PS3.8 §9.3.8).
    async fn aborted(&mut self) -> Error {
        if let Err(error) = self.need(HEADER_LENGTH + 4).await {
            return error;
        }
        self.machine.on(Event::AbortPdu);
        let at = |index: usize| self.buffer.get(index).copied().unwrap_or(0);
        Error::Aborted { source_code: at(HEADER_LENGTH + 2), reason: at(HEADER_LENGTH + 3) }
    }

    /// The next command set, or the peer's wish to release.
    ///
    /// # Errors
    /// `Protocol` when a data set comes instead, or a PDU that is not allowed here; `Aborted`, `Closed`, `Io`.
    pub async fn next(&mut self) -> Result<Received> {
        if let Some(held) = self.held.take() {
            return Ok(held);
        }
        loop {
            let fragment = match self.came().await? {
                Came::Fragment(fragment) => fragment,
                Came::Release(_) => return Ok(Received::Release),
            };
            if let Some((context, command)) = self.take_command(fragment)? {
                return Ok(Received::Command { context, command });
            }
        }
    }

    /// Puts back what [`next`](Self::next) has given, to be dealt with later.
    pub fn hold(&mut self, received: Received) {
        self.held = Some(received);
    }

    /// Whether something was put back: nothing behind it may be read before.
    pub fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    /// Adds a fragment to the command under way and gives the command when that was its last.
    fn take_command(&mut self, fragment: Fragment) -> Result<Option<(u8, Bytes)>> {
        if !fragment.is_command {
            let what = "a data set came where a command was expected";
            return Err(Error::protocol(AbortReason::UnexpectedParameter, what));
        }
        let Some((context, mut collected)) = self.command.take() else {
            if fragment.is_last {
                return Ok(Some((fragment.context, fragment.bytes)));
            }
            self.command = Some((fragment.context, BytesMut::from(&fragment.bytes[..])));
            return Ok(None);
        };
        if context != fragment.context {
            let what = "fragments of one command came on two presentation contexts";
            return Err(Error::protocol(AbortReason::InvalidParameter, what));
        }
        if collected.len() + fragment.bytes.len() > LONGEST_COMMAND {
            return Err(Error::protocol(AbortReason::InvalidParameter, "a command set is too long"));
        }
        collected.extend_from_slice(&fragment.bytes);
        if fragment.is_last {
            return Ok(Some((context, collected.freeze())));
        }
        self.command = Some((context, collected));
        Ok(None)
    }

    /// The next part of the data set that follows a command on `context`.
    ///
    /// # Errors
    /// `Protocol` when anything else comes; `Aborted`, `Closed`, `Io`.
    pub async fn data(&mut self, context: u8) -> Result<Fragment> {
        match self.came().await? {
            Came::Fragment(fragment) if !fragment.is_command && fragment.context == context => Ok(fragment),
            Came::Fragment(_) => {
                let what = "another message began before the data set was complete";
                Err(Error::protocol(AbortReason::UnexpectedParameter, what))
            }
            Came::Release(_) => Err(Error::protocol(
                AbortReason::UnexpectedPdu,
                "a release came before the data set was complete",
            )),
        }
    }

    /// What is to be done about the next release PDU: AR-2, AR-3, AR-8 or AR-10. Data before it are passed over (AR-6).
    pub(super) async fn release(&mut self) -> Result<Action> {
        loop {
            if let Came::Release(action) = self.came().await? {
                return Ok(action);
            }
        }
    }

    async fn came(&mut self) -> Result<Came> {
        loop {
            if self.skip > 0 {
                self.need(1).await?;
                let count = self.skip.min(self.buffer.len());
                self.buffer.advance(count);
                self.skip -= count;
            } else if let Some(pdv) = self.pdv {
                if pdv.left > 0 {
                    self.need(1).await?;
                }
                let fragment = self.fragment(pdv);
                if fragment.is_last {
                    self.empty = 0;
                } else if fragment.bytes.is_empty() {
                    self.count_empty()?;
                }
                return Ok(Came::Fragment(fragment));
            } else if self.pdu_left > 0 {
                self.begin_pdv().await?;
            } else if let Some(came) = self.begin_pdu().await? {
                return Ok(came);
            }
        }
    }

    fn count_empty(&mut self) -> Result<()> {
        self.empty += 1;
        if self.empty > MOST_EMPTY {
            let what = "a message consists of too many empty fragments";
            return Err(Error::protocol(AbortReason::InvalidParameter, what));
        }
        Ok(())
    }

    /// What is here of the PDV under way.
    fn fragment(&mut self, pdv: Pdv) -> Fragment {
        let count = pdv.left.min(self.buffer.len());
        let left = pdv.left - count;
        self.pdv = (left > 0).then_some(Pdv { left, ..pdv });
        Fragment {
            context: pdv.context,
            is_command: pdv.control & IS_COMMAND != 0,
            is_last: left == 0 && pdv.control & IS_LAST != 0,
            bytes: self.buffer.split_to(count).freeze(),
        }
    }

    async fn begin_pdv(&mut self) -> Result<()> {
        if self.pdu_left < PDV_HEADER_LENGTH {
            return Err(Error::protocol(
                AbortReason::InvalidParameter,
                "a P-DATA-TF ends within a PDV's header",
            ));
        }
        self.need(PDV_HEADER_LENGTH).await?;
        let length = usize::try_from(self.buffer.get_u32()).unwrap_or(usize::MAX);
        let context = self.buffer.get_u8();
        let control = self.buffer.get_u8();
        // The item's length counts the context and the control byte, but not itself.
        if length < 2 || length > self.pdu_left - 4 {
            return Err(Error::protocol(AbortReason::InvalidParameter, "the length of a PDV is wrong"));
        }
        if self.contexts.get(context).is_none() {
            let what = "a PDV names a presentation context that was not accepted";
            return Err(Error::protocol(AbortReason::InvalidParameter, what));
        }
        self.pdu_left -= 4 + length;
        self.pdv = Some(Pdv { context, control, left: length - 2 });
        Ok(())
    }

    /// Reads the header of a PDU on an established association; the table says whether it may come now.
    async fn begin_pdu(&mut self) -> Result<Option<Came>> {
        let header = self.header().await?;
        match header.kind {
            P_DATA_TF => {
                if header.length > self.max_length {
                    let what = "a P-DATA-TF is longer than the maximum length that was announced";
                    return Err(Error::protocol(AbortReason::InvalidParameter, what));
                }
                self.machine.receive(Event::PDataTfPdu)?;
                self.buffer.advance(HEADER_LENGTH);
                self.pdu_left = usize::try_from(header.length).unwrap_or(usize::MAX);
                if self.pdu_left == 0 {
                    self.count_empty()?;
                }
                Ok(None)
            }
            RELEASE_RQ | RELEASE_RP => {
                if header.length > self.max_length.max(4) {
                    return Err(Error::protocol(AbortReason::InvalidParameter, "a release PDU is too long"));
                }
                let action = self.machine.receive(event_of(header.kind))?;
                self.buffer.advance(HEADER_LENGTH);
                self.skip = usize::try_from(header.length).unwrap_or(usize::MAX);
                Ok(Some(Came::Release(action)))
            }
            ABORT => Err(self.aborted().await),
            ASSOCIATE_RQ | ASSOCIATE_AC | ASSOCIATE_RJ => {
                self.machine.receive(event_of(header.kind))?;
                Err(Error::protocol(AbortReason::UnexpectedPdu, "an A-ASSOCIATE PDU came on the association"))
            }
            _ => Err(Error::protocol(AbortReason::UnrecognizedPdu, "a PDU of unknown type came")),
        }
    }

    /// What is to be done about the next PDU after the last word was said (Sta13): its body is passed over by the next
    /// call. `None` when the connection is closed.
    pub(super) async fn late(&mut self) -> Option<Action> {
        self.need(self.skip + HEADER_LENGTH).await.ok()?;
        self.buffer.advance(self.skip);
        let header = self.header().await.ok()?;
        self.buffer.advance(HEADER_LENGTH);
        let is_too_long = header.length > self.max_length.max(LONGEST_ASSOCIATE);
        self.skip = usize::try_from(header.length).unwrap_or(usize::MAX);
        self.machine.on(if is_too_long { Event::InvalidPdu } else { event_of(header.kind) })
    }

    /// Throws away what still comes, until the peer closes: after a broken PDU nobody knows where the next
    /// one begins.
    pub(super) async fn drain(&mut self) {
        self.buffer.clear();
        while self.fill().await.is_ok() {
            self.buffer.clear();
        }
    }
}

#[cfg(test)]
mod tests;
