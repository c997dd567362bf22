//! A DIMSE peer that does exactly what a test says, however wrong.
//!
//! Written from PS3.7 and PS3.8 alone and without our own network crate, so that the two can disagree.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time,
};

use crate::corpus::DataSet;

pub const VERIFICATION: &str = "1.2.840.10008.1.1";
pub const CT_IMAGE: &str = "1.2.840.10008.5.1.4.1.1.2";
pub const IMPLICIT_LITTLE: &str = "1.2.840.10008.1.2";
pub const EXPLICIT_LITTLE: &str = "1.2.840.10008.1.2.1";

/// Command Field values (PS3.7 §E.1).
const C_STORE_RQ: u16 = 0x0001;
const C_GET_RQ: u16 = 0x0010;
const C_MOVE_RQ: u16 = 0x0021;
const C_ECHO_RQ: u16 = 0x0030;

/// Data Set Type of a message without a data set (PS3.7 §E.1).
const NO_DATA_SET: u16 = 0x0101;

const LIMIT: Duration = Duration::from_secs(120);

/// A presentation context to propose; ids are odd (PS3.8 §9.3.2.2).
#[derive(Clone, Copy)]
pub struct Proposal<'a> {
    pub id: u8,
    pub abstract_syntax: &'a str,
    pub transfer_syntaxes: &'a [&'a str],
}

/// An association as its requestor.
pub struct Association {
    stream: TcpStream,
    /// Longest P-DATA-TF that the server takes, its six bytes of head left out; 0 for no limit.
    max_pdu: usize,
    accepted: BTreeMap<u8, String>,
    message_id: u16,
}

/// A PDU: its type and what follows the head.
#[derive(Debug)]
pub struct Pdu {
    pub kind: u8,
    pub body: Vec<u8>,
}

