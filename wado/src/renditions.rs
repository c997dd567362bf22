//! Rendered images that were made lately, kept by bytes. Whoever asks for one that is being made waits for that one.

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::error::Problem;

/// Bytes of an image as a rule; the cache has room for so many of them to begin with.
const USUAL: u64 = 64 << 10;

/// What was made of what: the identity of instance and frame, and how they are shown.
#[derive(Debug)]
pub(crate) struct Renditions(Cache<String, Bytes, Weight>);

#[derive(Debug, Clone)]
struct Weight;

impl Weighter<String, Bytes> for Weight {
    fn weight(&self, key: &String, bytes: &Bytes) -> u64 {
        // An image takes more than its bytes, and must not be free.
        (key.len() + bytes.len()) as u64 + 128
    }
}

impl Renditions {
    /// Keeps so many bytes at the most; none is right as well.
    pub(crate) fn new(bytes: u64) -> Self {
        let images = usize::try_from(bytes / USUAL).unwrap_or(usize::MAX).max(16);
        Self(Cache::with_weighter(images, bytes, Weight))
    }

    /// The image, made if it is not there. Of those who ask at once one makes it; when that fails or is given up the
    /// next does.
    ///
    /// # Errors
    /// Those of `make`.
    pub(crate) async fn get(
        &self,
        key: &str,
        make: impl Future<Output = Result<Bytes, Problem>>,
    ) -> Result<Bytes, Problem> {
        self.0.get_or_insert_async(key, make).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use tokio::task::yield_now;

    use super::*;

    /// Counts how often it makes images of so many bytes.
    struct Maker {
        renditions: Renditions,
        made: AtomicUsize,
    }

    impl Maker {
        fn new(bytes: u64) -> Arc<Self> {
            Arc::new(Self { renditions: Renditions::new(bytes), made: AtomicUsize::new(0) })
        }

        async fn get(&self, key: &str, length: usize) -> Result<Bytes, Problem> {
            let make = async {
                yield_now().await;
                self.made.fetch_add(1, Ordering::SeqCst);
                if length == 0 { Err(Problem::invalid("nothing")) } else { Ok(vec![7; length].into()) }
            };
            self.renditions.get(key, make).await
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_hundred_who_ask_at_once_cost_one_computation() {
        let maker = Maker::new(1 << 20);
        let asking = (0..100).map(|_| {
            let maker = maker.clone();
            tokio::spawn(async move { maker.get("image", 1000).await.map(|bytes| bytes.len()) })
        });
        for answer in join_all(asking).await {
            assert_eq!(answer.unwrap().unwrap(), 1000);
        }
        assert_eq!(maker.made.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_failure_is_not_kept_and_who_gives_up_leaves_it_to_the_next() {
        let maker = Maker::new(1 << 20);
        assert!(maker.get("image", 0).await.is_err());
        drop(futures_util::poll!(Box::pin(maker.get("image", 1000))));
        assert_eq!(maker.get("image", 1000).await.unwrap().len(), 1000);
        assert_eq!(maker.made.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn no_more_is_kept_than_there_is_room_for() {
        let maker = Maker::new(1 << 20);
        for number in 0..200 {
            maker.get(&number.to_string(), 100 << 10).await.unwrap();
        }
        assert!(maker.renditions.0.weight() <= 1 << 20);
        assert!(maker.renditions.0.len() >= 4);
        let none = Maker::new(0);
        for _ in 0..2 {
            none.get("image", 10).await.unwrap();
        }
        assert_eq!((none.made.load(Ordering::SeqCst), none.renditions.0.len()), (2, 0));
    }
}
