//! The tables of `docs/conformance.md` that are made here: what is declared is what the code does.

use std::fmt::Write;

use dicom::dictionary_std::{tags, uids};
use dicom::encoding::TransferSyntaxIndex;
use dicom::transfer_syntax::TransferSyntaxRegistry;
use dicom_store::PerformedStepRefusal;
use dicom_store::model::{Error, ErrorKind, transfer_syntax};

use crate::Config;
use crate::commitment::STORAGE_COMMITMENT;
use crate::pace;
use crate::scp::services::{Offered, Purpose};
use crate::scp::{c_move, dispatch, places, status};
use crate::ul::{Services, preference, tls};

const DOCUMENT: &str = include_str!("../../../../docs/conformance.md");

/// What we are in a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Scu,
    Scp,
}

/// A SOP class and what we are in it.
struct Declared {
    name: &'static str,
    uid: &'static str,
    roles: &'static [Role],
}

const fn declared(name: &'static str, uid: &'static str, roles: &'static [Role]) -> Declared {
    Declared { name, uid, roles }
}

const SCU: &[Role] = &[Role::Scu];
const SCP: &[Role] = &[Role::Scp];
const BOTH: &[Role] = &[Role::Scu, Role::Scp];

/// Everything but storage, which is whole families of classes.
const DECLARED: &[Declared] = &[
    declared("Verification", "1.2.840.10008.1.1", BOTH),
    declared("Storage Commitment Push Model", STORAGE_COMMITMENT, BOTH),
    declared("Modality Performed Procedure Step", uids::MODALITY_PERFORMED_PROCEDURE_STEP, SCP),
    declared(
        "Modality Performed Procedure Step Retrieve",
        uids::MODALITY_PERFORMED_PROCEDURE_STEP_RETRIEVE,
        SCP,
    ),
    declared("Patient Root Query/Retrieve - FIND", "1.2.840.10008.5.1.4.1.2.1.1", SCP),
    declared("Patient Root Query/Retrieve - MOVE", "1.2.840.10008.5.1.4.1.2.1.2", SCP),
    declared("Patient Root Query/Retrieve - GET", "1.2.840.10008.5.1.4.1.2.1.3", SCP),
    declared("Study Root Query/Retrieve - FIND", "1.2.840.10008.5.1.4.1.2.2.1", BOTH),
    declared("Study Root Query/Retrieve - MOVE", "1.2.840.10008.5.1.4.1.2.2.2", BOTH),
    declared("Study Root Query/Retrieve - GET", "1.2.840.10008.5.1.4.1.2.2.3", BOTH),
    declared("Instance Availability Notification", "1.2.840.10008.5.1.4.33", SCU),
];

/// Holds the document to a table, and prints it for whoever has to put it there.
fn assert_declared(table: &str) {
    assert!(DOCUMENT.contains(table), "docs/conformance.md does not have this table:\n{table}");
}

fn offered() -> Offered {
    Offered { accept_unknown_storage: true, ..Offered::default() }
}

#[test]
fn services_are_declared_as_they_are() {
    let mut table = "| SOP class | UID | SCU | SCP |\n|---|---|---|---|\n".to_owned();
    for declared in DECLARED {
        let yes = |role| if declared.roles.contains(&role) { "yes" } else { "" };
        let (scu, scp) = (yes(Role::Scu), yes(Role::Scp));
        writeln!(table, "| {} | {} | {scu} | {scp} |", declared.name, declared.uid).unwrap();
        let is_offered = offered().purpose(declared.uid).is_some();
        assert_eq!(is_offered, declared.roles.contains(&Role::Scp), "{}", declared.uid);
    }
    assert_declared(&table);
}

/// That none is missing is judged end to end, by the dictionary of pydicom.
#[test]
fn every_class_that_is_declared_as_storage_is_stored() {
    let rows = DOCUMENT.lines().skip_while(|line| !line.starts_with("| Storage SOP class |")).skip(2);
    let uids: Vec<&str> =
        rows.take_while(|row| row.starts_with('|')).filter_map(|row| row.split('|').nth(2)).collect();
    assert!(uids.len() > 150, "{} classes", uids.len());
    for uid in uids {
        assert_eq!(offered().purpose(uid.trim()), Some(Purpose::Storage), "{uid}");
    }
}

#[test]
fn transfer_syntaxes_are_declared_in_the_order_in_which_they_are_taken() {
    let mut table = "| order | transfer syntax | UID |\n|---|---|---|\n".to_owned();
    let syntax = |uid: &str| TransferSyntaxRegistry.get(uid).map_or("", |syntax| syntax.name());
    let mut order = 0;
    let mut add = |table: &mut String, uids: &[&str]| {
        for uid in uids {
            order += 1;
            assert!(offered().knows(uid), "{uid}");
            writeln!(table, "| {order} | {} | {uid} |", syntax(uid).trim_end_matches('\0')).unwrap();
        }
    };
    add(&mut table, preference::LOSSLESS);
    add(&mut table, preference::LOSSY);
    writeln!(table, "| | video, and what else DICOM registers below 1.2.840.10008.1.2 | by UID |").unwrap();
    add(&mut table, preference::NATIVE);
    add(&mut table, preference::REFERENCED);
    assert_declared(&table);
    assert!(preference::NATIVE.contains(&transfer_syntax::IMPLICIT_LITTLE));
}

