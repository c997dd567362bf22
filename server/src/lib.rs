//! The server: settings, command line, and the straight line from an empty process to one that serves.
//!
//! The only crate that reads the environment, files of settings, or signals.

mod app;
pub mod cli;
mod commands;
mod config;
mod http;
mod import;
mod open_files;
mod samples;
mod scrub;
mod telemetry;

pub use app::{App, Listeners};
pub use commands::run;
pub use config::{Config, Http, Log, LogFormat};
pub use http::TlsFiles;
