//! Work that goes on when nobody waits for it any more.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

/// A future that runs where it is waited for: a task of its own costs two changes of thread for each instance. Dropped
/// before its end, it becomes such a task.
#[derive(Debug)]
pub(super) struct ToItsEnd<F>(Option<Pin<Box<F>>>)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static;

impl<F> ToItsEnd<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    pub(super) fn new(work: F) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl<F> Future for ToItsEnd<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    type Output = F::Output;

    /// Not called again once it is ready, as with every future.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Some(work) = &mut self.0 else { return Poll::Pending };
        let polled = work.as_mut().poll(context);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl<F> Drop for ToItsEnd<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn drop(&mut self) {
        // What panicked has no end, and a runtime that is gone none to give.
        if let Some(rest) = self.0.take()
            && !std::thread::panicking()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn it_ends_where_it_is_waited_for_and_when_nobody_waits() {
        let (go, gone) = oneshot::channel::<()>();
        let (done, mut is_done) = oneshot::channel();
        let mut work = ToItsEnd::new(async move {
            gone.await.unwrap();
            done.send(7).unwrap();
            8
        });
        assert!((&mut work).now_or_never().is_none() && is_done.try_recv().is_err());
        drop(work);
        go.send(()).unwrap();
        assert_eq!(is_done.await.unwrap(), 7);
        assert_eq!(ToItsEnd::new(async { 9 }).await, 9);
    }
}
