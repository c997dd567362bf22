//! The Store Instances Response Module (PS3.18 §I.2) and the status that sums it up (PS3.18 Table 10.5.3-1).
//!
//! What is stored and not shown, as what was rejected before, has an empty Retrieve URL. Each failure has, beside its code, a sentence as Error Comment (0000,0902), which the module may be extended by.

use std::collections::HashSet;

use axum::body::Body;
use axum::response::Response;
use dicom::dictionary_std::tags;
use dicom_store::model::{Attributes, Instance, SopInstanceUid, StudyInstanceUid, VR};
use dicom_store::{ErrorKind, Stored};
use http::header::{CONTENT_LOCATION, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderValue, StatusCode};

use super::outcome::{Named, Outcome, reason};
use crate::accept::{DICOM_XML, Offer, Wrap};
use crate::base_url::BaseUrl;
use crate::error::warn;
use crate::multipart::{Boundary, PartHead};
use crate::{dicom_json, dicom_xml};

/// `hidden`: those that are stored and not shown.
pub(super) fn answer(
    outcomes: &[Outcome],
    hidden: &HashSet<SopInstanceUid>,
    base: &BaseUrl,
    offer: Offer,
) -> Response {
    let module = module(outcomes, hidden, base);
    let study = module.text(tags::RETRIEVE_URL).filter(|url| !url.is_empty());
    let mut bytes = Vec::new();
    let content_type = match offer {
        Offer { wrap: Wrap::Multipart, .. } => {
            let boundary = Boundary::new();
            let head = PartHead { content_type: DICOM_XML, location: None, length: None };
            bytes.extend_from_slice(&boundary.open(&head, true));
            dicom_xml::write(&module, None, &mut bytes);
            bytes.extend_from_slice(&boundary.close());
            boundary.content_type(DICOM_XML)
        }
        Offer { media: DICOM_XML, .. } => {
            dicom_xml::write(&module, None, &mut bytes);
            HeaderValue::from_static(DICOM_XML)
        }
        Offer { media, .. } => {
            dicom_json::write(&module, None, &mut bytes);
            HeaderValue::from_static(media)
        }
    };
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status(outcomes);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    // Where what was stored is found (PS3.18 Table 10.5.3-2).
    if let Some(url) = study.and_then(|url| HeaderValue::from_str(&url).ok()) {
        response.headers_mut().insert(CONTENT_LOCATION, url.clone());
        response.headers_mut().insert(LOCATION, url);
    }
    if let Some(reason) = first_reason(outcomes) {
        warn(&mut response, base, &format!("{reason:04X}"));
    }
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}

/// 200 when all is well, 202 when something is stored and something is to be said, else what the failures have in common.
fn status(outcomes: &[Outcome]) -> StatusCode {
    let is_plain = |outcome: &Outcome| {
        matches!(outcome, Outcome::Stored(Stored::New(_) | Stored::Rejected(_) | Stored::Same(_)))
    };
    let all_are = |kinds: &[ErrorKind]| {
        outcomes.iter().all(|outcome| matches!(outcome, Outcome::Failed { kind, .. } if kinds.contains(kind)))
    };
    if outcomes.iter().all(is_plain) {
        StatusCode::OK
    } else if outcomes.iter().any(Outcome::is_stored) {
        StatusCode::ACCEPTED
    } else if all_are(&[ErrorKind::TooLarge]) {
        StatusCode::PAYLOAD_TOO_LARGE
    } else if all_are(&[ErrorKind::Exhausted, ErrorKind::Unavailable]) {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::CONFLICT
    }
}

/// The first DICOM status beside success, for the `Warning` header field (PS3.18 §10.5.3.2).
fn first_reason(outcomes: &[Outcome]) -> Option<u16> {
    outcomes.iter().find_map(|outcome| match outcome {
        Outcome::Stored(Stored::New(_) | Stored::Rejected(_) | Stored::Same(_)) => None,
        Outcome::Stored(Stored::Stranger(_)) => Some(reason::OF_ANOTHER_PATIENT),
        Outcome::Stored(Stored::Conflict { .. }) => Some(reason::KEPT_ASIDE),
        Outcome::Failed { reason, .. } => Some(*reason),
    })
}

fn module(outcomes: &[Outcome], hidden: &HashSet<SopInstanceUid>, base: &BaseUrl) -> Attributes {
    let (mut referenced, mut failed, mut other) = (Vec::new(), Vec::new(), Vec::new());
    let shown = |instance: &Instance| Some(base).filter(|_| !hidden.contains(&instance.sop_instance));
    let stored = outcomes.iter().filter_map(Outcome::stored).map(Stored::instance);
    let mut studies: Vec<&StudyInstanceUid> =
        stored.filter(|instance| shown(instance).is_some()).map(|instance| &instance.study).collect();
    for outcome in outcomes {
        match outcome {
            Outcome::Stored(Stored::New(instance) | Stored::Rejected(instance) | Stored::Same(instance)) => {
                referenced.push(reference(instance, shown(instance)));
            }
            Outcome::Stored(Stored::Stranger(instance)) => {
                let mut item = reference(instance, shown(instance));
                item.put_u16(tags::WARNING_REASON, reason::OF_ANOTHER_PATIENT);
                referenced.push(item);
            }
            Outcome::Stored(Stored::Conflict { kept, .. }) => {
                let mut item = reference(kept, shown(kept));
                item.put_u16(tags::WARNING_REASON, reason::KEPT_ASIDE);
                referenced.push(item);
            }
            Outcome::Failed { named, reason, comment, .. } => {
                let mut item = Attributes::new();
                item.put_text(tags::ERROR_COMMENT, VR::LO, comment);
                item.put_u16(tags::FAILURE_REASON, *reason);
                if let Named { sop_class: Some(class), sop_instance: Some(instance) } = named {
                    item.put_text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, class.as_str());
                    item.put_text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, instance.as_str());
                    failed.push(item);
                } else {
                    other.push(item);
                }
            }
        }
    }
    studies.dedup();
    let mut module = Attributes::new();
    match studies.as_slice() {
        [study] => module.put_text(tags::RETRIEVE_URL, VR::UR, &base.study(study)),
        _ => module.put_empty(tags::RETRIEVE_URL, VR::UR),
    }
    for (tag, items) in [
        (tags::REFERENCED_SOP_SEQUENCE, referenced),
        (tags::FAILED_SOP_SEQUENCE, failed),
        (tags::OTHER_FAILURES_SEQUENCE, other),
    ] {
        if !items.is_empty() {
            module.put_items(tag, items);
        }
    }
    module
}

/// `base`: none for one that cannot be retrieved.
fn reference(instance: &Instance, base: Option<&BaseUrl>) -> Attributes {
    let mut item = Attributes::new();
    item.put_text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, instance.sop_class.as_str());
    item.put_text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, instance.sop_instance.as_str());
    match base {
        Some(base) => item.put_text(tags::RETRIEVE_URL, VR::UR, &base.instance(instance)),
        None => item.put_empty(tags::RETRIEVE_URL, VR::UR),
    }
    item
}
