//! What the end-to-end tests work with: the server, and peers that are not ours.
//!
//! [`Pacs`] is a server inside the test's own process and [`Program`] the real binary; both listen on loopback, on
//! ports that the system picks, over a data folder that goes with them. [`Modality`] is DCMTK, [`peers`] are
//! pynetdicom and dicomweb-client, [`Browser`] is a headless Chromium, [`Web`] a plain HTTP client and
//! [`by_hand::Association`] a DIMSE peer that does exactly what a test says, however wrong.
//!
//! Nothing outlives its test: every process is killed when its handle is dropped, and every wait has a limit.

pub mod by_hand;
pub mod corpus;
pub mod modality;
pub mod peers;
pub mod tools;
pub mod wait;
pub mod web;

pub use modality::Modality;
pub use web::Web;
