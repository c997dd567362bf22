use rstest::rstest;

use super::*;

const NOW: u64 = 1_767_225_600_000;
const LOCK: &str = "2.25.77";

pub(crate) fn scheduled() -> Attributes {
    let mut attributes = Attributes::new();
    attributes.put_text(tags::PROCEDURE_STEP_STATE, VR::CS, "SCHEDULED");
    attributes.put_text(tags::SCHEDULED_PROCEDURE_STEP_PRIORITY, VR::CS, "MEDIUM");
    attributes.put_text(tags::PROCEDURE_STEP_LABEL, VR::LO, "Read");
    attributes.put_text(tags::SCHEDULED_PROCEDURE_STEP_START_DATE_TIME, VR::DT, "20260301101500");
    attributes.put_text(tags::INPUT_READINESS_STATE, VR::CS, "READY");
    attributes
}

fn performed() -> Attributes {
    let code = |value: &str| {
        let mut code = Attributes::new();
        code.put_text(tags::CODE_VALUE, VR::SH, value);
        vec![code]
    };
    let mut item = Attributes::new();
    item.put_items(tags::PERFORMED_STATION_NAME_CODE_SEQUENCE, code("WS1"));
    item.put_items(tags::PERFORMED_WORKITEM_CODE_SEQUENCE, code("110005"));
    item.put_text(tags::PERFORMED_PROCEDURE_STEP_START_DATE_TIME, VR::DT, "20260301102000");
    item.put_text(tags::PERFORMED_PROCEDURE_STEP_END_DATE_TIME, VR::DT, "20260301103000");
    item.put_empty(tags::OUTPUT_INFORMATION_SEQUENCE, VR::SQ);
    let mut changes = Attributes::new();
    changes.put_items(tags::UNIFIED_PROCEDURE_STEP_PERFORMED_PROCEDURE_SEQUENCE, vec![item]);
    changes
}

fn created() -> Workitem {
    Workitem::create(SopInstanceUid::parse("2.25.1").unwrap(), scheduled(), NOW).unwrap().0
}

/// One that has come to a state on the usual way.
fn in_state(state: StepState) -> Workitem {
    let mut workitem = created();
    if state != Scheduled {
        workitem.change_state(InProgress, Some(LOCK), NOW).unwrap();
    }
    if state.is_final() {
        workitem.update(&performed(), Some(LOCK), NOW).unwrap();
        workitem.change_state(state, Some(LOCK), NOW).unwrap();
    }
    workitem
}

use StepState::{Canceled, Completed, InProgress, Scheduled};

/// PS3.4 Table CC.1.1-2, with the Transaction UID that claimed it.
#[rstest]
#[case(Scheduled, InProgress, "now")]
#[case(Scheduled, Completed, "transition")]
#[case(Scheduled, Canceled, "transition")]
#[case(InProgress, Scheduled, "transition")]
#[case(InProgress, InProgress, "transition")]
#[case(InProgress, Completed, "now")]
#[case(InProgress, Canceled, "now")]
#[case(Completed, InProgress, "transition")]
#[case(Completed, Completed, "before")]
#[case(Completed, Canceled, "transition")]
#[case(Canceled, InProgress, "transition")]
#[case(Canceled, Completed, "transition")]
#[case(Canceled, Canceled, "before")]
fn states_change_as_the_table_says(#[case] from: StepState, #[case] to: StepState, #[case] expected: &str) {
    let mut workitem = in_state(from);
    if from == InProgress && to == Completed {
        workitem.update(&performed(), Some(LOCK), NOW).unwrap();
    }
    let found = match workitem.change_state(to, Some(LOCK), NOW) {
        Ok((Reached::Now, reports)) => {
            assert_eq!((workitem.state, reports.len()), (to, 1));
            assert_eq!(reports[0].information.text(tags::PROCEDURE_STEP_STATE).as_deref(), Some(to.term()));
            "now"
        }
        Ok((Reached::Before, _)) => "before",
        Err(StepRefusal::Transition(..)) => "transition",
        Err(other) => panic!("{other}"),
    };
    assert_eq!(found, expected);
    assert_eq!(workitem.attributes.text(tags::PROCEDURE_STEP_STATE).as_deref(), Some(workitem.state.term()));
}

#[rstest]
#[case(InProgress)]
#[case(Completed)]
#[case(Canceled)]
fn nobody_without_the_lock_changes_anything(#[case] state: StepState) {
    for to in [InProgress, Completed, Canceled] {
        let wrong = in_state(state).change_state(to, Some("2.25.78"), NOW).unwrap_err();
        assert!(matches!(wrong, StepRefusal::TransactionIncorrect), "{wrong}");
        let missing = in_state(state).change_state(to, None, NOW).unwrap_err();
        assert!(matches!(missing, StepRefusal::TransactionMissing), "{missing}");
    }
}

