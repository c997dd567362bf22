use rstest::rstest;

use super::*;

const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
const FIND: &str = "1.2.840.10008.5.1.4.1.2.2.1";
const IMPLICIT: &str = "1.2.840.10008.1.2";
const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const JPEG: &str = "1.2.840.10008.1.2.4.70";
const RLE: &str = "1.2.840.10008.1.2.5";

struct Ours;

impl Services for Ours {
    fn service(&self, abstract_syntax: &str) -> Option<Service> {
        match abstract_syntax {
            CT => Some(Service::Storage),
            FIND => Some(Service::Messages),
            _ => None,
        }
    }

    fn knows(&self, transfer_syntax: &str) -> bool {
        [IMPLICIT, EXPLICIT, JPEG, RLE].contains(&transfer_syntax)
    }

    fn makes(&self, transfer_syntax: &str) -> bool {
        [IMPLICIT, EXPLICIT, RLE].contains(&transfer_syntax)
    }

    fn extended(&self, abstract_syntax: &str, offered: &[u8]) -> Option<Vec<u8>> {
        (abstract_syntax == FIND).then(|| lesser(offered, &[1, 1, 0]))
    }
}

fn context(id: u8, abstract_syntax: &str, transfer_syntaxes: &[&str]) -> PresentationContextProposed {
    PresentationContextProposed {
        id,
        abstract_syntax: abstract_syntax.to_owned(),
        transfer_syntaxes: transfer_syntaxes.iter().map(|&uid| uid.to_owned()).collect(),
    }
}

fn request(contexts: Vec<PresentationContextProposed>, variables: Vec<UserVariableItem>) -> AssociationRQ {
    AssociationRQ {
        protocol_version: 1,
        calling_ae_title: "CT1".into(),
        called_ae_title: "FILMLESS".into(),
        application_context_name: APPLICATION_CONTEXT.into(),
        presentation_contexts: contexts,
        user_variables: variables,
    }
}

fn terms(called: &[AeTitle], confirms_identity: bool) -> Terms<'_> {
    Terms { called, max_length: 16384, operations: 8, confirms_identity, wanted: &[], services: &Ours }
}

fn answer(request: &AssociationRQ) -> Result<Agreement, Rejection> {
    let called = [AeTitle::parse("FILMLESS").unwrap()];
    agree(request, &terms(&called, true))
}

fn answered(variables: Vec<UserVariableItem>) -> Vec<UserVariableItem> {
    let request = request(vec![context(1, CT, &[EXPLICIT]), context(3, FIND, &[EXPLICIT])], variables);
    let called = [AeTitle::parse("FILMLESS").unwrap()];
    let mut agreement = agree(&request, &terms(&called, false)).map_err(|r| r.to_string()).unwrap();
    agreement.answer.user_variables.split_off(3)
}

#[rstest]
#[case::called("NOSUCHAE", "CT1", APPLICATION_CONTEXT, 1, (1, 1, 7))]
#[case::called_in_another_case("filmless", "CT1", APPLICATION_CONTEXT, 1, (1, 1, 7))]
#[case::no_called("", "CT1", APPLICATION_CONTEXT, 1, (1, 1, 7))]
#[case::no_calling("FILMLESS", "", APPLICATION_CONTEXT, 1, (1, 1, 3))]
#[case::application_context("FILMLESS", "CT1", "1.2.840.10008.3.1.1.2", 1, (1, 1, 2))]
#[case::protocol_version("FILMLESS", "CT1", APPLICATION_CONTEXT, 2, (1, 2, 2))]
fn rejects_with_result_source_and_reason(
    #[case] called: &str,
    #[case] calling: &str,
    #[case] application_context: &str,
    #[case] protocol_version: u16,
    #[case] expected: (u8, u8, u8),
) {
    let request = AssociationRQ {
        called_ae_title: called.into(),
        calling_ae_title: calling.into(),
        application_context_name: application_context.into(),
        protocol_version,
        ..request(vec![], vec![])
    };
    let rejection = answer(&request).err().unwrap();
    assert_eq!((rejection.result, rejection.source, rejection.reason), expected);
}

