//! Patient data that cannot reach a log by accident.

use std::fmt;

/// A value that prints as `«phi»`, in `Debug` as in `Display`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Phi<T>(T);

impl<T> Phi<T> {
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, for an answer to somebody who may see it.
    pub fn expose(&self) -> &T {
        &self.0
    }

    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Phi<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("«phi»")
    }
}

impl<T> fmt::Display for Phi<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("«phi»")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_prints_what_it_holds() {
        let name = Phi::new("NGUYEN^AN");
        assert_eq!(format!("{name} {name:?}"), "«phi» «phi»");
        assert_eq!(*name.expose(), "NGUYEN^AN");
    }
}
