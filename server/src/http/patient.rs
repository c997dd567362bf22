//! A connection whose patience ends: with a client that takes nothing, and with one that is to be let go.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use dicom_store::Pressure;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long a client may still send what nobody reads any more. Closing while bytes of it are unread would
/// take the answer away from it (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(1);

/// How often is looked whether others wait for the memory that a client holds.
const LOOK: Duration = Duration::from_secs(1);

/// How long a client may take nothing of its answers: less while others wait for the memory that it holds.
#[derive(Debug, Clone)]
pub(crate) struct Stall {
    pub(crate) usual: Duration,
    pub(crate) pressure: Pressure,
}

impl Stall {
    /// Whether a client is given up that has taken nothing since then.
    pub(super) fn is_over(&self, since: Instant) -> bool {
        since.elapsed() >= self.usual || self.pressure.ends(since)
    }

    /// After so long it is worth to look again.
    pub(super) fn look(&self) -> Duration {
        self.usual.min(LOOK)
    }
}

/// A stream whose writes fail when nothing of them is taken for too long.
pub(super) struct Patient<S> {
    stream: S,
    stall: Stall,
    /// Since when a write waits, and the next look at it.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    /// Runs once our side is closed.
    lingering: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S, stall: Stall) -> Self {
        Self { stream, stall, waiting: None, lingering: None }
    }

    fn wait<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let look = self.stall.look();
        let (since, next) = self.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(look))));
        loop {
            ready!(next.as_mut().poll(context));
            if self.stall.is_over(*since) {
                let what = "the client takes nothing of its answer";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, what)));
            }
            next.set(sleep(look));
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wait(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.wait(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.wait(context, flushed)
    }

    /// Closes our side, then throws away what still comes, until the client has closed its own or time is up.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            let closed = Pin::new(&mut self.stream).poll_shutdown(context);
            ready!(self.wait(context, closed))?;
        }
        let this = &mut *self;
        let lingering = this.lingering.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        let mut thrown_away = [0; 8192];
        while lingering.as_mut().poll(context).is_pending() {
            let mut into = ReadBuf::new(&mut thrown_away);
            match ready!(Pin::new(&mut this.stream).poll_read(context, &mut into)) {
                Ok(()) if !into.filled().is_empty() => {}
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    fn stall(usual: Duration) -> Stall {
        Stall { usual, pressure: Pressure::default() }
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (ours, _theirs) = duplex(16);
        let mut patient = Patient::new(ours, stall(Duration::from_millis(50)));
        let error = patient.write_all(&[0; 1000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_client_that_takes_all_is_given_all() {
        let (ours, mut theirs) = duplex(16);
        let mut patient = Patient::new(ours, stall(Duration::from_secs(10)));
        let writing = tokio::spawn(async move { patient.write_all(&[7; 1000]).await });
        let mut taken = vec![0; 1000];
        theirs.read_exact(&mut taken).await.unwrap();
        writing.await.unwrap().unwrap();
        assert_eq!(taken, [7; 1000]);
    }

    #[tokio::test]
    async fn what_a_client_still_sends_does_not_take_its_answer_away() {
        let (ours, mut theirs) = duplex(16);
        let mut patient = Patient::new(ours, stall(Duration::from_secs(10)));
        let closing = tokio::spawn(async move {
            patient.write_all(b"no").await?;
            patient.shutdown().await
        });
        theirs.write_all(&[0; 100_000]).await.unwrap();
        let mut answer = [0; 2];
        theirs.read_exact(&mut answer).await.unwrap();
        drop(theirs);
        closing.await.unwrap().unwrap();
        assert_eq!(&answer, b"no");
    }
}
