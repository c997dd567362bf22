//! What every index has to do.
