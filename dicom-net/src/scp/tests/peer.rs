//! A server with an empty archive, and a peer that says exactly what it is told to.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{BufMut, Bytes};
use dicom_store::fixture;
use dicom_store::model::{Attributes, Encoding};
use dicom_store::{Archive, Session};
use dicom_ul::pdu::{AssociationRQ, Pdu, PresentationContextProposed, UserVariableItem, write_pdu};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use worker::{CpuPool, Registry};

use crate::dimse::{Request, Response};
use crate::scp::services::Offered;
use crate::ul::{Association, Limits, Terms, accept, agree};
use crate::{Config, Server};

/// Nothing on loopback takes this long.
const LIMIT: Duration = Duration::from_secs(60);

pub(super) const IMPLICIT: &str = "1.2.840.10008.1.2";
pub(super) const EXPLICIT: &str = "1.2.840.10008.1.2.1";
pub(super) const VERIFICATION: &str = "1.2.840.10008.1.1";
pub(super) const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
pub(super) const FIND: &str = "1.2.840.10008.5.1.4.1.2.2.1";
pub(super) const GET: &str = "1.2.840.10008.5.1.4.1.2.2.3";
pub(super) const MOVE: &str = "1.2.840.10008.5.1.4.1.2.2.2";
pub(super) const PATIENT_ROOT_MOVE: &str = "1.2.840.10008.5.1.4.1.2.1.2";

pub(super) struct Running {
    pub(super) address: SocketAddr,
    pub(super) stop: CancellationToken,
    pub(super) serving: JoinHandle<()>,
    archive: Archive,
    _folder: Box<dyn std::any::Any + Send>,
}

impl Running {
    pub(super) fn archive(&self) -> &Archive {
        &self.archive
    }

    pub(super) fn session(&self) -> Session {
        fixture::system(&self.archive)
    }
}

pub(super) async fn serve(config: Config) -> Running {
    let (archive, folder) = fixture::archive().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let server = Server::new(archive.clone(), CpuPool::new(1).unwrap(), config);
    tokio::spawn(worker::background::run(
        archive.clone(),
        Registry::new(),
        vec![server.awaited()],
        Duration::from_secs(60),
        stop.clone(),
    ));
    let serving = tokio::spawn(server.serve(listener, stop.clone()));
    Running { address, stop, serving, archive, _folder: Box::new(folder) }
}

pub(super) struct Peer {
    stream: TcpStream,
}

pub(super) fn request(calling: &str, contexts: &[(&str, &str)]) -> Vec<u8> {
    request_with(calling, contexts, Vec::new())
}

/// The same with more user information.
pub(super) fn request_with(
    calling: &str,
    contexts: &[(&str, &str)],
    variables: Vec<UserVariableItem>,
) -> Vec<u8> {
    let ids = (1..=u8::MAX).step_by(2);
    let contexts =
        ids.zip(contexts).map(|(id, (abstract_syntax, transfer_syntax))| PresentationContextProposed {
            id,
            abstract_syntax: (*abstract_syntax).to_owned(),
            transfer_syntaxes: vec![(*transfer_syntax).to_owned()],
        });
    let request = AssociationRQ {
        protocol_version: 1,
        calling_ae_title: calling.to_owned(),
        called_ae_title: "FILMLESS".to_owned(),
        application_context_name: crate::ul::APPLICATION_CONTEXT.to_owned(),
        presentation_contexts: contexts.collect(),
        user_variables: [vec![UserVariableItem::MaxLength(16384)], variables].concat(),
    };
    let mut bytes = Vec::new();
    write_pdu(&mut bytes, &Pdu::AssociationRQ(request)).unwrap();
    bytes
}

impl Peer {
    pub(super) async fn connect(to: &Running) -> Self {
        Self { stream: TcpStream::connect(to.address).await.unwrap() }
    }

    /// An association; all contexts have to be accepted.
    pub(super) async fn associate(to: &Running, calling: &str, contexts: &[(&str, &str)]) -> Self {
        Self::associate_with(to, calling, contexts, Vec::new()).await
    }

