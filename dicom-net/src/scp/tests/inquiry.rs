//! C-FIND at a peer that ends otherwise than well.

use dicom::dictionary_std::tags;
use dicom_store::model::VR;
use rstest::rstest;
use tokio::net::TcpListener;

use super::peer::{EXPLICIT, called};
use super::services::identifier;
use crate::Config;
use crate::dimse::{Request, Response, Status};
use crate::error::{Error, Result};
use crate::scu::{Found, find};
use crate::ul::Received;

/// Matching reached response limit (PS3.4 Table CC.2.8-2, §C.4.1.1.4).
const LIMIT_REACHED: Status = Status(0xB001);

enum Answer {
    Row(&'static str),
    /// A row that breaks off within an element.
    Broken,
    /// One that is longer than any is.
    Long,
}
use Answer::{Broken, Long, Row};

/// What comes of a question that is answered so.
async fn asked(answers: &[Answer], last: Status) -> Result<Found> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = format!("OLD={}", listener.local_addr().unwrap()).parse().unwrap();
    let question = identifier("STUDY", &[(tags::STUDY_INSTANCE_UID, VR::UI, "")]);
    let question =
        dicom_store::model::Attributes::read(question.into(), dicom_store::model::Encoding::ExplicitLittle);
    let answering = async {
        let mut association = called(&listener).await;
        assert_eq!(association.contexts.get(1).unwrap().transfer_syntax.as_str(), EXPLICIT);
        let Ok(Received::Command { context, command }) = association.reader.next().await else { panic!() };
        let Some(Request::CFind(request)) = Request::read(command) else { panic!() };
        while !association.reader.data(context).await.unwrap().is_last {}
        let pending = Response::new(&request.identity, Status::PENDING).with_data_set().write();
        for answer in answers {
            let row = |uid: &str| identifier("STUDY", &[(tags::STUDY_INSTANCE_UID, VR::UI, uid)]);
            let row = match answer {
                Row(uid) => row(uid),
                Broken => row("1.2.3.4").split_off(3),
                Long => vec![0; (1 << 20) + 2],
            };
            association.writer.queue(context, &pending, Some(&row));
        }
        association.writer.queue(context, &Response::new(&request.identity, last).write(), None);
        association.writer.flush().await.unwrap();
        // Released or aborted, as the answers were.
        association.reader.next().await.map(|_| ())
    };
    let config = Config::default();
    let question = question.unwrap();
    let ask = async {
        let found = find(&config, &peer, &question, 100);
        tokio::time::timeout(std::time::Duration::from_secs(60), found).await.unwrap()
    };
    tokio::pin!(ask);
    tokio::select! {
        found = &mut ask => found,
        // The association is closed when this side is done with it.
        _ = answering => ask.await,
    }
}

#[rstest]
#[case::all(&[Row("1.1"), Row("1.2")], Status::SUCCESS, &["1.1", "1.2"], true)]
#[case::none(&[], Status::SUCCESS, &[], true)]
#[case::limit(&[Row("1.1"), Row("1.2")], LIMIT_REACHED, &["1.1", "1.2"], false)]
#[case::limit_without_rows(&[], LIMIT_REACHED, &[], false)]
#[case::failure_behind_rows(&[Row("1.1"), Row("1.2")], Status::OUT_OF_RESOURCES, &["1.1", "1.2"], false)]
#[case::a_row_that_cannot_be_read(&[Row("1.1"), Broken, Row("1.2")], Status::SUCCESS, &["1.1", "1.2"], false)]
#[case::a_row_that_is_too_long(&[Long, Row("1.2")], Status::SUCCESS, &["1.2"], false)]
#[tokio::test]
async fn what_a_peer_has_told_is_not_lost(
    #[case] answers: &[Answer],
    #[case] last: Status,
    #[case] expected: &[&str],
    #[case] is_all: bool,
) {
    let found = asked(answers, last).await.unwrap();
    let told: Vec<_> = found.rows.iter().filter_map(|row| row.uid(tags::STUDY_INSTANCE_UID)).collect();
    assert_eq!((told.as_slice(), found.is_all), (expected, is_all));
}

#[tokio::test]
async fn a_failure_alone_is_one() {
    let refused = asked(&[], Status::OUT_OF_RESOURCES).await.unwrap_err();
    assert!(matches!(refused, Error::Refused { status: Status::OUT_OF_RESOURCES, .. }), "{refused}");
    // Nothing is told of which one could say that it is all.
    let unreadable = asked(&[Broken, Broken], Status::SUCCESS).await.unwrap_err();
    assert!(unreadable.to_string().contains("cannot be read"), "{unreadable}");
}
