//! C-ECHO (PS3.4 Annex A, PS3.7 §9.1.5): open to everybody.

use tokio::io::{AsyncRead, AsyncWrite};

use super::dispatch::Conversation;
use crate::dimse::{Identity, Response, Status};
use crate::error::Result;
use crate::ul::PresentationContext;

impl<R, W> Conversation<'_, R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    pub(super) async fn c_echo(&mut self, context: &PresentationContext, request: &Identity) -> Result<()> {
        self.refuse(context, request, Response::new(request, Status::SUCCESS)).await
    }
}
