//! C-GET and C-MOVE at a peer (PS3.4 §C.4.2, §C.4.3): what it has comes here.

use std::net::IpAddr;

use dicom::dictionary_std::tags;
use dicom_store::model::{
    AeTitle, Attributes, SopClassUid, SopInstanceUid, TransferSyntaxUid, transfer_syntax,
};
use dicom_store::{Arrival, Origin, Peer, Session, Stored};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::inquiry::message_syntaxes;
use super::{TcpAssociation, connect, release};
use crate::config::Config;
use crate::dimse::{Request, Response, Status, SubOperations, c_cancel_rq, c_get_rq, c_move_rq};
use crate::error::{Error, Result};
use crate::incoming::{Paced, collect, declared, drain, receive, response};
use crate::pace::Pace;
use crate::ul::{AbortReason, PresentationContext, Received, Role};

/// Study Root Query/Retrieve Information Model - MOVE and - GET.
const MOVE: &str = "1.2.840.10008.5.1.4.1.2.2.2";
const GET: &str = "1.2.840.10008.5.1.4.1.2.2.3";
const MESSAGE_ID: u16 = 1;
/// A list of what failed may be this long.
const LONGEST: usize = 4 << 20;
/// Contexts for objects, beside the one of the C-GET itself.
const MOST_STORAGE: usize = 127;

/// How a retrieve ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Retrieved {
    pub status: Status,
    /// As the peer counted at last.
    pub counts: SubOperations,
    /// What it said it could not send.
    pub failed: Vec<SopInstanceUid>,
    /// What came on this association and is kept: by C-GET alone.
    pub stored: u64,
}

/// What is asked for, and what for.
pub(crate) struct Retrieval<'a> {
    pub config: &'a Config,
    pub peer: &'a Peer,
    pub identifier: &'a Attributes,
    /// Cancels the operation; what is under way is still taken.
    pub stop: &'a CancellationToken,
}

/// SOP classes that studies mostly consist of, where the peer does not tell which ones one has.
const COMMON: [&str; 24] = [
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.4",
    "1.2.840.10008.5.1.4.1.1.4.1",
    "1.2.840.10008.5.1.4.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.2",
    "1.2.840.10008.5.1.4.1.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.6.1",
    "1.2.840.10008.5.1.4.1.1.3.1",
    "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.1.7.2",
    "1.2.840.10008.5.1.4.1.1.7.4",
    "1.2.840.10008.5.1.4.1.1.12.1",
    "1.2.840.10008.5.1.4.1.1.12.2",
    "1.2.840.10008.5.1.4.1.1.20",
    "1.2.840.10008.5.1.4.1.1.128",
    "1.2.840.10008.5.1.4.1.1.13.1.3",
    "1.2.840.10008.5.1.4.1.1.11.1",
    "1.2.840.10008.5.1.4.1.1.88.22",
    "1.2.840.10008.5.1.4.1.1.88.59",
    "1.2.840.10008.5.1.4.1.1.88.67",
    "1.2.840.10008.5.1.4.1.1.104.1",
];

/// Transfer syntaxes that objects lie in, the commonest first.
const SYNTAXES: [&str; 22] = [
    transfer_syntax::EXPLICIT_LITTLE,
    transfer_syntax::IMPLICIT_LITTLE,
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.4.202",
    "1.2.840.10008.1.2.4.203",
    "1.2.840.10008.1.2.4.102",
    "1.2.840.10008.1.2.4.103",
    "1.2.840.10008.1.2.4.100",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.4.110",
    "1.2.840.10008.1.2.4.112",
    "1.2.840.10008.1.2.4.111",
];