#[rstest]
#[case::as_sent(CT, &[JPEG, EXPLICIT], Some(JPEG))]
#[case::first_known(CT, &["1.2.3", RLE, EXPLICIT], Some(RLE))]
#[case::as_sent_whatever_the_order(CT, &[IMPLICIT, EXPLICIT, JPEG], Some(JPEG))]
#[case::explicit_before_implicit(CT, &[IMPLICIT, EXPLICIT], Some(EXPLICIT))]
#[case::implicit_alone(CT, &[IMPLICIT], Some(IMPLICIT))]
#[case::unknown(CT, &["1.2.3"], None)]
#[case::messages(FIND, &[JPEG, IMPLICIT, EXPLICIT], Some(EXPLICIT))]
#[case::messages_implicit(FIND, &[IMPLICIT], Some(IMPLICIT))]
#[case::messages_compressed(FIND, &[JPEG], None)]
fn chooses_one_transfer_syntax(#[case] uid: &str, #[case] offered: &[&str], #[case] chosen: Option<&str>) {
    let agreement =
        answer(&request(vec![context(1, uid, offered)], vec![])).map_err(|r| r.to_string()).unwrap();
    let result = &agreement.answer.presentation_contexts[0];
    match chosen {
        Some(chosen) => {
            assert_eq!(
                (&result.reason, result.transfer_syntax.as_str()),
                (&ResultReason::Acceptance, chosen)
            );
            assert_eq!(agreement.contexts.get(1).unwrap().transfer_syntax.as_str(), chosen);
        }
        None => {
            assert_eq!(result.reason, ResultReason::TransferSyntaxesNotSupported);
            assert!(agreement.contexts.get(1).is_none());
        }
    }
}

#[rstest]
#[case::scp((false, true), &[JPEG, RLE, IMPLICIT, EXPLICIT], EXPLICIT)]
#[case::both((true, true), &[JPEG, IMPLICIT], IMPLICIT)]
#[case::what_we_can_make((false, true), &[JPEG, RLE], RLE)]
#[case::scu((true, false), &[JPEG, EXPLICIT], JPEG)]
fn a_requestor_that_takes_objects_gets_what_all_of_them_can_be_sent_in(
    #[case] (scu, scp): (bool, bool),
    #[case] offered: &[&str],
    #[case] chosen: &str,
) {
    // The role stands behind the contexts, as it does on the wire.
    let role = UserVariableItem::ScuScpRoleSelectionSubItem(CT.into(), RequestorRoles { scu, scp });
    let agreement = answer(&request(vec![context(1, CT, offered)], vec![role]));
    let agreement = agreement.map_err(|r| r.to_string()).unwrap();
    let context = agreement.contexts.get(1).unwrap();
    assert_eq!((context.transfer_syntax.as_str(), context.requestor_is_scp), (chosen, scp));
}

#[test]
fn answers_every_context_also_when_none_is_acceptable() {
    let contexts = vec![context(1, "1.2.3", &[EXPLICIT]), context(2, CT, &[EXPLICIT]), context(5, CT, &[])];
    let agreement = answer(&request(contexts, vec![])).map_err(|r| r.to_string()).unwrap();
    let results = agreement.answer.presentation_contexts.iter().map(|r| (r.id, r.reason.clone()));
    let expected = [
        (1, ResultReason::AbstractSyntaxNotSupported),
        (2, ResultReason::NoReason),
        (5, ResultReason::TransferSyntaxesNotSupported),
    ];
    assert_eq!(results.collect::<Vec<_>>(), expected);
}

#[test]
fn takes_128_contexts_and_finds_each_by_its_id() {
    let contexts = (0..128).map(|n| context(2 * n + 1, CT, &[EXPLICIT])).collect();
    let agreement = answer(&request(contexts, vec![])).map_err(|r| r.to_string()).unwrap();
    assert!((0..128).all(|n| agreement.contexts.get(2 * n + 1).is_some_and(|c| c.id == 2 * n + 1)));
    assert!((0..128).all(|n| agreement.contexts.get(2 * n).is_none()));
}

#[rstest]
#[case::scp_for_c_get(CT, (false, true), (false, true))]
#[case::both(CT, (true, true), (true, true))]
#[case::none_where_none_was_offered(CT, (false, false), (false, false))]
#[case::no_scp_role_outside_storage(FIND, (true, true), (true, false))]
#[case::not_accepted("1.2.3", (true, true), (false, false))]
fn answers_role_selection(#[case] uid: &str, #[case] offered: (bool, bool), #[case] agreed: (bool, bool)) {
    let item =
        |(scu, scp)| UserVariableItem::ScuScpRoleSelectionSubItem(uid.into(), RequestorRoles { scu, scp });
    assert_eq!(answered(vec![item(offered)]), [item(agreed)]);
}

