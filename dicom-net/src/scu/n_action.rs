//! N-ACTION of storage commitment at a peer (PS3.4 §J.3.2). Its report may come on the same association, for which that
//! stays open a little; otherwise it comes on one of the peer's own.

use std::time::Duration;

use bytes::Bytes;
use dicom_store::model::{Instance, SopClassUid, TransactionUid};
use dicom_store::{Peer, Work};
use tokio::time::timeout;
use tracing::debug;

use super::inquiry::message_syntaxes;
use super::normalized::MESSAGE_ID;
use super::{TcpAssociation, connect, release};
use crate::commitment::{LONGEST_LIST, REQUEST, STORAGE_COMMITMENT, WELL_KNOWN_INSTANCE, hear, information};
use crate::config::Config;
use crate::dimse::{NEventReportRq, Request, Status, n_action_rq};
use crate::error::{Error, Result};
use crate::incoming::{Paced, collect, pass_over};
use crate::pace::Pace;
use crate::ul::{AbortReason, PresentationContext, Received, Role};

/// How long the association stays open for the report.
const STAY: Duration = Duration::from_secs(10);

/// A request for storage commitment.
pub(crate) struct Commitment<'a> {
    pub config: &'a Config,
    pub peer: &'a Peer,
    /// Where reports are noted.
    pub work: &'a Work,
}

impl Commitment<'_> {
    /// Asks the peer, and returns when it has taken the request.
    ///
    /// # Errors
    /// When there is no association, no context for the class, or another answer than success.
    pub(crate) async fn request(&self, transaction: &TransactionUid, instances: &[Instance]) -> Result<()> {
        let class = SopClassUid::parse(STORAGE_COMMITMENT).expect("the UID is well-formed");
        let mut association =
            connect(self.peer, Role::Scu, &[(class, message_syntaxes())], self.config).await?;
        let Some(context) = association.contexts.iter().next().cloned() else {
            release(association, self.config.artim()).await;
            return Err(Error::GivenUp(format!("{} does not take storage commitment", self.peer.ae_title)));
        };
        let information = information(transaction, instances);
        let data = information.write(context.transfer_syntax.facts().encoding);
        let command = n_action_rq(MESSAGE_ID, STORAGE_COMMITMENT, WELL_KNOWN_INSTANCE, REQUEST);
        association.writer.queue(context.id, &command, Some(&data));
        let mut is_taken = false;
        match self.converse(&mut association, &context, &mut is_taken).await {
            Ok(End::Ours) => release(association, self.config.artim()).await,
            Ok(End::Theirs) => {
                if let Ok(linger) = association.answer_release().await {
                    linger.wait().await;
                }
            }
            Err(error) => {
                let error = association.abort(error).await.error;
                if !is_taken {
                    return Err(error);
                }
                debug!(peer = %self.peer.ae_title, %error, "the association of a request for commitment ended");
            }
        }
        if is_taken {
            return Ok(());
        }
        Err(Error::GivenUp("the peer released the association before it had answered".to_owned()))
    }

    async fn converse(
        &self,
        association: &mut TcpAssociation,
        context: &PresentationContext,
        is_taken: &mut bool,
    ) -> Result<End> {
        association.writer.flush().await?;
        let mut is_reported = false;
        while !(*is_taken && is_reported) {
            let limit = if *is_taken { STAY } else { self.config.response() };
            let command = match timeout(limit, association.reader.next()).await {
                Err(_) if *is_taken => return Ok(End::Ours),
                Err(_) => return Err(Error::Silent(limit)),
                Ok(received) => match received? {
                    Received::Release => return Ok(End::Theirs),
                    Received::Command { command, .. } => command,
                },
            };
            match Request::read(command) {
                Some(Request::Response(response)) if response.responds_to() == MESSAGE_ID && !*is_taken => {
                    if response.has_data_set() {
                        self.pass_over(association, context).await?;
                    }
                    let status = response.status;
                    if status != Status::SUCCESS && !status.is_warning() {
                        return Err(Error::Refused { operation: "N-ACTION", status });
                    }
                    *is_taken = true;
                }
                Some(Request::NEventReport(request)) => {
                    self.take(association, context, &request).await?;
                    is_reported = true;
                }
                _ => {
                    let what = "something else came where a report was expected";
                    return Err(Error::protocol(AbortReason::ServiceUser, what));
                }
            }
        }
        Ok(End::Ours)
    }

    async fn take(
        &self,
        association: &mut TcpAssociation,
        context: &PresentationContext,
        request: &NEventReportRq,
    ) -> Result<()> {
        let event = if request.identity.has_data_set {
            let mut pace = Pace::new(self.config.stall());
            let (reader, context) = (&mut association.reader, context.id);
            collect(&mut Paced { reader, pace: &mut pace, context }, LONGEST_LIST).await?
        } else {
            Some(Bytes::new())
        };
        let encoding = context.transfer_syntax.facts().encoding;
        let response = hear(self.work, &self.peer.ae_title, request, event, encoding).await;
        association.writer.queue(context.id, &response.write(), None);
        association.writer.flush().await
    }

    async fn pass_over(&self, association: &mut TcpAssociation, context: &PresentationContext) -> Result<()> {
        let mut pace = Pace::new(self.config.stall());
        pass_over(&mut Paced { reader: &mut association.reader, pace: &mut pace, context: context.id }).await
    }
}

/// Who ends the association.
enum End {
    Ours,
    Theirs,
}
