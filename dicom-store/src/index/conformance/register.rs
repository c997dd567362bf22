//! The register: what is written, counted and removed by kind and name.

use crate::index::{AuditRow, Index};
use crate::register::{Entry, Registered};

async fn names(index: &dyn Index, kind: &str, after: &str, limit: u32) -> Vec<String> {
    let rows: Vec<Registered> = index.registered(kind, after, limit).await.unwrap();
    rows.into_iter().map(|row| row.name).collect()
}

pub async fn registers_by_kind_and_name(index: &dyn Index) {
    let entry = |kind, name: &str, body: &str| Entry::new(kind, name, body);
    let by = AuditRow::new("somebody", "put", "b", "done");
    let entries = [entry("peer", "b", "1"), entry("peer", "A", "2"), entry("sender", "b", "3")];
    index.register(&entries, Some(&by)).await.unwrap();
    assert_eq!(names(index, "peer", "", 10).await, ["A", "b"]);
    assert_eq!(names(index, "peer", "A", 10).await, ["b"]);
    assert_eq!(names(index, "peer", "", 1).await, ["A"]);

    let first = index.registered_as("peer", "b").await.unwrap().unwrap();
    assert_eq!((first.body.as_str(), first.times), ("1", 1));
    assert!(first.made > 0 && first.made == first.written);
    index.register(&[Entry { times: 3, ..entry("peer", "b", "4") }], None).await.unwrap();
    let second = index.registered_as("peer", "b").await.unwrap().unwrap();
    assert_eq!((second.body.as_str(), second.times, second.made), ("4", 4, first.made));
    assert!(second.written >= first.written);

    let by = AuditRow::new("somebody", "remove", "b", "done");
    assert!(index.unregister("peer", "b", Some(&by)).await.unwrap());
    assert!(
        !index.unregister("peer", "b", Some(&by)).await.unwrap(),
        "nothing is removed twice, nor said to be"
    );
    assert_eq!(index.registered_as("peer", "b").await.unwrap(), None);
    assert_eq!(names(index, "sender", "", 10).await, ["b"]);
    let audit = index.audit(None, 10).await.unwrap();
    let actions: Vec<_> = audit.iter().map(|(_, row)| row.action.as_str()).collect();
    assert_eq!(actions, ["remove", "put"]);
}

pub async fn registers_over_what_was_read_and_nothing_else(index: &dyn Index) {
    let entry = |body: &str| Entry::new("workitem", "1.2", body);
    let times = async || index.registered_as("workitem", "1.2").await.unwrap().map(|row| row.times);
    assert!(!index.register_if(&entry("a"), 1, None).await.unwrap(), "there is none yet");
    assert!(index.register_if(&entry("a"), 0, None).await.unwrap());
    assert!(!index.register_if(&entry("b"), 0, None).await.unwrap(), "there is one");
    assert_eq!(times().await, Some(1));
    // Two that have read the same: the second is told.
    let by = AuditRow::new("somebody", "change", "1.2", "done");
    assert!(index.register_if(&entry("b"), 1, Some(&by)).await.unwrap());
    assert!(!index.register_if(&entry("c"), 1, Some(&by)).await.unwrap());
    let row = index.registered_as("workitem", "1.2").await.unwrap().unwrap();
    assert_eq!((row.body.as_str(), row.times), ("b", 2));
    assert_eq!(index.audit(None, 10).await.unwrap().len(), 1, "what was not done is not audited");
}
