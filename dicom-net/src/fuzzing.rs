//! What the fuzzer of `make fuzz` feeds (feature `fuzzing`, which adds this module and changes nothing).
//!
//! Each function takes any bytes and gives a number that tells outcomes apart: the same bytes, the same number. None may
//! panic, take long, or hold much more than it is given.

use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use bytes::Bytes;
use dicom_store::model::{AeTitle, Attributes, Encoding, SopClassUid, TransferSyntaxUid};
use dicom_ul::pdu::Pdu;
use futures_util::FutureExt;
use tokio::runtime::Builder;

use crate::dimse::{Request, Response, Status};
use crate::error::Error;
use crate::scp::offered;
use crate::ul::{self, AbortReason, PduReader, PresentationContext, Received, Terms};

/// What was seen so far, by its shape.
#[derive(Default)]
struct Seen(DefaultHasher);

impl Seen {
    fn note(&mut self, what: impl Hash) {
        what.hash(&mut self.0);
    }

    /// Of an error its kind and its words, which name what was wrong.
    fn fail(&mut self, error: &impl Debug) {
        let text = format!("{error:?}");
        self.note(text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>());
    }

    fn end(self) -> u64 {
        self.0.finish()
    }
}

/// The magnitude of a count: counts that differ little are no news.
fn about(count: usize) -> u32 {
    usize::BITS - count.leading_zeros()
}

/// The body of an A-ASSOCIATE PDU; a request is negotiated as well, and its answer written.
pub fn associate(bytes: &[u8]) -> u64 {
    let mut seen = Seen::default();
    match ul::read_rq(Bytes::copy_from_slice(bytes)) {
        Ok(request) => {
            let offered = offered(&request);
            let terms = Terms {
                called: &[],
                max_length: 16384,
                operations: 4,
                confirms_identity: true,
                wanted: &[],
                services: &offered,
            };
            seen.note((about(request.presentation_contexts.len()), about(request.user_variables.len())));
            match ul::agree(&request, &terms) {
                Ok(agreement) => {
                    let results = agreement.answer.presentation_contexts.iter();
                    results.for_each(|result| seen.note(format!("{:?}", result.reason)));
                    seen.note((agreement.operations, about(agreement.extended.len())));
                    seen.note(ul::write(&Pdu::AssociationAC(agreement.answer)).is_ok());
                }
                Err(rejection) => seen.note((rejection.source, rejection.reason)),
            }
        }
        Err(error) => seen.fail(&error),
    }
    match ul::read_ac(Bytes::copy_from_slice(bytes)) {
        Ok(accepted) => seen.note(about(accepted.presentation_contexts.len())),
        Err(error) => seen.fail(&error),
    }
    seen.end()
}

/// A connection from its first byte, as an acceptor reads it.
pub fn connection(bytes: &[u8]) -> u64 {
    let mut seen = Seen::default();
    let limits = ul::Limits { artim: Duration::from_secs(1), patience: Duration::from_secs(1) };
    let Ok(runtime) = Builder::new_current_thread().enable_time().build() else { return seen.end() };
    // Everything is here already: what would have to wait for more is at its end.
    match runtime.block_on(ul::accept(bytes, tokio::io::sink(), limits)) {
        Ok(requested) => seen.note(about(requested.request.presentation_contexts.len())),
        Err(refused) => seen.fail(&refused.error),
    }
    seen.end()
}