impl Association {
    /// Connects, proposes, and reads the answer.
    ///
    /// # Errors
    /// When the association is rejected or nothing comes.
    pub async fn request(server: SocketAddr, calling: &str, proposals: &[Proposal<'_>]) -> Result<Self> {
        Self::begin(server, &associate_rq(calling, "FILMLESS", proposals)?).await
    }

    /// The same for C-GET: the requestor takes the instances as an SCP (PS3.7 §D.3.3.4).
    pub async fn request_as_scp(
        server: SocketAddr,
        calling: &str,
        proposals: &[Proposal<'_>],
    ) -> Result<Self> {
        Self::begin(server, &request(calling, "FILMLESS", proposals, true)?).await
    }

    async fn begin(server: SocketAddr, request: &[u8]) -> Result<Self> {
        let stream = connect(server).await?;
        let mut association = Self { stream, max_pdu: 0, accepted: BTreeMap::new(), message_id: 0 };
        association.send(request).await?;
        let answer = association.pdu().await?;
        ensure!(answer.kind == 2, "A-ASSOCIATE-AC expected, got {answer:?}");
        association.read_acceptance(answer.body.get(68..).context("short A-ASSOCIATE-AC")?)?;
        Ok(association)
    }

    /// One context for CT Image Storage in Explicit VR Little Endian, with the id 1.
    pub async fn for_ct(server: SocketAddr, calling: &str) -> Result<Self> {
        let proposal = Proposal { id: 1, abstract_syntax: CT_IMAGE, transfer_syntaxes: &[EXPLICIT_LITTLE] };
        Self::request(server, calling, &[proposal]).await
    }

    /// The transfer syntax that was accepted for a context.
    pub fn transfer_syntax(&self, context: u8) -> Option<&str> {
        self.accepted.get(&context).map(String::as_str)
    }

    /// C-STORE of a whole data set; gives the status.
    pub async fn store(&mut self, context: u8, class: &str, instance: &str, data_set: &[u8]) -> Result<u16> {
        self.begin_store(context, class, instance).await?;
        self.data(context, data_set, true).await?;
        self.status().await
    }

    /// The command set of a C-STORE, whose data set is to follow.
    pub async fn begin_store(&mut self, context: u8, class: &str, instance: &str) -> Result<()> {
        self.message_id += 1;
        let command = command_set(&[
            (0x0002, uid(class)),
            (0x0100, C_STORE_RQ.to_le_bytes().to_vec()),
            (0x0110, self.message_id.to_le_bytes().to_vec()),
            (0x0700, 0_u16.to_le_bytes().to_vec()),
            (0x0800, 0_u16.to_le_bytes().to_vec()),
            (0x1000, uid(instance)),
        ])?;
        self.send(&p_data(&[pdv(context, 0b11, &command)?])?).await
    }

    /// C-ECHO on a context of the Verification SOP Class; gives the status.
    pub async fn echo(&mut self, context: u8) -> Result<u16> {
        self.message_id += 1;
        let command = command_set(&[
            (0x0002, uid(VERIFICATION)),
            (0x0100, C_ECHO_RQ.to_le_bytes().to_vec()),
            (0x0110, self.message_id.to_le_bytes().to_vec()),
            (0x0800, NO_DATA_SET.to_le_bytes().to_vec()),
        ])?;
        self.send(&p_data(&[pdv(context, 0b11, &command)?])?).await?;
        self.status().await
    }

    /// Part of a data set, in PDUs of the size that the server takes; `last` ends the data set.
    pub async fn data(&mut self, context: u8, bytes: &[u8], last: bool) -> Result<()> {
        let room = match self.max_pdu {
            0 => 1 << 20,
            limit => limit.min(1 << 20).saturating_sub(6).max(1),
        };
        let mut rest = bytes;
        loop {
            let (now, later) = rest.split_at(room.min(rest.len()));
            let control = if last && later.is_empty() { 0b10 } else { 0b00 };
            // Head and value apart, so that a big value is not copied.
            let length = u32::try_from(now.len() + 2)?;
            let mut head = vec![4, 0];
            head.extend_from_slice(&(length + 4).to_be_bytes());
            head.extend_from_slice(&length.to_be_bytes());
            head.extend_from_slice(&[context, control]);
            self.send(&head).await?;
            self.send(now).await?;
            rest = later;
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    /// C-GET or C-MOVE of a study, the latter to a `destination`; the responses are still to come.
    pub async fn begin_retrieve(
        &mut self,
        context: u8,
        class: &str,
        study: &str,
        destination: Option<&str>,
    ) -> Result<()> {
        self.message_id += 1;
        let field = if destination.is_some() { C_MOVE_RQ } else { C_GET_RQ };
        let mut elements = vec![
            (0x0002, uid(class)),
            (0x0100, field.to_le_bytes().to_vec()),
            (0x0110, self.message_id.to_le_bytes().to_vec()),
            (0x0700, 0_u16.to_le_bytes().to_vec()),
            (0x0800, 0_u16.to_le_bytes().to_vec()),
        ];
        if let Some(title) = destination {
            elements.insert(3, (0x0600, format!("{title:<16}").into_bytes()));
        }
        let mut identifier = DataSet::default();
        identifier.text(0x0008, 0x0052, "CS", "STUDY");
        identifier.text(0x0020, 0x000D, "UI", study);
        self.send(&p_data(&[pdv(context, 0b11, &command_set(&elements)?)?])?).await?;
        self.data(context, &identifier.bytes, true).await
    }

    /// The status of the next response (PS3.7 Annex C).
    pub async fn status(&mut self) -> Result<u16> {
        let command = self.command().await?;
        let status = command.get(&0x0900).context("a response without a status")?;
        Ok(u16::from_le_bytes(status.as_slice().try_into().context("a status of other than two bytes")?))
    }

    /// The next command set, its elements of group 0000 by element number.
    pub async fn command(&mut self) -> Result<BTreeMap<u16, Vec<u8>>> {
        let mut bytes = Vec::new();
        loop {
            let pdu = self.pdu().await?;
            ensure!(pdu.kind == 4, "P-DATA-TF expected, got {pdu:?}");
            let mut rest = pdu.body.as_slice();
            while let Some((length, after)) = rest.split_first_chunk::<4>() {
                let length = usize::try_from(u32::from_be_bytes(*length))?;
                ensure!(length >= 2 && length <= after.len(), "a PDV of {length} bytes");
                let (item, after) = after.split_at(length);
                rest = after;
                let &[_, control, ref value @ ..] = item else { bail!("a PDV without its head") };
                ensure!(control & 1 == 1, "a data set where a command set was expected");
                bytes.extend_from_slice(value);
                if control & 2 == 2 {
                    return elements(&bytes);
                }
            }
        }
    }

    /// The next PDU, whatever it is.
    ///
    /// # Errors
    /// When the connection ends or nothing comes.
    pub async fn pdu(&mut self) -> Result<Pdu> {
        time::timeout(LIMIT, read_pdu(&mut self.stream)).await.context("no PDU came")?
    }

    /// Whether the server ends the connection, with an A-ABORT or without.
    pub async fn is_ended(&mut self) -> Result<bool> {
        match time::timeout(LIMIT, read_pdu(&mut self.stream))
            .await
            .context("the server keeps the connection")?
        {
            Ok(pdu) => Ok(pdu.kind == 7),
            Err(_) => Ok(true),
        }
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        time::timeout(LIMIT, self.stream.write_all(bytes)).await.context("the server takes nothing")??;
        Ok(())
    }

    /// A-RELEASE and its answer (PS3.8 §7.2).
    pub async fn release(mut self) -> Result<()> {
        self.send(&[5, 0, 0, 0, 0, 4, 0, 0, 0, 0]).await?;
        let answer = self.pdu().await?;
        ensure!(answer.kind == 6, "A-RELEASE-RP expected, got {answer:?}");
        Ok(())
    }

    fn read_acceptance(&mut self, mut items: &[u8]) -> Result<()> {
        while let Some(Item { kind, value, rest }) = item(items)? {
            items = rest;
            match (kind, value) {
                // Presentation context: id, reserved, result (0: accepted), reserved, transfer syntax item.
                (0x21, &[id, _, 0, _, ref syntax @ ..]) => {
                    let syntax =
                        item(syntax)?.context("an accepted context without a transfer syntax")?.value;
                    self.accepted
                        .insert(id, String::from_utf8_lossy(syntax).trim_end_matches('\0').to_owned());
                }
                (0x50, user) => self.max_pdu = max_pdu(user)?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// The Maximum Length among the user items (PS3.8 §D.1).
fn max_pdu(mut items: &[u8]) -> Result<usize> {
    while let Some(Item { kind, value, rest }) = item(items)? {
        items = rest;
        if kind == 0x51 {
            let length = value.try_into().context("a maximum length of other than four bytes")?;
            return Ok(usize::try_from(u32::from_be_bytes(length))?);
        }
    }
    bail!("no maximum length")
}

/// A-ASSOCIATE-AC to a request: every context with the first transfer syntax that was proposed for it.
///
/// # Errors
/// When the PDU is no request for an association.
pub fn associate_ac(request: &Pdu) -> Result<Vec<u8>> {
    ensure!(request.kind == 1, "A-ASSOCIATE-RQ expected, got {request:?}");
    let (head, mut items) = request.body.split_at_checked(68).context("short A-ASSOCIATE-RQ")?;
    let mut body = head.to_vec();
    body.extend(sub_item(0x10, b"1.2.840.10008.3.1.1.1")?);
    while let Some(Item { kind, value, rest }) = item(items)? {
        items = rest;
        if let (0x20, &[id, _, _, _, ref proposed @ ..]) = (kind, value) {
            let syntaxes = item(proposed)?.context("a context without an abstract syntax")?.rest;
            let syntax = item(syntaxes)?.context("a context without a transfer syntax")?.value;
            body.extend(sub_item(0x21, &[&[id, 0, 0, 0], &*sub_item(0x40, syntax)?].concat())?);
        }
    }
    let mut user = sub_item(0x51, &65_536_u32.to_be_bytes())?;
    user.extend(sub_item(0x52, b"1.2.826.0.1.3680043.10.1")?);
    body.extend(sub_item(0x50, &user)?);
    pdu(2, &body)
}

/// A connection without any association.
pub async fn connect(server: SocketAddr) -> Result<TcpStream> {
    let stream =
        time::timeout(LIMIT, TcpStream::connect(server)).await.context("the server does not accept")??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The next PDU of a connection.
///
/// # Errors
/// When it ends before.
pub async fn read_pdu(stream: &mut TcpStream) -> Result<Pdu> {
    let mut head = [0; 6];
    stream.read_exact(&mut head).await.context("the connection ended")?;
    let [kind, _, length @ ..] = head;
    let mut body = vec![0; usize::try_from(u32::from_be_bytes(length))?];
    stream.read_exact(&mut body).await.context("the connection ended inside a PDU")?;
    Ok(Pdu { kind, body })
}

/// A-ASSOCIATE-RQ (PS3.8 §9.3.2).
pub fn associate_rq(calling: &str, called: &str, proposals: &[Proposal<'_>]) -> Result<Vec<u8>> {
    request(calling, called, proposals, false)
}

fn request(calling: &str, called: &str, proposals: &[Proposal<'_>], is_scp: bool) -> Result<Vec<u8>> {
    let mut body = vec![0, 1, 0, 0];
    body.extend_from_slice(format!("{called:<16}{calling:<16}").as_bytes());
    body.extend_from_slice(&[0; 32]);
    body.extend(sub_item(0x10, b"1.2.840.10008.3.1.1.1")?);
    for proposal in proposals {
        let mut context = vec![proposal.id, 0, 0, 0];
        context.extend(sub_item(0x30, proposal.abstract_syntax.as_bytes())?);
        for syntax in proposal.transfer_syntaxes {
            context.extend(sub_item(0x40, syntax.as_bytes())?);
        }
        body.extend(sub_item(0x20, &context)?);
    }
    let mut user = sub_item(0x51, &65_536_u32.to_be_bytes())?;
    user.extend(sub_item(0x52, b"1.2.826.0.1.3680043.10.1")?);
    for Proposal { abstract_syntax, .. } in proposals.iter().filter(|_| is_scp) {
        let mut role = u16::try_from(abstract_syntax.len())?.to_be_bytes().to_vec();
        role.extend_from_slice(abstract_syntax.as_bytes());
        role.extend_from_slice(&[1, 1]);
        user.extend(sub_item(0x54, &role)?);
    }
    body.extend(sub_item(0x50, &user)?);
    pdu(1, &body)
}

/// P-DATA-TF of ready PDVs (PS3.8 §9.3.5).
pub fn p_data(pdvs: &[Vec<u8>]) -> Result<Vec<u8>> {
    pdu(4, &pdvs.concat())
}

/// A PDV; bit 0 of `control` says command, bit 1 says last (PS3.8 §E.2).
pub fn pdv(context: u8, control: u8, value: &[u8]) -> Result<Vec<u8>> {
    let mut item = u32::try_from(value.len() + 2)?.to_be_bytes().to_vec();
    item.extend_from_slice(&[context, control]);
    item.extend_from_slice(value);
    Ok(item)
}

fn pdu(kind: u8, body: &[u8]) -> Result<Vec<u8>> {
    let mut pdu = vec![kind, 0];
    pdu.extend_from_slice(&u32::try_from(body.len())?.to_be_bytes());
    pdu.extend_from_slice(body);
    Ok(pdu)
}

fn sub_item(kind: u8, value: &[u8]) -> Result<Vec<u8>> {
    let mut item = vec![kind, 0];
    item.extend_from_slice(&u16::try_from(value.len())?.to_be_bytes());
    item.extend_from_slice(value);
    Ok(item)
}

/// An item of a PDU, and what follows it.
struct Item<'a> {
    kind: u8,
    value: &'a [u8],
    rest: &'a [u8],
}

/// The item at the front; `None` at the end.
fn item(bytes: &[u8]) -> Result<Option<Item<'_>>> {
    let Some((&[kind, _, high, low], rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    ensure!(length <= rest.len(), "an item longer than its PDU");
    let (value, rest) = rest.split_at(length);
    Ok(Some(Item { kind, value, rest }))
}

/// A command set with its group length, in Implicit VR Little Endian (PS3.7 §6.3.1).
pub fn command_set(elements: &[(u16, Vec<u8>)]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    for (element, value) in elements {
        body.extend_from_slice(&[0, 0]);
        body.extend_from_slice(&element.to_le_bytes());
        body.extend_from_slice(&u32::try_from(value.len())?.to_le_bytes());
        body.extend_from_slice(value);
    }
    let mut whole = vec![0, 0, 0, 0, 4, 0, 0, 0];
    whole.extend_from_slice(&u32::try_from(body.len())?.to_le_bytes());
    whole.extend(body);
    Ok(whole)
}

fn elements(mut bytes: &[u8]) -> Result<BTreeMap<u16, Vec<u8>>> {
    let mut elements = BTreeMap::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<8>() {
        let &[_, _, e0, e1, l0, l1, l2, l3] = head;
        let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3]))?;
        ensure!(length <= rest.len(), "a command element longer than its set");
        let (value, rest) = rest.split_at(length);
        elements.insert(u16::from_le_bytes([e0, e1]), value.to_vec());
        bytes = rest;
    }
    Ok(elements)
}

/// A UID as a value: of even length, padded with NUL (PS3.5 §9.1).
fn uid(text: &str) -> Vec<u8> {
    let mut value = text.as_bytes().to_vec();
    if value.len() % 2 == 1 {
        value.push(0);
    }
    value
}

#[cfg(test)]
mod tests {
    use std::{process::Stdio, time::Duration};

    use tempfile::TempDir;
    use tokio::process::Command;

    use super::{Association, CT_IMAGE};
    use crate::{
        corpus::{NGUYEN, ct},
        modality::files_in,
        pacs::data_set_of,
        program::free_address,
        wait::until,
    };

    #[tokio::test]
    async fn is_understood_by_dcmtk() {
        let folder = TempDir::new().unwrap();
        let address = free_address().unwrap();
        let mut storescp = Command::new("storescp");
        storescp.args(["+B", "-od"]).arg(folder.path()).arg(address.port().to_string());
        let _storescp = storescp.stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        let slice = ct(NGUYEN, 1).remove(0);
        let listening = async || Association::for_ct(address, "BY_HAND").await.ok();
        let mut association = until("storescp listens", Duration::from_secs(20), listening).await.unwrap();
        let status = association.store(1, CT_IMAGE, &slice.sop_instance, &slice.data_set).await.unwrap();
        association.release().await.unwrap();
        assert_eq!(status, 0);
        let files = files_in(folder.path()).unwrap();
        assert_eq!(files.len(), 1);
        let got = data_set_of(&std::fs::read(&files[0]).unwrap().into()).unwrap();
        assert!(got == slice.data_set, "storescp has understood something else");
    }
}