/// Contexts for objects of these classes: each transfer syntax in one of its own as far as there is room, so that a peer
/// which converts nothing can send each object as it lies there; otherwise several in one, for the peer to choose.
pub(crate) fn storage_contexts(classes: &[SopClassUid]) -> Vec<(SopClassUid, Vec<TransferSyntaxUid>)> {
    let common: Vec<SopClassUid> = COMMON.iter().filter_map(|uid| SopClassUid::parse(uid).ok()).collect();
    let classes = if classes.is_empty() { common.as_slice() } else { classes };
    let syntaxes: Vec<TransferSyntaxUid> =
        SYNTAXES.iter().filter_map(|uid| TransferSyntaxUid::parse(uid).ok()).collect();
    let classes = classes.get(..MOST_STORAGE.min(classes.len())).unwrap_or_default();
    let alone = (MOST_STORAGE / classes.len().max(1)).min(syntaxes.len());
    let (single, rest) = syntaxes.split_at(alone.saturating_sub(1).min(syntaxes.len()));
    classes
        .iter()
        .flat_map(|class| {
            let single = single.iter().map(|syntax| vec![syntax.clone()]);
            single.chain((!rest.is_empty()).then(|| rest.to_vec())).map(|syntaxes| (class.clone(), syntaxes))
        })
        .collect()
}

