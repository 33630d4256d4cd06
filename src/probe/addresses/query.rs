//! Sends one query to one name server over UDP, and over TCP if the response is truncated.
//!
//! The socket is connected, so that an absent server is reported at once and other senders are ignored (RFC 5452). The
//! kernel chooses a random port for each query. hickory encodes and decodes messages. The caller chooses the servers
//! and combines the responses.

use std::io;
use std::net::SocketAddr;

use hickory_resolver::proto::op::{Message, MessageType, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use nix::errno::Errno;
use socket2::Type;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout_at};

use crate::outcome::{LocalFault, LocalFaultReason};
use crate::probe::tcp::errno::{self, ConnectError, cause};
use crate::probe::tcp::socket;

/// The response of a name server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    /// The name exists, but has no record of this type.
    NoData,
    /// The name does not exist.
    NoName,
    /// The data of the records of this type, at least one.
    Records(Vec<RData>),
}

/// A reason why a name server sent no usable response.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum ServerError {
    /// The server responded with this code.
    Code(ResponseCode),
    /// This machine could not send the query.
    Local(LocalFault),
    /// The server did not respond in time.
    Silent,
    /// The response is invalid, or the server cannot be reached.
    Malformed(String),
}

/// Queries a name server once. Ends by `deadline`.
pub(super) async fn ask(
    server: SocketAddr,
    name: &Name,
    record_type: RecordType,
    deadline: Instant,
) -> Result<Answer, ServerError> {
    let request = Request::new(name, record_type)?;
    match timeout_at(deadline, request.put_to(server, deadline)).await {
        Ok(answer) => answer,
        Err(_) => Err(ServerError::Silent),
    }
}

struct Request<'a> {
    name: &'a Name,
    record_type: RecordType,
    id: u16,
    bytes: Vec<u8>,
}

impl<'a> Request<'a> {
    fn new(name: &'a Name, record_type: RecordType) -> Result<Self, ServerError> {
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(name.clone(), record_type));
        let bytes = message
            .to_vec()
            .map_err(|error| ServerError::Malformed(format!("cannot be queried: {error}")))?;
        Ok(Self { name, record_type, id: message.metadata.id, bytes })
    }

    async fn put_to(&self, server: SocketAddr, deadline: Instant) -> Result<Answer, ServerError> {
        let message = match self.over_udp(server, deadline).await? {
            Some(message) => message,
            None => self.over_tcp(server, deadline).await?,
        };
        self.read(&message)
    }

    /// Sends the query over UDP. Returns `None` if the response is truncated.
    async fn over_udp(&self, server: SocketAddr, deadline: Instant) -> Result<Option<Message>, ServerError> {
        let socket = connected_udp(server).map_err(|error| server_error(&error, errno::at_once(&error)))?;
        timeout_at(deadline, socket.send(&self.bytes))
            .await
            .map_err(|_| unsent())?
            .map_err(|error| server_error(&error, errno::at_once(&error)))?;
        let mut datagram = vec![0; MAX_DATAGRAM];
        loop {
            let length = socket
                .recv(&mut datagram)
                .await
                .map_err(|error| server_error(&error, errno::late(&error)))?;
            // Another ID belongs to a late response to another query or to a forged one.
            let Some(bytes) = datagram.get(..length).filter(|bytes| bytes.starts_with(&self.id.to_be_bytes())) else {
                continue;
            };
            let truncated = bytes.get(FLAGS).is_some_and(|flags| flags & TRUNCATION != 0);
            return if truncated { Ok(None) } else { self.decode(bytes).map(Some) };
        }
    }

    async fn over_tcp(&self, server: SocketAddr, deadline: Instant) -> Result<Message, ServerError> {
        let failed = |error: io::Error| server_error(&error, errno::in_use(&error));
        let mut stream = connected_tcp(server).await?;
        let length = u16::try_from(self.bytes.len())
            .map_err(|_| ServerError::Malformed("cannot be queried: the name is too long".to_owned()))?;
        let framed = [&length.to_be_bytes()[..], &self.bytes].concat();
        timeout_at(deadline, stream.write_all(&framed))
            .await
            .map_err(|_| unsent())?
            .map_err(failed)?;
        let length = stream.read_u16().await.map_err(failed)?;
        let mut bytes = vec![0; length.into()];
        stream.read_exact(&mut bytes).await.map_err(failed)?;
        self.decode(&bytes)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Message, ServerError> {
        let message = Message::from_vec(bytes).map_err(|error| invalid(&error.to_string()))?;
        let query = message.queries.first();
        // A server that does not understand the query need not repeat it.
        let answers = query.map_or(message.metadata.response_code != ResponseCode::NoError, |query| {
            query.name() == self.name && query.query_type() == self.record_type
        });
        if message.metadata.id != self.id || message.metadata.message_type != MessageType::Response || !answers {
            return Err(invalid("it answers another query"));
        }
        Ok(message)
    }

    fn read(&self, message: &Message) -> Result<Answer, ServerError> {
        match message.metadata.response_code {
            ResponseCode::NoError => {}
            ResponseCode::NXDomain => return Ok(Answer::NoName),
            code => return Err(ServerError::Code(code)),
        }
        let found = data(self.name, self.record_type, &message.answers);
        Ok(if found.is_empty() { Answer::NoData } else { Answer::Records(found) })
    }
}

