//! C-CANCEL of a C-MOVE whose destination does not answer (PS3.4 §C.4.2.3.1, PS3.7 §9.3.2.3).

use dicom::dictionary_std::tags;
use dicom_store::fixture::{self, Sample, ct};
use dicom_store::model::Attributes;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::peer::{EXPLICIT, MOVE, Peer, Running, called, command, p_data, serve};
use super::services::move_message;
use crate::Config;
use crate::dimse::{Response, Status, SubOperations};
use crate::ul::Received;

/// A server with three instances, and one destination: one association at a time goes to it.
async fn with_destination(listener: &TcpListener) -> (Running, Sample) {
    let mut destination: dicom_store::Peer =
        format!("DEAF={}", listener.local_addr().unwrap()).parse().unwrap();
    destination.max_associations = 1;
    let peers = vec!["WS1=127.0.0.1:1".parse().unwrap(), destination];
    let server = serve(Config { peers, ..Config::default() }).await;
    let first = ct();
    for sample in [&first, &first.next(2), &first.next(3)] {
        fixture::store(&server.session(), sample).await.unwrap();
    }
    (server, first)
}

/// Takes an instance and answers nothing; gives how its association ended.
fn deaf(listener: TcpListener) -> (oneshot::Receiver<()>, JoinHandle<String>) {
    let (taken, is_taken) = oneshot::channel();
    let deaf = tokio::spawn(async move {
        let mut association = called(&listener).await;
        let Ok(Received::Command { context, .. }) = association.reader.next().await else { panic!() };
        while !association.reader.data(context).await.unwrap().is_last {}
        taken.send(()).unwrap();
        association.reader.next().await.err().unwrap().to_string()
    });
    (is_taken, deaf)
}

async fn begin(server: &Running, sample: &Sample) -> Peer {
    let mut peer = Peer::associate(server, "WS1", &[(MOVE, EXPLICIT)]).await;
    peer.send(&move_message("DEAF", sample)).await;
    assert_eq!(peer.response().await.0.status, Status::PENDING);
    peer
}

async fn cancel(peer: &mut Peer) -> (Response, Option<Attributes>) {
    peer.send(&p_data(1, 3, &command(MOVE, 0x0FFF, false, &[]))).await;
    loop {
        let (response, data) = peer.response().await;
        if !response.status.is_pending() {
            return (response, data);
        }
    }
}

#[tokio::test]
async fn a_move_ends_though_the_destination_does_not_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (server, sample) = with_destination(&listener).await;
    let (is_taken, deaf) = deaf(listener);
    let mut peer = begin(&server, &sample).await;
    is_taken.await.unwrap();

    // Another one waits for the only place at the destination.
    let mut other = begin(&server, &sample).await;
    let (response, data) = cancel(&mut other).await;
    assert_eq!((response.status, data), (Status::CANCEL, None));
    assert_eq!(response.counts(), Some(SubOperations { remaining: 3, ..SubOperations::default() }));

    let (response, data) = cancel(&mut peer).await;
    assert_eq!(response.status, Status::CANCEL);
    // What was under way is not known to be there; nothing is said of what was not begun.
    assert_eq!(
        response.counts(),
        Some(SubOperations { remaining: 2, failed: 1, ..SubOperations::default() })
    );
    assert_eq!(data.unwrap().texts(tags::FAILED_SOP_INSTANCE_UID_LIST).len(), 1);
    let ended = deaf.await.unwrap();
    assert!(ended.contains("aborted"), "{ended}");
    peer.release().await;
    other.release().await;
}

#[tokio::test]
async fn a_move_ends_while_the_destination_is_still_called() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (server, sample) = with_destination(&listener).await;
    let mut peer = begin(&server, &sample).await;
    // It says nothing to the request for an association.
    let _silent = listener.accept().await.unwrap();
    let (response, data) = cancel(&mut peer).await;
    assert_eq!((response.status, data), (Status::CANCEL, None));
    assert_eq!(response.counts(), Some(SubOperations { remaining: 3, ..SubOperations::default() }));
}
