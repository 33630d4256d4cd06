//! A DNS server with a few names under `test`, each with a specific behaviour. UDP only.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::proto::ProtoError;
use hickory_resolver::proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::A;
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::debug;

/// Resolves to 127.0.0.1, which is not the expected address.
pub(super) const MOVED: &str = "moved.test";
/// Resolves to 127.0.0.1 and 127.0.0.2.
pub(super) const PAIR: &str = "two.test";
/// Fails with SERVFAIL.
pub(super) const SERVFAIL: &str = "servfail.test";
/// Gets no reply.
pub(super) const SILENT: &str = "silent.test";
/// Resolves to 127.0.0.1 after a delay.
pub(super) const SLOW: &str = "slow.test";
/// Does not exist (NXDOMAIN), like every other name.
pub(super) const UNKNOWN: &str = "nowhere.test";

/// Replies to queries and ignores other datagrams. Never ends.
pub(super) async fn serve(socket: UdpSocket) {
    let socket = Arc::new(socket);
    let mut replying = JoinSet::new();
    let mut datagram = [0; MAX_DATAGRAM];
    loop {
        tokio::select! {
            received = socket.recv_from(&mut datagram) => match received {
                Ok((length, peer)) => {
                    let reply = datagram.get(..length).and_then(reply);
                    // Queries beyond the limit get no reply.
                    if let Some(reply) = reply && replying.len() < MAX_REPLYING {
                        replying.spawn(send(reply, socket.clone(), peer));
                    }
                }
                Err(error) => {
                    debug!(%error, "The DNS server of the demo cannot receive");
                    sleep(PAUSE).await;
                }
            },
            Some(sent) = replying.join_next() => if let Ok(Err(error)) = sent {
                debug!(%error, "The DNS server of the demo cannot respond");
            }
        }
    }
}

/// A reply, and its delay.
#[derive(Debug)]
struct Reply {
    after: Duration,
    bytes: Vec<u8>,
}

async fn send(reply: Reply, socket: Arc<UdpSocket>, peer: SocketAddr) -> io::Result<usize> {
    sleep(reply.after).await;
    socket.send_to(&reply.bytes, peer).await
}

/// Returns the reply to a query; `None` if the datagram is not a query or the name gets no reply.
fn reply(datagram: &[u8]) -> Option<Reply> {
    let message = Message::from_vec(datagram).ok()?;
    let query = message.queries.first()?;
    if message.metadata.message_type != MessageType::Query || message.metadata.op_code != OpCode::Query {
        return None;
    }
    let encoded = |code, addresses| encode(&message, query, code, addresses).ok();
    let name = query.name().to_lowercase().to_ascii();
    let (after, bytes) = match name.trim_end_matches('.') {
        MOVED => (Duration::ZERO, encoded(ResponseCode::NoError, &[FIRST])),
        PAIR => (Duration::ZERO, encoded(ResponseCode::NoError, &[FIRST, SECOND])),
        SERVFAIL => (Duration::ZERO, encoded(ResponseCode::ServFail, &[])),
        SILENT => return None,
        SLOW => (SLOWNESS, encoded(ResponseCode::NoError, &[FIRST])),
        _ => (Duration::ZERO, encoded(ResponseCode::NXDomain, &[])),
    };
    Some(Reply { after, bytes: bytes? })
}

/// Returns a reply with these addresses; empty for queries of other types than A.
fn encode(
    question: &Message,
    query: &Query,
    code: ResponseCode,
    addresses: &[Ipv4Addr],
) -> Result<Vec<u8>, ProtoError> {
    let mut response = Message::response(question.metadata.id, OpCode::Query);
    response.metadata.response_code = code;
    response.metadata.recursion_desired = question.metadata.recursion_desired;
    response.add_query(query.clone());
    if query.query_type() == RecordType::A {
        let record = |address: &Ipv4Addr| Record::from_rdata(query.name().clone(), 0, RData::A(A(*address)));
        response.add_answers(addresses.iter().map(record));
    }
    response.to_vec()
}

const FIRST: Ipv4Addr = Ipv4Addr::LOCALHOST;
const SECOND: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Long for a DNS server, and short compared to the timeout of a probe.
const SLOWNESS: Duration = Duration::from_millis(300);

/// Maximum size of a query without extensions (RFC 1035 section 4.2.1); longer ones are truncated and ignored.
const MAX_DATAGRAM: usize = 512;

/// The maximum number of concurrent replies.
const MAX_REPLYING: usize = 256;

/// The pause after an error, to avoid a busy loop.
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::Name;

    use super::*;

    fn question(name: &str, record_type: RecordType) -> Message {
        let mut message = Message::query();
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), record_type));
        message
    }

    fn replied(name: &str, record_type: RecordType) -> Option<(Duration, ResponseCode, usize)> {
        let question = question(name, record_type);
        let Reply { after, bytes } = reply(&question.to_vec().unwrap())?;
        let message = Message::from_vec(&bytes).unwrap();
        assert_eq!((message.metadata.id, &message.queries), (question.metadata.id, &question.queries));
        Some((after, message.metadata.response_code, message.answers.len()))
    }

    #[test]
    fn each_name_has_its_behaviour() {
        let now = Duration::ZERO;
        assert_eq!(replied("two.test.", RecordType::A), Some((now, ResponseCode::NoError, 2)));
        assert_eq!(replied("two.test.", RecordType::AAAA), Some((now, ResponseCode::NoError, 0)));
        assert_eq!(replied("MOVED.test.", RecordType::A), Some((now, ResponseCode::NoError, 1)));
        assert_eq!(replied("slow.test.", RecordType::A), Some((SLOWNESS, ResponseCode::NoError, 1)));
        assert_eq!(replied("servfail.test.", RecordType::A), Some((now, ResponseCode::ServFail, 0)));
        assert_eq!(replied("silent.test.", RecordType::A), None);
        assert_eq!(replied("nowhere.test.", RecordType::A), Some((now, ResponseCode::NXDomain, 0)));
        assert_eq!(replied(".", RecordType::TXT), Some((now, ResponseCode::NXDomain, 0)));
    }

    #[test]
    fn other_datagrams_get_no_reply() {
        let bytes = question("two.test.", RecordType::A).to_vec().unwrap();
        for length in 0..bytes.len() {
            assert!(reply(&bytes[..length]).is_none(), "{length} bytes");
        }
        assert!(reply(&[0xff; MAX_DATAGRAM]).is_none());
        let mut other = question("two.test.", RecordType::A);
        other.metadata.message_type = MessageType::Response;
        assert!(reply(&other.to_vec().unwrap()).is_none(), "replies to replies would never end");
    }
}