/// Returns the data of the records of this type for a name and its aliases. A chain of aliases is in order (RFC 1034
/// section 4.3.2).
fn data(name: &Name, record_type: RecordType, records: &[Record]) -> Vec<RData> {
    let mut owner = name;
    let mut found = Vec::new();
    for record in records {
        match &record.data {
            _ if record.name != *owner => {}
            // Records of other types may be of a family that must not be used.
            data if data.record_type() == record_type => found.push(data.clone()),
            RData::CNAME(alias) => owner = &alias.0,
            _ => {}
        }
    }
    found
}

fn connected_udp(server: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket::open(server, Type::DGRAM)?;
    socket.connect(&server.into())?;
    UdpSocket::from_std(socket.into())
}

/// Connects as the probe of a target does, because tokio hides whether the kernel refused the call at once.
async fn connected_tcp(server: SocketAddr) -> Result<TcpStream, ServerError> {
    let at_once = |error: io::Error| server_error(&error, errno::at_once(&error));
    let late = |error: io::Error| server_error(&error, errno::late(&error));
    let socket = socket::open(server, Type::STREAM).map_err(at_once)?;
    match socket.connect(&server.into()) {
        Err(error) if errno::errno(&error) != Errno::EINPROGRESS => return Err(at_once(error)),
        Ok(()) | Err(_) => {}
    }
    let stream = TcpStream::from_std(socket.into()).map_err(at_once)?;
    stream.writable().await.map_err(late)?;
    match stream.take_error() {
        Ok(None) => Ok(stream),
        Ok(Some(error)) | Err(error) => Err(late(error)),
    }
}

/// Returns the error of a query that is still in this process at its deadline. The buffer of a new socket has room for it,
/// so it does not wait for the server.
fn unsent() -> ServerError {
    let detail = "the send buffer of the socket is full (EAGAIN)".to_owned();
    ServerError::Local(LocalFault { reason: LocalFaultReason::NoMemory, detail })
}

fn server_error(error: &io::Error, reason: ConnectError) -> ServerError {
    let errno = errno::errno(error);
    match reason {
        ConnectError::Local(reason) if error.raw_os_error().is_some() => {
            let detail = format!("{} ({errno:?})", cause(errno));
            ServerError::Local(LocalFault { reason, detail })
        }
        ConnectError::Unsent(_) => ServerError::Malformed(format!("cannot be reached: no route ({errno:?})")),
        _ if error.kind() == io::ErrorKind::ConnectionRefused => {
            ServerError::Malformed("is not a name server: nothing listens there (ECONNREFUSED)".to_owned())
        }
        _ if error.kind() == io::ErrorKind::UnexpectedEof => invalid("the connection closed before it was complete"),
        ConnectError::Answered(_) | ConnectError::Local(_) => {
            ServerError::Malformed(format!("cannot be reached ({errno:?})"))
        }
    }
}

