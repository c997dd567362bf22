//! The receiving half of an association: bytes → PDUs → PDVs (PS3.8 §9.3.5, Annex E).
//!
//! A fragment is handed on as soon as its bytes are here, as a slice of the read buffer: neither a PDV
//! nor a PDU is ever collected or copied, and a length that a peer states costs no memory.
//! Every method may be dropped while it waits and called again; nothing is lost.

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::negotiation::PresentationContexts;
use super::pdu::{
    ABORT, ASSOCIATE_AC, ASSOCIATE_RJ, ASSOCIATE_RQ, AbortReason, HEADER_LENGTH, Header, IS_COMMAND, IS_LAST,
    P_DATA_TF, PDV_HEADER_LENGTH, RELEASE_RP, RELEASE_RQ,
};
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
    Command {
        context: u8,
        command: Bytes,
    },
    Release(Release),
}

/// A-RELEASE-RQ or A-RELEASE-RP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    Request,
    Reply,
}

enum Event {
    Fragment(Fragment),
    Release(Release),
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
}

impl<R: AsyncRead + Unpin> PduReader<R> {
    pub(super) fn new(stream: R) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            read_size: FIRST_READ,
            max_length: 0,
            contexts: PresentationContexts::default(),
            pdu_left: 0,
            pdv: None,
            empty: 0,
            skip: 0,
            command: None,
        }
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
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(Error::Closed),
            _ => Ok(()),
        }
    }

    /// A whole PDU of the association's establishment: its type and its body.
    ///
    /// # Errors
    /// `Protocol` for any other PDU, without waiting for its body; `Aborted`, `Closed`, `Io`.
    pub(super) async fn associate_pdu(&mut self) -> Result<(u8, Bytes)> {
        let header = loop {
            if let Some(header) = self.buffer.first_chunk::<HEADER_LENGTH>() {
                break Header::read(*header);
            }
            self.fill().await?;
        };
        match header.kind {
            ASSOCIATE_RQ | ASSOCIATE_AC | ASSOCIATE_RJ => {}
            ABORT => return Err(self.aborted().await),
            P_DATA_TF | RELEASE_RQ | RELEASE_RP => {
                return Err(Error::protocol(AbortReason::ServiceUser, "a PDU came before the association"));
            }
            _ => return Err(Error::protocol(AbortReason::ServiceUser, "a PDU of unknown type came first")),
        }
        if header.length > LONGEST_ASSOCIATE {
            return Err(Error::protocol(AbortReason::InvalidParameter, "an A-ASSOCIATE PDU is too long"));
        }
        let total = HEADER_LENGTH + usize::try_from(header.length).unwrap_or(usize::MAX);
        self.need(total).await?;
        let body = self.buffer.split_to(total).freeze().slice(HEADER_LENGTH..);
        Ok((header.kind, body))
    }

    /// The source and reason of the A-ABORT PDU at the front of the buffer (PS3.8 §9.3.8).
    async fn aborted(&mut self) -> Error {
        if let Err(error) = self.need(HEADER_LENGTH + 4).await {
            return error;
        }
        let at = |index: usize| self.buffer.get(index).copied().unwrap_or(0);
        Error::Aborted { source_code: at(HEADER_LENGTH + 2), reason: at(HEADER_LENGTH + 3) }
    }

    /// The next command set, or the peer's wish to release.
    ///
    /// # Errors
    /// `Protocol` when a data set comes instead, or a PDU that is not allowed here; `Aborted`, `Closed`, `Io`.
    pub async fn next(&mut self) -> Result<Received> {
        loop {
            let fragment = match self.event().await? {
                Event::Fragment(fragment) => fragment,
                Event::Release(release) => return Ok(Received::Release(release)),
            };
            if let Some((context, command)) = self.take_command(fragment)? {
                return Ok(Received::Command { context, command });
            }
        }
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
        match self.event().await? {
            Event::Fragment(fragment) if !fragment.is_command && fragment.context == context => Ok(fragment),
            Event::Fragment(_) => {
                let what = "another message began before the data set was complete";
                Err(Error::protocol(AbortReason::UnexpectedParameter, what))
            }
            Event::Release(_) => Err(Error::protocol(
                AbortReason::UnexpectedPdu,
                "a release came before the data set was complete",
            )),
        }
    }

    /// The next release PDU; data before it is passed over (PS3.8 §9.2 AR-6).
    pub(super) async fn release(&mut self) -> Result<Release> {
        loop {
            if let Event::Release(release) = self.event().await? {
                return Ok(release);
            }
        }
    }

    async fn event(&mut self) -> Result<Event> {
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
                return Ok(Event::Fragment(fragment));
            } else if self.pdu_left > 0 {
                self.begin_pdv().await?;
            } else if let Some(event) = self.begin_pdu().await? {
                return Ok(event);
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

    /// Reads the header of a PDU on an established association (PS3.8 Table 9-10, Sta6).
    async fn begin_pdu(&mut self) -> Result<Option<Event>> {
        let header = loop {
            if let Some(header) = self.buffer.first_chunk::<HEADER_LENGTH>() {
                break Header::read(*header);
            }
            self.fill().await?;
        };
        match header.kind {
            P_DATA_TF => {
                if header.length > self.max_length {
                    let what = "a P-DATA-TF is longer than the maximum length that was announced";
                    return Err(Error::protocol(AbortReason::InvalidParameter, what));
                }
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
                self.buffer.advance(HEADER_LENGTH);
                self.skip = usize::try_from(header.length).unwrap_or(usize::MAX);
                let is_request = header.kind == RELEASE_RQ;
                Ok(Some(Event::Release(if is_request { Release::Request } else { Release::Reply })))
            }
            ABORT => Err(self.aborted().await),
            ASSOCIATE_RQ | ASSOCIATE_AC | ASSOCIATE_RJ => {
                Err(Error::protocol(AbortReason::UnexpectedPdu, "an A-ASSOCIATE PDU came on the association"))
            }
            _ => Err(Error::protocol(AbortReason::UnrecognizedPdu, "a PDU of unknown type came")),
        }
    }

    /// Passes over the PDUs that still come, until the peer closes or aborts (PS3.8 §9.2 AA-2, AA-6).
    pub(super) async fn pass_over(&mut self) {
        loop {
            if self.need(self.skip + HEADER_LENGTH).await.is_err() {
                return;
            }
            self.buffer.advance(self.skip);
            let Some(header) = self.buffer.first_chunk::<HEADER_LENGTH>() else { return };
            let header = Header::read(*header);
            if header.kind == ABORT || header.length > self.max_length.max(LONGEST_ASSOCIATE) {
                return;
            }
            self.buffer.advance(HEADER_LENGTH);
            self.skip = usize::try_from(header.length).unwrap_or(usize::MAX);
        }
    }

    /// Throws away what still comes, until the peer closes: after a broken PDU nobody knows where the next
    /// one begins.
    pub(super) async fn drain(&mut self) {
        while self.fill().await.is_ok() {
            self.buffer.clear();
        }
    }
}

#[cfg(test)]
mod tests;