#[test]
fn extended_negotiation_is_declared_as_it_is() {
    let mut table = "| SOP classes | service class application information |\n|---|---|\n".to_owned();
    for (what, uid) in [
        ("C-FIND", "1.2.840.10008.5.1.4.1.2.2.1"),
        ("C-MOVE, C-GET", "1.2.840.10008.5.1.4.1.2.2.2"),
        ("Storage", "1.2.840.10008.5.1.4.1.1.2"),
    ] {
        let bytes = offered().extended(uid, &[1; 6]).unwrap();
        let bytes: Vec<String> = bytes.iter().map(|byte| byte.to_string()).collect();
        writeln!(table, "| {what} | {} |", bytes.join(" ")).unwrap();
    }
    assert_declared(&table);
}

#[test]
fn limits_are_declared_as_they_are() {
    let config = Config::default();
    let mut table = "| what | setting | default |\n|---|---|---|\n".to_owned();
    let pending = format!("{} to {}", c_move::PROGRESS.as_millis(), c_move::ALIVE.as_millis());
    let of_a_message =
        format!("bytes of a message in that time and {} s, at the least", pace::WINDOW.as_secs());
    let rows = [
        ("associations at the same time", "max-associations", config.max_associations.to_string()),
        (
            "of which from one address, other than loopback",
            "",
            places::of_one_address(config.max_associations).to_string(),
        ),
        ("connections without an association yet", "max-waiting", config.max_waiting.to_string()),
        ("longest P-DATA-TF that is taken, bytes", "max-pdu-length", config.max_pdu_length.to_string()),
        (
            "operations at the same time on one association",
            "max-operations",
            config.max_operations.to_string(),
        ),
        ("ARTIM, s", "artim-s", config.artim_s.to_string()),
        ("idle association, s", "idle-s", config.idle_s.to_string()),
        ("pause within a message, s", "stall-s", config.stall_s.to_string()),
        (of_a_message.as_str(), "", pace::LEAST.to_string()),
        ("identifier, bytes (a longer one is A900H)", "", dispatch::LONGEST_IDENTIFIER.to_string()),
        ("from one pending response of a C-MOVE to the next, ms", "", pending),
        ("sub-operation under way when a C-MOVE is cancelled, s", "", c_move::GRACE.as_secs().to_string()),
        ("answer to a request of ours, s", "response-s", config.response_s.to_string()),
        ("connecting to a peer, s", "connect-s", config.connect_s.to_string()),
        ("TLS handshake, s", "tls.handshake-s", config.tls.handshake_s.to_string()),
        ("associations under way when the server stops, s", "grace-s", config.grace_s.to_string()),
        ("presentation contexts of an association", "", "128".to_owned()),
    ];
    for (what, setting, default) in rows {
        let setting = if setting.is_empty() { String::new() } else { format!("`dimse.{setting}`") };
        writeln!(table, "| {what} | {setting} | {default} |").unwrap();
    }
    assert_declared(&table);
}

#[test]
fn statuses_are_declared_as_they_are() {
    let mut table = "| what is wrong | C-STORE | C-FIND | C-MOVE, C-GET |\n|---|---|---|---|\n".to_owned();
    for (what, kind) in [
        ("the data set or identifier cannot be", ErrorKind::Invalid),
        ("the data set does not match the command, or its UID is taken", ErrorKind::Conflict),
        ("the peer may not", ErrorKind::Forbidden),
        ("there is no room", ErrorKind::Exhausted),
        ("it is too large", ErrorKind::TooLarge),
        ("the archive is not available", ErrorKind::Unavailable),
        ("something is broken here", ErrorKind::Internal),
    ] {
        let (store, find, retrieve) =
            (status::of_store(kind), status::of_find(kind), status::of_retrieve(kind));
        writeln!(table, "| {what} | {store} | {find} | {retrieve} |").unwrap();
    }
    assert_declared(&table);
}

#[test]
fn statuses_of_performed_procedure_steps_are_declared_as_they_are() {
    let (tag, name) = (tags::MODALITY, "Modality");
    let archive = |kind| PerformedStepRefusal::Archive(Error::new(kind, ""));
    let mut table = "| what is wrong with a step | status | with |\n|---|---|---|\n".to_owned();
    for (what, refusal, with) in [
        (
            "an attribute of type 1 is missing at N-CREATE",
            PerformedStepRefusal::Missing { tag, name },
            "Attribute Identifier List",
        ),
        (
            "one has no value, or is missing in a series or for a final state",
            PerformedStepRefusal::Empty { tag, name },
            "Attribute Identifier List",
        ),
        (
            "a status or UID may not be; N-CREATE other than IN PROGRESS",
            PerformedStepRefusal::Value { tag, name },
            "Attribute Identifier List, the value",
        ),
        ("the UID is taken", PerformedStepRefusal::Exists, ""),
        ("there is no such step", PerformedStepRefusal::Unknown, ""),
        ("it is COMPLETED or DISCONTINUED", PerformedStepRefusal::Final, "Error ID A710H"),
        ("the peer may not", archive(ErrorKind::Forbidden), ""),
        ("it is larger than 2 MiB (some 15,000 instances)", archive(ErrorKind::TooLarge), ""),
        ("the data set cannot be read; the archive is not available", archive(ErrorKind::Unavailable), ""),
    ] {
        writeln!(table, "| {what} | {} | {with} |", status::of_performed_step(&refusal)).unwrap();
    }
    assert_eq!(
        status::of_performed_step(&archive(ErrorKind::Invalid)),
        status::of_performed_step(&archive(ErrorKind::Unavailable))
    );
    assert_declared(&table);
}

#[test]
fn cipher_suites_are_declared_as_they_are() {
    let mut table = "| version | cipher suite |\n|---|---|\n".to_owned();
    for suite in tls::CIPHER_SUITES {
        let version = if suite.tls13().is_some() { "TLS 1.3" } else { "TLS 1.2" };
        writeln!(table, "| {version} | {:?} |", suite.suite()).unwrap();
    }
    assert_declared(&table);
}