fn invalid(why: &str) -> ServerError {
    ServerError::Malformed(format!("sent an invalid response: {why}"))
}

/// Maximum size of a datagram that is read. Some servers exceed the 512 bytes of RFC 1035 section 4.2.1. Like the C
/// library, this module does not use EDNS, because some servers reject it; longer responses arrive over TCP.
const MAX_DATAGRAM: usize = 4096;

/// The index of the byte with the truncation bit (RFC 1035 section 4.1.1).
const FLAGS: usize = 2;
const TRUNCATION: u8 = 0x02;

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::op::OpCode;
    use hickory_resolver::proto::rr::rdata::{A, CNAME};

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn record(owner: &str, data: RData) -> Record {
        Record::from_rdata(name(owner), 60, data)
    }

    fn address(owner: &str, last: u8) -> Record {
        record(owner, RData::A(A::new(192, 0, 2, last)))
    }

    fn alias(owner: &str, target: &str) -> Record {
        record(owner, RData::CNAME(CNAME(name(target))))
    }

    #[test]
    fn only_records_of_name_and_aliases_count() {
        let records = [
            alias("www.test.", "cdn.test."),
            address("stranger.test.", 9),
            alias("cdn.test.", "edge.test."),
            address("edge.test.", 1),
            address("EDGE.test.", 2),
            address("www.test.", 8),
        ];
        let addresses = |of: &str, records: &[Record]| data(&name(of), RecordType::A, records);
        let last = |last| RData::A(A::new(192, 0, 2, last));
        assert_eq!(addresses("www.test.", &records), [last(1), last(2)]);
        assert!(addresses("other.test.", &records).is_empty());
        let circle = [alias("a.test.", "b.test."), alias("b.test.", "a.test.")];
        assert!(addresses("a.test.", &circle).is_empty());
    }

    #[test]
    fn only_a_response_to_the_query_counts() {
        let owner = name("www.test.");
        let request = Request::new(&owner, RecordType::A).unwrap();
        let answer = |id, query: Option<Query>, code| {
            let mut message = Message::response(id, OpCode::Query);
            message.metadata.response_code = code;
            message.queries.extend(query);
            message.add_answer(address("www.test.", 1));
            request.decode(&message.to_vec().unwrap()).map(|message| request.read(&message))
        };
        let asked = || Some(Query::query(name("WWW.test."), RecordType::A));
        let addresses = Answer::Records(vec![RData::A(A::new(192, 0, 2, 1))]);
        assert_eq!(answer(request.id, asked(), ResponseCode::NoError), Ok(Ok(addresses)));
        assert_eq!(answer(request.id, asked(), ResponseCode::NXDomain), Ok(Ok(Answer::NoName)));
        let unasked = Request { record_type: RecordType::AAAA, ..Request::new(&owner, RecordType::A).unwrap() };
        let mut message = Message::response(unasked.id, OpCode::Query);
        message.add_answer(address("www.test.", 1));
        assert_eq!(unasked.read(&message), Ok(Answer::NoData), "an IPv4 address does not answer an AAAA query");
        let failed = Ok(Err(ServerError::Code(ResponseCode::FormErr)));
        assert_eq!(answer(request.id, None, ResponseCode::FormErr), failed);

        let other = Some(Query::query(name("www.test."), RecordType::AAAA));
        for stray in [
            answer(request.id, None, ResponseCode::NoError),
            answer(request.id, other, ResponseCode::NoError),
            answer(request.id.wrapping_add(1), asked(), ResponseCode::NoError),
            request.decode(&request.bytes).map(|message| request.read(&message)),
            request.decode(b"").map(|message| request.read(&message)),
        ] {
            assert!(matches!(stray, Err(ServerError::Malformed(_))), "{stray:?}");
        }
    }
}
