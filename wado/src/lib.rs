//! DICOMweb over the archive: QIDO-RS, WADO-RS, STOW-RS (PS3.18).
//!
//! | module | what |
//! |---|---|
//! | `state`, `auth`, `cors`, `base_url`, `parameters`, `resource` | what every request needs: archive, caller, URLs |
//! | `accept`, `negotiation`, `multipart`, `zip`, `error` | how answers are negotiated, framed, refused |
//! | `attribute`, `dicom_json`, `dicom_xml` | attributes by name, data sets as text |
//! | `search` | QIDO-RS |
//! | `retrieve`, `renditions`, `report` | WADO-RS; images that were made lately; reports as pages |
//! | `store` | STOW-RS |
//! | `uri` | WADO-URI |
//! | `rejection` | `DELETE` by a rejection note |
//! | `acts` | deleting and correcting, and what is told of it: the API of the operator |
//! | `text` | whose text is not in the character set that it names, of the same API |
//! | `peers` | the table of remote AEs, of the same API |
//! | `exchange` | what is searched, fetched and sent there, of the same API |
//! | `capabilities` | what there is |
//!
//! [`router`] gives all of it as one service, to be mounted at [`Config::path`]. Everything streams: neither an
//! instance nor a list of instances is ever held as bytes, and a client that leaves stops the work for it.

mod accept;
mod acts;
mod attribute;
mod auth;
mod base_url;
mod capabilities;
mod config;
mod cors;
mod dicom_json;
mod dicom_xml;
mod error;
mod exchange;
mod multipart;
mod negotiation;
mod parameters;
mod peers;
mod rejection;
mod renditions;
mod report;
mod resource;
mod retrieve;
mod router;
mod search;
mod state;
mod store;
mod text;
mod uri;
mod zip;

pub use accept::Negotiation;
pub use acts::api_router;
pub use config::Config;
pub use router::router;
pub use uri::uri_router;
