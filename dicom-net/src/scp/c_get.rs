//! C-GET (PS3.4 §C.4.3, PS3.7 §9.1.3): instances come as C-STORE requests on the same association.

use std::time::Duration;

use dicom_store::model::Instance;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::c_move::{PROGRESS, refusal};
use super::dispatch::{Conversation, read_command};
use super::retrieve::{Asked, Progress};
use super::services::Model;
use crate::dimse::{CGetRq, CStoreRq, Identity, Request, Response, Status};
use crate::error::{Error, Result};
use crate::outgoing::{Form, Outgoing, way_out};
use crate::scu::{Outcome, send};
use crate::ul::{AbortReason, PduReader, PresentationContext, Received};

impl<R, W> Conversation<'_, R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    pub(super) async fn c_get(
        &mut self,
        context: &PresentationContext,
        request: CGetRq,
        model: Model,
    ) -> Result<()> {
        let priority = request.priority;
        let request = &request.identity;
        if let Some(response) = Self::mismatch(context, request) {
            return self.refuse(context, request, response).await;
        }
        let Asked { instances, damaged } = match self.asked(context, request, model).await? {
            Ok(asked) => asked,
            Err(error) => return self.respond(context, &refusal(request, &error), None).await,
        };
        let mut progress = Progress::new(instances.len(), &damaged);
        let mut ready = Vec::with_capacity(instances.len());
        for instance in instances {
            match self.way_out(&instance) {
                Some(way) => ready.push((way, instance)),
                None => progress.settle(&instance.sop_instance, Outcome::no_context()),
            }
        }
        let is_cancelled = self.send_all(context, request, priority, &ready, &mut progress).await?;
        self.conclude(context, request, &progress, is_cancelled).await
    }

    /// The context on which the peer takes an instance, with the role of an SCP (PS3.7 §D.3.3.4), and the
    /// form that it takes it in.
    fn way_out(&self, instance: &Instance) -> Option<(u8, Form)> {
        way_out(self.association.contexts.iter().filter(|context| context.requestor_is_scp), instance, &[])
    }

    /// Sends one after the other; gives whether the peer cancelled.
    async fn send_all(
        &mut self,
        context: &PresentationContext,
        request: &Identity,
        priority: u16,
        ready: &[((u8, Form), Instance)],
        progress: &mut Progress,
    ) -> Result<bool> {
        let objects = ready.iter().map(|((_, form), instance)| (instance.clone(), form.clone())).collect();
        let by_files = self.association.writer.is_by_files();
        let mut objects = Outgoing::new(self.session.clone(), self.shared.pool.clone(), objects, by_files);
        let limit = self.shared.config.response();
        let mut told: Option<Instant> = None;
        let mut message_id = request.message_id;
        for ((id, _), instance) in ready {
            if told.is_none_or(|told| told.elapsed() >= PROGRESS) {
                told = Some(Instant::now());
                // Goes out together with the next instance.
                let pending = Response::new(request, Status::PENDING).counting(progress.counts);
                self.association.writer.queue(context.id, &pending.write(), None);
            }
            message_id = message_id.wrapping_add(1);
            let (sop_class, sop_instance) = (instance.sop_class.as_str(), instance.sop_instance.as_str());
            let store = CStoreRq { priority, ..CStoreRq::new(message_id, sop_class, sop_instance, None) };
            let sent = send(&mut self.association.writer, *id, &store, &mut objects, None).await?;
            if let Err(error) = sent {
                warn!(instance = sop_instance, %error, "an instance cannot be read");
                progress.settle(&instance.sop_instance, Outcome::unreadable());
                continue;
            }
            let answer = answer(&mut self.association.reader, message_id, request.message_id, limit).await?;
            progress.settle(&instance.sop_instance, answer.outcome);
            if answer.is_cancelled {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

struct Answer {
    outcome: Outcome,
    is_cancelled: bool,
}

/// The peer's answer to a C-STORE, and whether it cancelled the C-GET before.
async fn answer<R: AsyncRead + Unpin>(
    reader: &mut PduReader<R>,
    message_id: u16,
    get: u16,
    limit: Duration,
) -> Result<Answer> {
    let mut is_cancelled = false;
    loop {
        let received = timeout(limit, reader.next()).await.map_err(|_| Error::Silent(limit))??;
        let Received::Command { command, .. } = received else {
            return Err(Error::protocol(AbortReason::UnexpectedPdu, "a release came during a C-GET"));
        };
        match read_command(command)? {
            Request::CCancel(cancel) => is_cancelled |= cancel.message_id_being_responded_to == get,
            Request::Response(response)
                if response.responds_to() == message_id && !response.has_data_set() =>
            {
                return Ok(Answer { outcome: Outcome::of(response.status), is_cancelled });
            }
            _ => {
                let what = "something else came where the answer to a C-STORE was expected";
                return Err(Error::protocol(AbortReason::ServiceUser, what));
            }
        }
    }
}
