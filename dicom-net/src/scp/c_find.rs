//! C-FIND (PS3.4 §C.4.1, PS3.7 §9.1.2): rows go out as they are found, until the peer cancels.

use dicom_store::model::{Error as StoreError, Result as StoreResult};
use dicom_store::query::{Options, Row, Rows};
use futures_util::{FutureExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{info, warn};

use super::answer_text::said;
use super::dispatch::{Conversation, cancelled, is_cancelled};
use super::identifier::Identifier;
use super::services::Model;
use super::status;
use crate::dimse::{Identity, Response, Status};
use crate::error::Result;
use crate::ul::PresentationContext;

/// Responses are sent together as long as rows are here at once, up to so many bytes.
const TOGETHER: usize = 32 * 1024;

/// Extended negotiation of C-FIND, by position (PS3.4 Table C.5-1).
const RELATIONAL: usize = 0;
const COMBINED_DATE_TIME: usize = 1;
const FUZZY_NAMES: usize = 2;

impl<R, W> Conversation<'_, R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    pub(super) async fn c_find(
        &mut self,
        context: &PresentationContext,
        request: &Identity,
        model: Model,
    ) -> Result<()> {
        if let Some(response) = Self::mismatch(context, request) {
            return self.refuse(context, request, response).await;
        }
        let response = match self.begin_find(context, request, model).await? {
            Ok((identifier, rows)) => self.stream_rows(context, request, &identifier, rows).await?,
            Err(error) => failure(request, &error),
        };
        info!(status = %response.status, "C-FIND");
        self.respond(context, &response, None).await
    }

    async fn begin_find(
        &mut self,
        context: &PresentationContext,
        request: &Identity,
        model: Model,
    ) -> Result<StoreResult<(Identifier, Rows)>> {
        if !request.has_data_set {
            return Ok(Err(StoreError::invalid("the request has no identifier")));
        }
        let Some(bytes) = self.identifier(context).await? else {
            return Ok(Err(StoreError::invalid("the identifier is too long")));
        };
        let relational = self.is_agreed(context, RELATIONAL);
        let options = Options {
            combined_date_time: self.is_agreed(context, COMBINED_DATE_TIME),
            fuzzy_names: self.is_agreed(context, FUZZY_NAMES),
            unknown_matches: self.shared.config.unknown_matches,
        };
        let asked = Identifier::read(bytes, &context.transfer_syntax, model).and_then(|identifier| {
            identifier.query(model, relational, options).map(|query| (identifier, query))
        });
        let (identifier, query) = match asked {
            Ok(asked) => asked,
            Err(error) => return Ok(Err(error)),
        };
        Ok(self.session.search(&query).await.map(|rows| (identifier, rows)))
    }

    /// Whether extended negotiation granted a thing.
    fn is_agreed(&self, context: &PresentationContext, position: usize) -> bool {
        let mut extended = self.association.extended.iter();
        let answer = extended.find(|(uid, _)| uid == context.abstract_syntax.as_str());
        answer.and_then(|(_, bytes)| bytes.get(position)).is_some_and(|&granted| granted == 1)
    }

    /// Sends the pending responses and gives the final one.
    async fn stream_rows(
        &mut self,
        context: &PresentationContext,
        request: &Identity,
        identifier: &Identifier,
        mut rows: Rows,
    ) -> Result<Response> {
        let status = if identifier.is_supported() { Status::PENDING } else { Status::PENDING_WITH_WARNING };
        let pending = Response::new(request, status).with_data_set().write();
        let encoding = context.transfer_syntax.facts().encoding;
        let title = self.shared.config.ae_title.clone();
        let text =
            self.shared.peers.get(&self.association.calling).await.map(|peer| peer.text).unwrap_or_default();
        loop {
            if is_cancelled(&mut self.association.reader, request.message_id)? {
                return Ok(Response::new(request, Status::CANCEL));
            }
            match self.next_row(request, &mut rows).await? {
                Next::Row(Ok(row)) => {
                    let answer = said(identifier.response(&row, &title), text).write(encoding);
                    self.association.writer.queue(context.id, &pending, Some(&answer));
                }
                Next::Row(Err(error)) => return Ok(failure(request, &error)),
                Next::End => return Ok(Response::new(request, Status::SUCCESS)),
                Next::Cancelled => return Ok(Response::new(request, Status::CANCEL)),
            }
            if self.association.writer.queued() > TOGETHER {
                self.association.writer.flush().await?;
            }
        }
    }

    /// The next row. What is queued is sent before it is waited for, and a cancel is heard meanwhile.
    async fn next_row(&mut self, request: &Identity, rows: &mut Rows) -> Result<Next> {
        if let Some(row) = rows.next().now_or_never() {
            return Ok(row.map_or(Next::End, Next::Row));
        }
        self.association.writer.flush().await?;
        tokio::select! {
            biased;
            cancelled = cancelled(&mut self.association.reader, request.message_id) => cancelled.map(|()| Next::Cancelled),
            row = rows.next() => Ok(row.map_or(Next::End, Next::Row)),
        }
    }
}

enum Next {
    Row(StoreResult<Row>),
    End,
    Cancelled,
}

fn failure(request: &Identity, error: &StoreError) -> Response {
    let status = status::of_find(error.kind);
    warn!(%status, kind = ?error.kind, "a query was not answered");
    Response::new(request, status).because(status::comment(error))
}
