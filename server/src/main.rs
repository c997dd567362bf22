//! filmless
fn main() {}