impl Retrieval<'_> {
    /// By C-GET: objects come on this association, and are kept by the session. `None` when the peer does not take C-GET.
    ///
    /// # Errors
    /// When there is no association, or it fails: what came before is kept.
    pub(crate) async fn get(&self, session: &Session, classes: &[SopClassUid]) -> Result<Option<Retrieved>> {
        let get = SopClassUid::parse(GET).expect("the UID is well-formed");
        let mut contexts = vec![(get, message_syntaxes())];
        contexts.extend(storage_contexts(classes));
        let association = connect(self.peer, Role::ScpBut(GET), &contexts, self.config).await?;
        let context = association.contexts.iter().find(|context| context.abstract_syntax.as_str() == GET);
        let Some(context) = context.cloned() else {
            release(association, self.config.artim()).await;
            return Ok(None);
        };
        let command = c_get_rq(MESSAGE_ID, GET);
        self.run(association, &context, &command, Some(session)).await.map(Some)
    }

    /// By C-MOVE to `destination`: objects come on associations of the peer's. `None` when it does not take C-MOVE.
    ///
    /// # Errors
    /// When there is no association, or it fails.
    pub(crate) async fn move_to(&self, destination: &AeTitle) -> Result<Option<Retrieved>> {
        let class = SopClassUid::parse(MOVE).expect("the UID is well-formed");
        let association = connect(self.peer, Role::Scu, &[(class, message_syntaxes())], self.config).await?;
        let Some(context) = association.contexts.iter().next().cloned() else {
            release(association, self.config.artim()).await;
            return Ok(None);
        };
        let command = c_move_rq(MESSAGE_ID, MOVE, destination.as_str());
        self.run(association, &context, &command, None).await.map(Some)
    }

    async fn run(
        &self,
        mut association: TcpAssociation,
        context: &PresentationContext,
        command: &[u8],
        session: Option<&Session>,
    ) -> Result<Retrieved> {
        match self.converse(&mut association, context, command, session).await {
            Ok(retrieved) => {
                release(association, self.config.artim()).await;
                Ok(retrieved)
            }
            Err(error) => Err(association.abort(error).await.error),
        }
    }

    async fn converse(
        &self,
        association: &mut TcpAssociation,
        context: &PresentationContext,
        command: &[u8],
        session: Option<&Session>,
    ) -> Result<Retrieved> {
        let encoding = context.transfer_syntax.facts().encoding;
        association.writer.queue(context.id, command, Some(&self.identifier.write(encoding)));
        association.writer.flush().await?;
        let (mut counts, mut stored, mut is_cancelled) = (SubOperations::default(), 0, false);
        // Some send no pending responses, and some have to fetch from a tape first.
        let limit = self.config.idle();
        loop {
            let received = tokio::select! {
                biased;
                () = self.stop.cancelled(), if !is_cancelled => {
                    is_cancelled = true;
                    association.writer.queue(context.id, &c_cancel_rq(MESSAGE_ID), None);
                    association.writer.flush().await?;
                    continue;
                }
                received = timeout(limit, association.reader.next()) => received,
            };
            let Received::Command { context: on, command } = received.map_err(|_| Error::Silent(limit))??
            else {
                return Err(Error::protocol(AbortReason::UnexpectedPdu, "a release came during a retrieve"));
            };
            match Request::read(command) {
                Some(Request::Response(response)) if response.responds_to() == MESSAGE_ID => {
                    counts = response.counts().unwrap_or(counts);
                    if response.status.is_pending() {
                        if response.has_data_set() {
                            drain(&mut association.reader, &mut self.pace(), on).await?;
                        }
                        continue;
                    }
                    let failed = self.failed(association, context, &response).await?;
                    return Ok(Retrieved { status: response.status, counts, failed, stored });
                }
                Some(Request::CStore(request)) => {
                    let Some(session) = session else { return Err(unexpected()) };
                    let on = association.contexts.get(on).filter(|on| on.requestor_is_scp).cloned();
                    let on = on.ok_or_else(unexpected)?;
                    let response =
                        self.take(association, &on, &request.identity, session, &mut stored).await?;
                    association.writer.queue(on.id, &response.write(), None);
                    association.writer.flush().await?;
                }
                _ => return Err(unexpected()),
            }
        }
    }

    fn pace(&self) -> Pace {
        Pace::new(self.config.stall())
    }

    async fn take(
        &self,
        association: &mut TcpAssociation,
        context: &PresentationContext,
        request: &crate::dimse::Identity,
        session: &Session,
        stored: &mut u64,
    ) -> Result<Response> {
        let mut pace = self.pace();
        let (declared, instance) = match declared(context, request) {
            Ok(declared) => declared,
            Err((status, comment)) => {
                if request.has_data_set {
                    drain(&mut association.reader, &mut pace, context.id).await?;
                }
                return Ok(Response::new(request, status).because(comment));
            }
        };
        // The archive notes from whom it is; where from is in the table of peers.
        let origin = Origin::Dimse {
            calling: self.peer.ae_title.clone(),
            called: self.config.ae_title.clone(),
            address: self.peer.host.parse().unwrap_or(IpAddr::from([0, 0, 0, 0])),
        };
        let arrival = Arrival { origin, declared };
        let outcome = receive(&mut association.reader, &mut pace, context.id, session, arrival).await?;
        let is_stored = |stored: &Stored| stored.is_new() || matches!(stored, Stored::Same(_));
        *stored += u64::from(outcome.as_ref().is_ok_and(is_stored));
        Ok(response(session, request, &instance, &outcome).await)
    }

    /// The list in the data set of a final response, of what was not sent (PS3.4 §C.4.2.1.4.2).
    async fn failed(
        &self,
        association: &mut TcpAssociation,
        context: &PresentationContext,
        response: &Response,
    ) -> Result<Vec<SopInstanceUid>> {
        if !response.has_data_set() {
            return Ok(Vec::new());
        }
        let mut pace = self.pace();
        let mut data_set = Paced { reader: &mut association.reader, pace: &mut pace, context: context.id };
        let Some(list) = collect(&mut data_set, LONGEST).await? else { return Ok(Vec::new()) };
        // Whoever writes it wrongly has still ended the operation.
        let list = Attributes::read(list, context.transfer_syntax.facts().encoding);
        let uids = list.map(|list| list.texts(tags::FAILED_SOP_INSTANCE_UID_LIST)).unwrap_or_default();
        Ok(uids.iter().filter_map(|uid| SopInstanceUid::parse(uid).ok()).collect())
    }
}

fn unexpected() -> Error {
    Error::protocol(AbortReason::ServiceUser, "something else came during a retrieve")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_fit_into_one_association_and_name_each_syntax_alone_where_there_is_room() {
        let classes = |count: usize| -> Vec<SopClassUid> {
            (0..count).map(|n| SopClassUid::parse(&format!("1.2.{n}")).unwrap()).collect()
        };
        assert!(storage_contexts(&classes(1)).iter().all(|(_, syntaxes)| syntaxes.len() == 1));
        for count in [0, 1, 2, 5, 6, 30, 127, 200] {
            let contexts = storage_contexts(&classes(count));
            assert!(contexts.len() <= MOST_STORAGE, "{count}: {}", contexts.len());
            let of_first = contexts.iter().filter(|(class, _)| *class == contexts[0].0);
            let named: usize = of_first.map(|(_, syntaxes)| syntaxes.len()).sum();
            assert_eq!(named, SYNTAXES.len(), "{count}");
        }
        assert_eq!(storage_contexts(&classes(127)).len(), 127);
    }
}
