//! Where the bytes of a part come from.

use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use crate::multipart::{Malformed, Reader};

/// Where the bytes of a part come from.
pub(super) trait Source: Send {
    fn chunk(&mut self) -> impl Future<Output = Result<Option<Bytes>, Malformed>> + Send;
}

impl<S, E> Source for Reader<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
    E: std::fmt::Display,
{
    async fn chunk(&mut self) -> Result<Option<Bytes>, Malformed> {
        Reader::chunk(self).await
    }
}

/// A body that is one instance.
pub(super) struct Bare<S>(pub(super) S);

impl<S, E> Source for Bare<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
    E: std::fmt::Display,
{
    async fn chunk(&mut self) -> Result<Option<Bytes>, Malformed> {
        let chunk = self.0.next().await.transpose();
        chunk.map_err(|source| Malformed(format!("the body broke off: {source}")))
    }
}

/// A part whose first bytes have been looked at.
pub(super) struct Begun<'a, S> {
    pub(super) first: Option<Bytes>,
    pub(super) rest: &'a mut S,
}

impl<S: Source> Source for Begun<'_, S> {
    async fn chunk(&mut self) -> Result<Option<Bytes>, Malformed> {
        match self.first.take().filter(|first| !first.is_empty()) {
            Some(first) => Ok(Some(first)),
            None => self.rest.chunk().await,
        }
    }
}

/// A source that has come to its end.
pub(super) struct Nothing;

impl Source for Nothing {
    async fn chunk(&mut self) -> Result<Option<Bytes>, Malformed> {
        Ok(None)
    }
}