#[test]
fn it_is_updated_by_whoever_may() {
    let mut label = Attributes::new();
    label.put_text(tags::PROCEDURE_STEP_LABEL, VR::LO, "Other");
    let update = |state, lock: Option<&str>| in_state(state).update(&label, lock, NOW);
    assert!(update(Scheduled, None).is_ok() && update(InProgress, Some(LOCK)).is_ok());
    assert!(matches!(update(Scheduled, Some(LOCK)), Err(StepRefusal::NotClaimed)));
    assert!(matches!(update(InProgress, None), Err(StepRefusal::TransactionMissing)));
    assert!(matches!(update(InProgress, Some("2.25.78")), Err(StepRefusal::TransactionIncorrect)));
    assert!(matches!(update(Completed, Some(LOCK)), Err(StepRefusal::Final(Completed))));
    assert!(matches!(update(Canceled, Some(LOCK)), Err(StepRefusal::Final(Canceled))));
}

#[rstest]
#[case(tags::PROCEDURE_STEP_STATE, VR::CS, "COMPLETED")]
#[case(tags::PATIENT_NAME, VR::PN, "Other")]
#[case(tags::SOP_INSTANCE_UID, VR::UI, "2.25.9")]
#[case(tags::INPUT_READINESS_STATE, VR::CS, "PERHAPS")]
#[case(tags::PROCEDURE_STEP_LABEL, VR::LO, "")]
fn an_update_changes_nothing_that_it_may_not(#[case] tag: Tag, #[case] vr: VR, #[case] value: &str) {
    let mut changes = Attributes::new();
    changes.put_text(tag, vr, value);
    let mut workitem = created();
    assert!(matches!(workitem.update(&changes, None, NOW), Err(StepRefusal::Invalid(_))));
    assert_eq!(workitem, created());
}

#[rstest]
#[case(tags::PROCEDURE_STEP_STATE, "IN PROGRESS")]
#[case(tags::SCHEDULED_PROCEDURE_STEP_PRIORITY, "")]
#[case(tags::SCHEDULED_PROCEDURE_STEP_PRIORITY, "SOON")]
#[case(tags::PROCEDURE_STEP_LABEL, "")]
#[case(tags::SCHEDULED_PROCEDURE_STEP_START_DATE_TIME, "")]
#[case(tags::INPUT_READINESS_STATE, "")]
#[case(tags::TRANSACTION_UID, "2.25.77")]
fn a_new_one_says_what_it_has_to(#[case] tag: Tag, #[case] value: &str) {
    let mut attributes = scheduled();
    attributes.put_text(tag, VR::CS, value);
    let made = Workitem::create(SopInstanceUid::parse("2.25.1").unwrap(), attributes, NOW);
    assert!(matches!(made, Err(StepRefusal::Invalid(_))));
}

#[test]
fn it_is_completed_only_when_it_says_what_was_performed() {
    let mut workitem = in_state(InProgress);
    let early = workitem.change_state(Completed, Some(LOCK), NOW).unwrap_err();
    assert!(matches!(early, StepRefusal::Unfinished(_)), "{early}");
    let mut half = performed();
    let mut item = half.items(tags::UNIFIED_PROCEDURE_STEP_PERFORMED_PROCEDURE_SEQUENCE)[0].clone();
    item.remove(tags::PERFORMED_PROCEDURE_STEP_END_DATE_TIME);
    half.put_items(tags::UNIFIED_PROCEDURE_STEP_PERFORMED_PROCEDURE_SEQUENCE, vec![item]);
    workitem.update(&half, Some(LOCK), NOW).unwrap();
    assert!(matches!(workitem.change_state(Completed, Some(LOCK), NOW), Err(StepRefusal::Unfinished(_))));
    assert_eq!(workitem.state, InProgress);
}

#[test]
fn a_cancellation_is_told_to_who_performs_it_and_done_where_nobody_does() {
    let mut asked = Attributes::new();
    asked.put_text(tags::REASON_FOR_CANCELLATION, VR::LT, "not needed");
    let mut performed = in_state(InProgress);
    let (_, reports) = performed.request_cancellation(&asked, "WEB", NOW).unwrap();
    assert_eq!((performed.state, reports[0].event), (InProgress, StepEvent::CancelRequested));
    assert_eq!(reports[0].information.text(tags::REASON_FOR_CANCELLATION).as_deref(), Some("not needed"));
    let mut waiting = created();
    let (_, reports) = waiting.request_cancellation(&asked, "WEB", NOW).unwrap();
    assert_eq!((waiting.state, reports.len()), (Canceled, 2));
    assert!(matches!(waiting.request_cancellation(&asked, "WEB", NOW), Ok((Reached::Before, _))));
    let done = in_state(Completed).request_cancellation(&asked, "WEB", NOW).unwrap_err();
    assert!(matches!(done, StepRefusal::Final(Completed)), "{done}");
}

#[test]
fn what_is_kept_is_what_was_there() {
    let workitem = in_state(InProgress);
    let kept = workitem.body().unwrap();
    // Values of odd lengths come back with what pads them.
    assert_eq!(Workitem::read("2.25.1", &kept).unwrap().body().unwrap(), kept);
    assert!(!workitem.attributes.contains(tags::TRANSACTION_UID), "the lock is its owner's");
}