#[rstest]
#[case::all(FIND, &[1, 1, 1, 1, 1], Some(&[1, 1, 0, 0, 0][..]))]
#[case::not_more_than_offered(FIND, &[0, 1], Some(&[0, 1][..]))]
#[case::nothing(FIND, &[], Some(&[][..]))]
#[case::not_negotiated(CT, &[1], None)]
fn extended_negotiation_grants_what_both_have(
    #[case] uid: &str,
    #[case] offered: &[u8],
    #[case] agreed: Option<&[u8]>,
) {
    let item =
        |bytes: &[u8]| UserVariableItem::SopClassExtendedNegotiationSubItem(uid.into(), bytes.to_vec());
    assert_eq!(answered(vec![item(offered)]), agreed.map(item).into_iter().collect::<Vec<_>>());
}

#[rstest]
#[case::less_than_ours(&[0, 4, 0, 4], Some((4, [0, 4, 0, 1])))]
#[case::more_than_ours(&[1, 0, 0, 0], Some((8, [0, 8, 0, 1])))]
#[case::no_limit(&[0, 0, 0, 0], Some((8, [0, 8, 0, 1])))]
#[case::one(&[0, 1, 0, 1], Some((1, [0, 1, 0, 1])))]
#[case::broken(&[0], None)]
fn the_window_of_operations_is_the_lesser_of_both(
    #[case] offered: &[u8],
    #[case] agreed: Option<(u16, [u8; 4])>,
) {
    let offer = UserVariableItem::Unknown(0x53, offered.to_vec());
    let expected: Vec<_> =
        agreed.iter().map(|(_, window)| UserVariableItem::Unknown(0x53, window.to_vec())).collect();
    assert_eq!(answered(vec![offer.clone()]), expected);
    let agreement = answer(&request(vec![], vec![offer])).map_err(|r| r.to_string()).unwrap();
    assert_eq!(agreement.operations, agreed.map_or(1, |(operations, _)| operations));
}

#[test]
fn who_does_not_negotiate_the_window_has_one_operation() {
    assert!(answered(vec![]).is_empty());
    assert_eq!(answer(&request(vec![], vec![])).map_err(|r| r.to_string()).unwrap().operations, 1);
}

#[test]
fn an_identity_is_confirmed_where_that_was_decided() {
    let agreement = answer(&request(vec![], vec![])).map_err(|r| r.to_string()).unwrap();
    let variables = agreement.answer.user_variables;
    assert_eq!(variables.last(), Some(&UserVariableItem::Unknown(0x59, vec![0, 0])));
}

#[rstest]
#[case::related(b"\0\x031.2\0\x031.3\0\x05\0\x031.4", Some(("1.2", "1.3", vec!["1.4"])))]
#[case::two(b"\0\x031.2\0\x031.3\0\x0A\0\x031.4\0\x031.5", Some(("1.2", "1.3", vec!["1.4", "1.5"])))]
#[case::none_related(b"\0\x031.2\0\x031.3\0\0", Some(("1.2", "1.3", vec![])))]
#[case::no_list(b"\0\x031.2\0\x031.3", Some(("1.2", "1.3", vec![])))]
#[case::too_short(b"\0\x031.2\0\x09x", None)]
fn reads_what_is_said_of_a_sop_class(
    #[case] value: &[u8],
    #[case] expected: Option<(&str, &str, Vec<&str>)>,
) {
    let request = request(vec![], vec![UserVariableItem::Unknown(0x57, value.to_vec())]);
    let read = common_extended(&request);
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(sop_class, service_class, related)| CommonExtended {
            sop_class: sop_class.to_owned(),
            service_class: service_class.to_owned(),
            related: related.into_iter().map(str::to_owned).collect(),
        })
        .collect();
    assert_eq!(read, expected);
}

#[test]
fn a_requestor_may_be_wanted_to_send_otherwise() {
    let called = [AeTitle::parse("FILMLESS").unwrap()];
    let wanted = [RLE, EXPLICIT].map(|uid| TransferSyntaxUid::parse(uid).unwrap());
    let request = request(
        vec![
            context(1, CT, &[JPEG, EXPLICIT, RLE]),
            context(3, CT, &[JPEG, IMPLICIT, EXPLICIT]),
            context(5, CT, &[JPEG]),
        ],
        vec![],
    );
    let agreement = agree(&request, &Terms { wanted: &wanted, ..terms(&called, false) });
    let agreement = agreement.map_err(|r| r.to_string()).unwrap();
    let chosen: Vec<_> = agreement.contexts.iter().map(|context| context.transfer_syntax.as_str()).collect();
    assert_eq!(chosen, [RLE, EXPLICIT, JPEG], "nothing is refused for it");
}