/// PDUs on an established association: P-DATA-TF with their PDVs, release, abort.
pub fn p_data(bytes: &[u8]) -> u64 {
    let mut seen = Seen::default();
    let contexts = [1, 3].map(|id| PresentationContext {
        id,
        abstract_syntax: SopClassUid::parse("1.2.840.10008.5.1.4.1.1.2").expect("a UID"),
        transfer_syntax: TransferSyntaxUid::parse("1.2.840.10008.1.2.1").expect("a UID"),
        requestor_is_scp: false,
    });
    let mut reader = PduReader::on_established(bytes, 16384, contexts.into_iter().collect());
    let read = async {
        loop {
            let Received::Command { context, command } = reader.next().await? else {
                return Ok::<_, Error>("release");
            };
            seen.note((context, about(command.len())));
            let request = Request::read(command).ok_or_else(|| {
                Error::protocol(AbortReason::InvalidParameter, "a command set cannot be read")
            })?;
            if !has_data_set(&request) {
                continue;
            }
            let mut length = 0;
            loop {
                let fragment = reader.data(context).await?;
                length += fragment.bytes.len();
                if fragment.is_last {
                    break;
                }
            }
            seen.note(about(length));
        }
    };
    match read.now_or_never() {
        Some(Ok(end)) => seen.note(end),
        Some(Err(error)) => seen.fail(&error),
        None => seen.note("waits"),
    }
    seen.end()
}

fn has_data_set(request: &Request) -> bool {
    match request {
        Request::CEcho(request) => request.identity.has_data_set,
        Request::CStore(request) => request.identity.has_data_set,
        Request::CFind(request) => request.identity.has_data_set,
        Request::CGet(request) => request.identity.has_data_set,
        Request::CMove(request) => request.identity.has_data_set,
        Request::NAction(request) => request.identity.has_data_set,
        Request::NEventReport(request) => request.identity.has_data_set,
        Request::NCreate(request) => request.identity.has_data_set,
        Request::NSet(request) => request.identity.has_data_set,
        Request::NGet(request) => request.identity.has_data_set,
        Request::Response(response) => response.has_data_set(),
        Request::Other(identity) => identity.has_data_set,
        Request::CCancel(_) => false,
    }
}

/// A command set, and the response to it.
pub fn command_set(bytes: &[u8]) -> u64 {
    let mut seen = Seen::default();
    let Some(request) = Request::read(Bytes::copy_from_slice(bytes)) else { return seen.end() };
    seen.note(std::mem::discriminant(&request));
    seen.note(has_data_set(&request));
    let identity = match request {
        Request::CEcho(request) => request.identity,
        Request::CStore(request) => {
            seen.note(request.move_originator.is_some());
            request.identity
        }
        Request::CFind(request) => request.identity,
        Request::CGet(request) => request.identity,
        Request::CMove(request) => {
            seen.note(AeTitle::parse(&request.destination).is_ok());
            request.identity
        }
        Request::NAction(request) => {
            seen.note(request.action_type);
            request.identity
        }
        Request::NEventReport(request) => {
            seen.note(request.event_type);
            request.identity
        }
        Request::NCreate(request) => request.identity,
        Request::NSet(request) => request.identity,
        Request::NGet(request) => {
            seen.note(about(request.attributes.len()));
            request.identity
        }
        Request::Other(identity) => identity,
        Request::Response(response) => {
            seen.note(response.status.is_warning());
            return seen.end();
        }
        Request::CCancel(_) => return seen.end(),
    };
    seen.note((about(identity.sop_class.len()), about(identity.sop_instance.len())));
    let response = Response::new(&identity, Status::SUCCESS).because(&identity.sop_class).write();
    seen.note(Request::read(response).is_some());
    seen.end()
}

/// A data set, the first byte of which says in which encoding it is.
pub fn data_set(bytes: &[u8]) -> u64 {
    let mut seen = Seen::default();
    let Some((first, rest)) = bytes.split_first() else { return seen.end() };
    let encoding = match first % 3 {
        0 => Encoding::ExplicitLittle,
        1 => Encoding::ImplicitLittle,
        _ => Encoding::ExplicitBig,
    };
    seen.note(first % 3);
    match Attributes::read(Bytes::copy_from_slice(rest), encoding) {
        Ok(attributes) => {
            seen.note(about(attributes.len()));
            attributes.iter().for_each(|element| seen.note(format!("{:?}", element.vr)));
            seen.note(about(attributes.write(Encoding::ExplicitLittle).len()));
        }
        Err(error) => seen.fail(&error.what),
    }
    seen.end()
}