    /// The same with more user information.
    pub(super) async fn associate_with(
        to: &Running,
        calling: &str,
        contexts: &[(&str, &str)],
        variables: Vec<UserVariableItem>,
    ) -> Self {
        let mut peer = Self::connect(to).await;
        peer.send(&request_with(calling, contexts, variables)).await;
        let (kind, _) = peer.pdu().await.unwrap();
        assert_eq!(kind, 2, "no A-ASSOCIATE-AC");
        peer
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next PDU, `None` when the server closed.
    pub(super) async fn pdu(&mut self) -> Option<(u8, Vec<u8>)> {
        let read = async {
            let kind = self.stream.read_u8().await.ok()?;
            self.stream.read_u8().await.ok()?;
            let length = self.stream.read_u32().await.ok()?;
            let mut body = vec![0; usize::try_from(length).unwrap()];
            self.stream.read_exact(&mut body).await.ok()?;
            Some((kind, body))
        };
        timeout(LIMIT, read).await.expect("the server says nothing")
    }

    pub(super) async fn release(&mut self) {
        self.send(&[5, 0, 0, 0, 0, 4, 0, 0, 0, 0]).await;
        assert_eq!(self.pdu().await, Some((6, vec![0; 4])));
    }

    /// The next response, and its data set where one follows. All of ours fit into a PDU each.
    pub(super) async fn response(&mut self) -> (Response, Option<Attributes>) {
        let (kind, body) = self.pdu().await.expect("the server closed");
        assert_eq!(kind, 4, "no P-DATA-TF: {body:?}");
        let Some(Request::Response(response)) = Request::read(Bytes::from(body).slice(6..)) else {
            panic!("no response");
        };
        if !response.has_data_set() {
            return (response, None);
        }
        let (_, body) = self.pdu().await.expect("the server closed");
        let data = Attributes::read(Bytes::from(body).slice(6..), Encoding::ExplicitLittle).unwrap();
        (response, Some(data))
    }

    /// Sends a message and gives the final response, with how many came before.
    pub(super) async fn ask(&mut self, message: &[u8]) -> (Response, usize) {
        self.send(message).await;
        for pending in 0.. {
            let (response, _) = self.response().await;
            if !response.status.is_pending() {
                return (response, pending);
            }
        }
        unreachable!("responses end");
    }
}

/// The next association with a peer that is called, and that does with it what the test says.
pub(super) async fn called(listener: &TcpListener) -> Association<OwnedReadHalf, OwnedWriteHalf> {
    let (reader, writer) = listener.accept().await.unwrap().0.into_split();
    let requested = accept(reader, writer, Limits { artim: LIMIT, patience: LIMIT }).await.ok().unwrap();
    let offered = Offered::to(&requested.request, &Config::default());
    let terms = Terms {
        called: &[],
        max_length: 65536,
        operations: 1,
        confirms_identity: false,
        wanted: &[],
        services: &offered,
    };
    let agreement = agree(&requested.request, &terms).ok().unwrap();
    requested.accept(agreement, 65536).await.unwrap()
}

/// A P-DATA-TF with one PDV.
pub(super) fn p_data(context: u8, control: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap();
    let mut out = vec![4, 0];
    out.put_u32(length + 6);
    out.put_u32(length + 2);
    out.extend([context, control]);
    out.extend(bytes);
    out
}

/// A message: command and data set, in fragments that keep to our maximum length.
pub(super) fn message(context: u8, command: &[u8], data: Option<&[u8]>) -> Vec<u8> {
    let mut out = p_data(context, 3, command);
    if let Some(data) = data {
        let parts = data.chunks(65536).collect::<Vec<_>>();
        for (index, part) in parts.iter().enumerate() {
            let is_last = index + 1 == parts.len();
            out.extend(p_data(context, if is_last { 2 } else { 0 }, part));
        }
    }
    out
}

/// A command with any elements of group 0000, numbers as two bytes.
pub(super) fn command(sop_class: &str, field: u16, has_data_set: bool, more: &[(u16, &str)]) -> Vec<u8> {
    let data_set_type: u16 = if has_data_set { 1 } else { 0x0101 };
    let mut elements: Vec<(u16, Vec<u8>)> = vec![
        (0x0002, sop_class.as_bytes().to_vec()),
        (0x0100, field.to_le_bytes().to_vec()),
        (0x0110, 7_u16.to_le_bytes().to_vec()),
        (0x0120, 7_u16.to_le_bytes().to_vec()),
        (0x0800, data_set_type.to_le_bytes().to_vec()),
    ];
    elements.extend(more.iter().map(|(number, text)| (*number, text.as_bytes().to_vec())));
    let mut out = Vec::new();
    for (number, mut value) in elements {
        if value.len() % 2 == 1 {
            value.push(0);
        }
        out.put_u16_le(0);
        out.put_u16_le(number);
        out.put_u32_le(u32::try_from(value.len()).unwrap());
        out.extend(value);
    }
    out
}
