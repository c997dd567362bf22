//! DICOMweb over the archive: QIDO-RS, WADO-RS, STOW-RS, UPS-RS (PS3.18), and the own API.
//!
//! | module | what |
//! |---|---|
//! | `state`, `auth`, `cors`, `origin`, `base_url`, `parameters`, `resource` | what every request needs: archive, caller, URLs |
//! | `accept`, `negotiation`, `multipart`, `zip`, `error` | how answers are negotiated, framed, refused |
//! | `attribute`, `dicom_json`, `dicom_xml` | attributes by name, data sets as text |
//! | `search` | QIDO-RS |
//! | `retrieve`, `renditions`, `report` | WADO-RS; images that were made lately; reports as pages |
//! | `gone` | what was deleted, told from what never was |
//! | `store` | STOW-RS |
//! | `destination`, `hooks`, `outbound` | a STOW-RS service of others, to forward to; programs that are told; what both have in common |
//! | `workitems` | UPS-RS |
//! | `uri` | WADO-URI |
//! | `rejection` | `DELETE` by a rejection note |
//! | `api` | the own API: opening a study, deleting and correcting, what is told of the archive |
//! | `precondition` | `If-Match` |
//! | `unread` | what handlers leave of the bodies of requests |
//! | `operation`, `capabilities` | what there is |
//!
//! [`Web`] is what the services have in common: [`router`] makes DICOMweb of it, to be mounted at [`PATH`], [`uri_router`] and
//! [`api_router`] the rest. Everything streams: neither an instance nor a list of instances is ever held as bytes, and a
//! client that leaves stops the work for it.

mod accept;
mod api;
mod attribute;
mod auth;
mod base_url;
mod capabilities;
mod config;
mod cors;
mod destination;
mod dicom_json;
mod dicom_xml;
mod error;
mod gone;
mod hooks;
mod multipart;
mod negotiation;
mod operation;
mod origin;
mod outbound;
mod parameters;
mod precondition;
mod rejection;
mod renditions;
mod report;
mod resource;
mod retrieve;
mod router;
mod search;
mod state;
mod store;
mod unread;
mod uri;
mod workitems;
mod zip;

pub use accept::Negotiation;
pub use api::{About, WindowPreset, api_router};
pub use base_url::{Accepted, PublicUrl};
pub use config::Config;
pub use destination::{StowDestination, StowService};
pub use hooks::{Hook, Webhooks};
pub use origin::Origin;
pub use router::{PATH, router};
pub use state::Web;
pub use uri::uri_router;
