//! Codecs that others wrote, asked for bytes that anybody may have written.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Error, Result};

/// Runs such a codec; its panic is an error of the frame.
///
/// # Errors
/// `Corrupt` when it panicked; what it answers.
pub(super) fn guarded<T>(codec: &str, decode: impl FnOnce() -> Result<T>) -> Result<T> {
    // What the codec leaves half done is dropped with it.
    catch_unwind(AssertUnwindSafe(decode))
        .unwrap_or_else(|_| Err(Error::corrupt(format!("{codec} stream made its decoder panic"))))
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
    }
}
