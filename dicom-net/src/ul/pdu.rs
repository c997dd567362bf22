//! PDU types, their headers, and the small PDUs (PS3.8 §9.3).

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use dicom_ul::pdu::{Pdu, write_pdu};

use crate::error::{Error, Result};

/// The DICOM application context name (PS3.7 §A.2.1).
pub const APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";

/// PDU-type, a reserved byte and PDU-length (PS3.8 §9.3.1).
pub(super) const HEADER_LENGTH: usize = 6;

/// Item-length, Presentation-context-ID and message control header (PS3.8 §9.3.5.1, §E.2).
pub(super) const PDV_HEADER_LENGTH: usize = 6;

pub(super) const ASSOCIATE_RQ: u8 = 0x01;
pub(super) const ASSOCIATE_AC: u8 = 0x02;
pub(super) const ASSOCIATE_RJ: u8 = 0x03;
pub(super) const P_DATA_TF: u8 = 0x04;
pub(super) const RELEASE_RQ: u8 = 0x05;
pub(super) const RELEASE_RP: u8 = 0x06;
pub(super) const ABORT: u8 = 0x07;

/// Bits of the message control header (PS3.8 §E.2).
pub(super) const IS_COMMAND: u8 = 0b01;
pub(super) const IS_LAST: u8 = 0b10;

/// Source and reason of an A-ABORT PDU that we send (PS3.8 §9.3.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AbortReason {
    /// Source 0: the DICOM UL service-user, that is the layers above this one.
    ServiceUser,
    /// Source 2, from here on: the DICOM UL service-provider.
    NotSpecified,
    UnrecognizedPdu,
    UnexpectedPdu,
    UnrecognizedParameter,
    UnexpectedParameter,
    InvalidParameter,
}

impl AbortReason {
    const fn codes(self) -> [u8; 2] {
        match self {
            Self::ServiceUser => [0, 0],
            Self::NotSpecified => [2, 0],
            Self::UnrecognizedPdu => [2, 1],
            Self::UnexpectedPdu => [2, 2],
            Self::UnrecognizedParameter => [2, 4],
            Self::UnexpectedParameter => [2, 5],
            Self::InvalidParameter => [2, 6],
        }
    }
}

/// Result, source and reason of an A-ASSOCIATE-RJ PDU (PS3.8 §9.3.4, Table 9-21).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejection {
    pub result: u8,
    pub source: u8,
    pub reason: u8,
}

impl Rejection {
    pub const NO_REASON_GIVEN: Self = Self::new(1, 1, 1);
    pub const APPLICATION_CONTEXT_NOT_SUPPORTED: Self = Self::new(1, 1, 2);
    pub const CALLING_AE_TITLE_NOT_RECOGNIZED: Self = Self::new(1, 1, 3);
    pub const CALLED_AE_TITLE_NOT_RECOGNIZED: Self = Self::new(1, 1, 7);
    pub const PROTOCOL_VERSION_NOT_SUPPORTED: Self = Self::new(1, 2, 2);
    pub const TEMPORARY_CONGESTION: Self = Self::new(2, 3, 1);
    pub const LOCAL_LIMIT_EXCEEDED: Self = Self::new(2, 3, 2);

    pub(super) const fn new(result: u8, source: u8, reason: u8) -> Self {
        Self { result, source, reason }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match (self.source, self.reason) {
            (1, 2) => "application context name not supported",
            (1, 3) => "calling AE title not recognized",
            (1, 7) => "called AE title not recognized",
            (2, 2) => "protocol version not supported",
            (3, 1) => "temporary congestion",
            (3, 2) => "local limit exceeded",
            _ => "no reason given",
        };
        write!(f, "{words}, {}/{}/{}", self.result, self.source, self.reason)
    }
}

/// PDU-type and PDU-length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub kind: u8,
    pub length: u32,
}

impl Header {
    pub(super) const fn read(bytes: [u8; HEADER_LENGTH]) -> Self {
        let [kind, _, a, b, c, d] = bytes;
        Self { kind, length: u32::from_be_bytes([a, b, c, d]) }
    }

    pub(super) fn write(self, out: &mut impl BufMut) {
        out.put_u8(self.kind);
        out.put_u8(0);
        out.put_u32(self.length);
    }
}

/// A-RELEASE-RQ, A-RELEASE-RP, A-ASSOCIATE-RJ and A-ABORT all carry four bytes.
fn of_four_bytes(kind: u8, body: [u8; 4]) -> Bytes {
    let mut out = BytesMut::with_capacity(HEADER_LENGTH + 4);
    Header { kind, length: 4 }.write(&mut out);
    out.put_slice(&body);
    out.freeze()
}

pub(super) fn release_rq() -> Bytes {
    of_four_bytes(RELEASE_RQ, [0; 4])
}

pub(super) fn release_rp() -> Bytes {
    of_four_bytes(RELEASE_RP, [0; 4])
}

pub(super) fn abort(reason: AbortReason) -> Bytes {
    let [source, reason] = reason.codes();
    of_four_bytes(ABORT, [0, 0, source, reason])
}

pub(super) fn associate_rj(rejection: Rejection) -> Bytes {
    let Rejection { result, source, reason } = rejection;
    of_four_bytes(ASSOCIATE_RJ, [0, result, source, reason])
}

/// An A-ASSOCIATE-RQ or A-ASSOCIATE-AC as it goes on the wire.
pub(crate) fn associate(pdu: &Pdu) -> Result<Bytes> {
    let mut out = Vec::with_capacity(4096);
    write_pdu(&mut out, pdu)
        .map_err(|e| Error::GivenUp(format!("the A-ASSOCIATE PDU cannot be written: {e}")))?;
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(AbortReason::ServiceUser, [0, 0])]
    #[case(AbortReason::UnrecognizedPdu, [2, 1])]
    #[case(AbortReason::UnexpectedPdu, [2, 2])]
    #[case(AbortReason::UnrecognizedParameter, [2, 4])]
    #[case(AbortReason::UnexpectedParameter, [2, 5])]
    #[case(AbortReason::InvalidParameter, [2, 6])]
    fn an_abort_carries_source_and_reason_of_the_standard(
        #[case] reason: AbortReason,
        #[case] codes: [u8; 2],
    ) {
        assert_eq!(abort(reason)[..], [7, 0, 0, 0, 0, 4, 0, 0, codes[0], codes[1]]);
    }

    #[test]
    fn a_rejection_carries_result_source_and_reason() {
        let pdu = associate_rj(Rejection::CALLED_AE_TITLE_NOT_RECOGNIZED);
        assert_eq!(pdu[..], [3, 0, 0, 0, 0, 4, 0, 1, 1, 7]);
    }
}
