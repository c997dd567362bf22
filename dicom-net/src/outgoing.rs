//! Objects on their way out of the archive: as they are stored, or as a peer takes them; read ahead of
//! the network, never whole in memory.

mod outlet;

use std::iter::Enumerate;
use std::vec::IntoIter;

use bytes::Bytes;
use dicom_store::model::{Error, ErrorKind, Instance, Result, TransferSyntaxUid, transfer_syntax};
use dicom_store::{FilePart, Pressure, ReadAhead, Session};
use futures_util::TryStreamExt;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;
use worker::CpuPool;
use worker::transcode;

use crate::ul::PresentationContext;
use outlet::Outlet;

/// Pieces that are read before they are asked for, beside the two that are known not to be the last; a piece is a
/// step of the object, or a decoded frame. A peer that takes nothing holds no more than these.
const AHEAD: usize = 1;

/// In which form an instance goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    /// Byte for byte.
    AsStored,
    /// Written anew in that transfer syntax, with the same SOP Instance UID: nothing is lost that was still there
    /// (PS3.4 §C.4.2.3).
    In(TransferSyntaxUid),
}

/// The context on which an instance goes out, and its form: in the first of the transfer syntaxes that are `wanted`, as far
/// as they can be had and the peer takes them; as it is stored if the peer takes that; else in Explicit, else in Implicit
/// VR Little Endian; else compressed without loss, in the first syntax of those that it takes.
pub(crate) fn way_out<'a>(
    contexts: impl Iterator<Item = &'a PresentationContext>,
    instance: &Instance,
    wanted: &[TransferSyntaxUid],
) -> Option<(u8, Form)> {
    let of_class = contexts.filter(|context| context.abstract_syntax == instance.sop_class);
    let forms = of_class.filter_map(|context| {
        let rank = wanted.iter().position(|syntax| *syntax == context.transfer_syntax);
        Some((rank.unwrap_or(wanted.len()), context.id, form_in(context, instance)?))
    });
    // What is wanted, then the stored form, then the order of the encodings.
    let best = forms.min_by_key(|(rank, _, form)| {
        let form = match form {
            Form::AsStored => 0,
            Form::In(syntax) if syntax.is(transfer_syntax::EXPLICIT_LITTLE) => 1,
            Form::In(syntax) if syntax.is(transfer_syntax::IMPLICIT_LITTLE) => 2,
            Form::In(_) => 3,
        };
        (*rank, form)
    });
    best.map(|(_, id, form)| (id, form))
}

fn form_in(context: &PresentationContext, instance: &Instance) -> Option<Form> {
    let wanted = &context.transfer_syntax;
    if *wanted == instance.transfer_syntax {
        return Some(Form::AsStored);
    }
    transcode::is_possible(instance, wanted).then(|| Form::In(wanted.clone()))
}

/// A piece of a data set. Pieces have an even length, but for the last of an object.
pub(crate) enum Piece {
    Data {
        bytes: Bytes,
        is_last: bool,
    },
    /// All of an object, where it lies.
    File(FilePart),
    /// The object cannot be read (any further); the next piece is of the next object.
    Failed(Error),
}

/// The data sets of instances, one after the other.
pub(crate) struct Outgoing {
    session: Session,
    pool: CpuPool,
    instances: Enumerate<IntoIter<(Instance, Form)>>,
    /// Whether objects go out where they lie, as far as they do.
    by_files: bool,
    ahead: ReadAhead,
    /// What was begun before it is asked for.
    begun: Option<Begun>,
    pressure: Pressure,
}

/// An object under way.
enum Begun {
    File(FilePart),
    Reading { pieces: mpsc::Receiver<Piece>, _reading: AbortOnDropHandle<()> },
}

impl Outgoing {
    /// `by_files`: whoever sends them can have the system send a part of a file.
    pub(crate) fn new(
        session: Session,
        pool: CpuPool,
        instances: Vec<(Instance, Form)>,
        by_files: bool,
    ) -> Self {
        let ahead = session.read_ahead(instances.iter().map(|(instance, _)| instance));
        let pressure = session.pressure();
        let instances = instances.into_iter().enumerate();
        Self { session, pool, instances, by_files, ahead, begun: None, pressure }
    }

    /// Waits while a piece is sent, until the peer has taken nothing of it for so long that others need its memory.
    pub(crate) async fn are_needed(&self) {
        self.pressure.ended().await;
    }

    /// The next piece of the object under way, or the first of the next one. What comes behind an object is begun with
    /// its last piece.
    pub(crate) async fn next(&mut self) -> Piece {
        if self.begun.is_none() {
            self.begun = self.begin().await;
        }
        let piece = match &mut self.begun {
            Some(Begun::File(part)) => Piece::File(part.clone()),
            Some(Begun::Reading { pieces, .. }) => pieces.recv().await.unwrap_or_else(ended),
            None => ended(),
        };
        if !matches!(piece, Piece::Data { is_last: false, .. }) {
            self.begun = self.begin().await;
        }
        piece
    }

    /// Begins with the next object: where it lies, or by reading it.
    async fn begin(&mut self) -> Option<Begun> {
        let (number, (instance, form)) = self.instances.next()?;
        self.ahead.reached(number);
        if self.by_files
            && form == Form::AsStored
            && let Ok(Some(part)) = self.session.data_set_in_file(&instance).await
        {
            return Some(Begun::File(part));
        }
        let (sender, pieces) = mpsc::channel(AHEAD);
        let (session, pool) = (self.session.clone(), self.pool.clone());
        let reading = async move {
            let mut outlet = Outlet::new(&sender);
            let read = match form {
                Form::AsStored => as_stored(&session, &instance, &mut outlet).await,
                Form::In(syntax) => recoded(&session, &pool, &instance, &syntax, &mut outlet).await,
            };
            outlet.close(read).await;
        };
        let reading = AbortOnDropHandle::new(tokio::spawn(reading.in_current_span()));
        Some(Begun::Reading { pieces, _reading: reading })
    }
}

fn ended() -> Piece {
    Piece::Failed(Error::new(ErrorKind::Internal, "reading ended before the object did"))
}

async fn as_stored(session: &Session, instance: &Instance, outlet: &mut Outlet<'_>) -> Result<()> {
    let mut stream = std::pin::pin!(session.open_data_set(instance));
    while let Some(chunk) = stream.try_next().await? {
        outlet.put(chunk).await;
    }
    Ok(())
}

async fn recoded(
    session: &Session,
    pool: &CpuPool,
    instance: &Instance,
    syntax: &TransferSyntaxUid,
    outlet: &mut Outlet<'_>,
) -> Result<()> {
    let told = |cause: worker::Error| match cause {
        worker::Error::Store(cause) => cause,
        cause => Error::new(ErrorKind::Invalid, format!("the pixel data cannot be recoded: {cause}")),
    };
    let mut data_set = transcode::data_set(session, pool, instance, syntax).await.map_err(told)?;
    while let Some(chunk) = data_set.chunks.try_next().await.map_err(told)? {
        outlet.put(chunk).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
