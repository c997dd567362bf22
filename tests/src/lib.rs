//! What the end-to-end tests work with: the server, and peers that are not ours.
//!
//! [`Program`] is the real binary and [`Pacs`] one over a data folder that goes with the test; they listen on loopback,
//! on ports that nobody else has. [`Modality`] is DCMTK, [`peers`] are
//! pynetdicom and dicomweb-client, [`Browser`] is a headless Chromium, [`Web`] a plain HTTP client and
//! [`by_hand::Association`] a DIMSE peer that does exactly what a test says, however wrong.
//!
//! Nothing outlives its test: every process is killed when its handle is dropped, and every wait has a limit.

mod address;
pub mod archives;
pub mod authority;
pub mod browser;
pub mod by_hand;
pub mod corpus;
pub mod fuzz;
pub mod gate;
pub mod modality;
pub mod pacs;
pub mod peers;
pub mod pictures;
pub mod program;
pub mod receivers;
pub mod tools;
pub mod usage;
pub mod wait;
pub mod web;

pub use browser::Browser;
pub use modality::Modality;
pub use pacs::Pacs;
pub use program::Program;
pub use usage::Usage;
pub use web::Web;
