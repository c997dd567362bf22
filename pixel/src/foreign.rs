//! Codecs that others wrote, asked for bytes that anybody may have written.
//!
//! Nothing can stop such a codec. Those whose time is not known before have a thread of their own, so that nobody waits
//! longer for one than its stream deserves; one that is given up goes on by itself until it ends, and a few of them at the
//! most do.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::patience::Patience;
use super::{Error, ErrorKind, Result};

/// Runs that were given up and go on, at the most; they may hold some hundred MB each.
const MOST_GIVEN_UP: usize = 4;

/// Those of this process: it is its memory and its processor that they take.
static GIVEN_UP: AtomicUsize = AtomicUsize::new(0);

/// Runs such a codec; its panic is an error of the frame.
///
/// # Errors
/// `Corrupt` when it panicked; what it answers.
pub(super) fn guarded<T>(codec: &str, decode: impl FnOnce() -> Result<T>) -> Result<T> {
    // What the codec leaves half done is dropped with it.
    catch_unwind(AssertUnwindSafe(decode))
        .unwrap_or_else(|_| Err(Error::corrupt(format!("{codec} stream made its decoder panic"))))
}

/// The same for one that may take its time over this stream.
///
/// # Errors
/// As [`guarded`]; `Internal` when it takes too long, and when too many go on that did.
pub(super) fn bounded<T: Send + 'static>(
    codec: &'static str,
    stream: &[u8],
    decode: impl FnOnce(&[u8]) -> Result<T> + Send + 'static,
) -> Result<T> {
    let own: Arc<[u8]> = stream.into();
    within(codec, Patience::of(stream).left(), &GIVEN_UP, move || decode(&own))
}

fn within<T: Send + 'static>(
    codec: &'static str,
    limit: Duration,
    given_up: &'static AtomicUsize,
    decode: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let internal = |what: String| Error::new(ErrorKind::Internal, what);
    if given_up.load(Ordering::Relaxed) >= MOST_GIVEN_UP {
        return Err(internal(format!(
            "{MOST_GIVEN_UP} {codec} or other streams still keep their decoders busy"
        )));
    }
    let (answer, answered) = mpsc::sync_channel(1);
    let run = thread::Builder::new().name("codec".to_owned()).spawn(move || {
        // Whoever has given up has counted; here it ends.
        if answer.send(guarded(codec, decode)).is_err() {
            given_up.fetch_sub(1, Ordering::Relaxed);
        }
    });
    run.map_err(|error| internal(format!("no thread for a {codec} stream: {error}")))?;
    match answered.recv_timeout(limit) {
        Ok(result) => result,
        Err(_) => {
            // Counted before the channel closes with `answered`. An answer that comes between is taken.
            given_up.fetch_add(1, Ordering::Relaxed);
            if let Ok(result) = answered.try_recv() {
                given_up.fetch_sub(1, Ordering::Relaxed);
                return result;
            }
            Err(internal(format!("{codec} stream is not decoded within {:.1} s", limit.as_secs_f64())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ErrorKind;
    use super::*;

    #[test]
    fn a_panic_is_an_error_of_the_frame() {
        let panicked = guarded("JPEG", || -> Result<()> { panic!("row 3 is missing") }).unwrap_err();
        assert_eq!(panicked.kind, ErrorKind::Corrupt);
        assert_eq!(guarded("JPEG", || Ok(1)), Ok(1));
        let panicked = bounded("JPEG", &[1], |_| -> Result<()> { panic!("row 3 is missing") }).unwrap_err();
        assert_eq!(panicked.kind, ErrorKind::Corrupt);
        assert_eq!(bounded("JPEG", &[1, 2], |stream| Ok(stream.len())), Ok(2));
    }

    #[test]
    fn a_decoder_that_hangs_is_an_error_of_the_frame_and_a_few_of_them_go_on() {
        let given_up: &'static AtomicUsize = Box::leak(Box::default());
        let (gates, doors): (Vec<_>, Vec<_>) = (0..MOST_GIVEN_UP).map(|_| mpsc::channel::<()>()).unzip();
        let limit = Duration::from_millis(5);
        for door in doors {
            let hangs = within("JPEG", limit, given_up, move || Ok(door.recv().is_ok())).unwrap_err();
            assert_eq!(hangs.kind, ErrorKind::Internal);
        }
        let long = Duration::from_secs(60);
        let refused = within("JPEG", long, given_up, || Ok(true)).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Internal);
        drop(gates);
        while given_up.load(Ordering::Relaxed) > 0 {
            thread::yield_now();
        }
        assert_eq!(within("JPEG", long, given_up, || Ok(true)), Ok(true));
    }
}
