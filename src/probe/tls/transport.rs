//! The transport of TLS records: a connection, or TDS packets on it during the handshake.
//!
//! Within TDS, the records of a TLS handshake are the data of PRELOGIN packets in both directions. Later records are
//! sent directly on the connection (MS-TDS section 2.2.6.5).

use std::io::{self, IoSlice};
use std::mem;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BufMut as _;
use rustls::InvalidMessage;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::protocol::Wrapping;

/// A connection for TLS.
#[derive(Debug)]
pub(crate) struct TlsTransport {
    stream: TcpStream,
    reading: Reading,
    /// Number of packets without data so far.
    empty: usize,
    writing: Writing,
    /// Number of bytes of TLS written before the first byte of TLS was read; `None` after that.
    unanswered: Option<usize>,
    /// Number of bytes of TLS read since the last ones were written.
    received: usize,
}

impl TlsTransport {
    /// Creates a transport that wraps records until [`Self::unwrap_records`].
    pub(in crate::probe) fn new(stream: TcpStream, wrapping: Wrapping) -> Self {
        let (reading, writing) = match wrapping {
            Wrapping::None => (Reading::Bare(Vec::new()), Writing::Bare),
            Wrapping::Tds => (Reading::Header(Vec::new()), Writing::Packets(Outgoing::default())),
        };
        Self { stream, reading, empty: 0, writing, unanswered: Some(0), received: 0 }
    }

    /// Stops wrapping written records. Records that are still read may be wrapped, which their first byte shows.
    pub(super) fn unwrap_records(&mut self) {
        self.writing = Writing::Bare;
    }

    /// Returns the length of the ClientHello and that of a segment, if the ClientHello needs several segments and the peer
    /// has sent no byte of TLS.
    pub(super) fn unanswered_segments(&self) -> Option<(usize, usize)> {
        let segment = usize::try_from(SockRef::from(&self.stream).tcp_mss().ok()?).ok()?;
        let length = self.unanswered.filter(|length| *length > segment)?;
        Some((length, segment))
    }

    /// Returns the number of bytes of TLS that the peer sent since the last ones were written.
    pub(super) const fn received(&self) -> usize {
        self.received
    }

    /// Returns the connection.
    pub(in crate::probe) fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Reads the bytes of records, without the packets around them.
    fn poll_read_records(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, reading, empty, .. } = self;
        loop {
            match reading {
                Reading::Bare(read) if read.is_empty() => return Pin::new(stream).poll_read(context, buffer),
                Reading::Bare(read) => {
                    let length = read.len().min(buffer.remaining());
                    buffer.put_slice(&read.drain(..length).collect::<Vec<_>>());
                    return Poll::Ready(Ok(()));
                }
                Reading::Data(left) => {
                    let data = ready!(read_some(stream, context, (*left).min(buffer.remaining())))?;
                    *left -= data.len();
                    if *left == 0 {
                        *reading = Reading::Header(Vec::new());
                    }
                    buffer.put_slice(&data);
                    return Poll::Ready(Ok(()));
                }
                Reading::Header(header) => {
                    let more = ready!(read_some(stream, context, HEADER - header.len()))?;
                    if more.is_empty() {
                        return Poll::Ready(Ok(()));
                    }
                    header.extend(more);
                    *reading = mem::replace(reading, Reading::Data(0)).next()?;
                    if matches!(reading, Reading::Header(header) if header.is_empty()) {
                        *empty += 1;
                    }
                    if *empty > MAX_EMPTY {
                        return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, INVALID_PACKET)));
                    }
                }
            }
        }
    }
}

impl AsRawFd for TlsTransport {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}

impl AsyncRead for TlsTransport {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let transport = self.get_mut();
        let before = buffer.filled().len();
        let read = transport.poll_read_records(context, buffer);
        let more = buffer.filled().len() - before;
        transport.received += more;
        if more > 0 {
            transport.unanswered = None;
        }
        read
    }
}

impl AsyncWrite for TlsTransport {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { stream, writing, unanswered, received, .. } = self.get_mut();
        let written = match writing {
            Writing::Bare => ready!(Pin::new(stream).poll_write_vectored(context, parts))?,
            Writing::Packets(outgoing) => {
                outgoing.records.extend(parts.iter().flat_map(|part| part.iter()));
                parts.iter().map(|part| part.len()).sum()
            }
        };
        *unanswered = unanswered.map(|length| length + written);
        *received = 0;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, writing, .. } = self.get_mut();
        if let Writing::Packets(outgoing) = writing {
            ready!(outgoing.poll_send(stream, context))?;
        }
        Pin::new(stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

/// The type of the next bytes.
#[derive(Debug)]
enum Reading {
    /// Records, starting with these bytes.
    Bare(Vec<u8>),
    /// This many bytes of data of a packet.
    Data(usize),
    /// The rest of a packet header that starts with these bytes, or records, whose types differ from those of packets.
    Header(Vec<u8>),
}

impl Reading {
    /// Returns the next state after more bytes of a header.
    fn next(self) -> io::Result<Self> {
        let Self::Header(header) = self else { return Ok(self) };
        match header[..] {
            [PRELOGIN | RESPONSE, _, high, low, _, _, _, _] => {
                let length = usize::from(u16::from_be_bytes([high, low]));
                match length.checked_sub(HEADER) {
                    None => Err(io::Error::new(io::ErrorKind::InvalidData, INVALID_PACKET)),
                    Some(0) => Ok(Self::Header(Vec::new())),
                    Some(left) => Ok(Self::Data(left)),
                }
            }
            [PRELOGIN | RESPONSE, ..] => Ok(Self::Header(header)),
            _ => Ok(Self::Bare(header)),
        }
    }
}

/// The form in which records are written.
#[derive(Debug)]
enum Writing {
    Bare,
    Packets(Outgoing),
}

/// Records to send. A flush sends them as one TDS message, because servers read one message at a time.
#[derive(Debug, Default)]
struct Outgoing {
    records: Vec<u8>,
    packets: Vec<u8>,
}

impl Outgoing {
    fn poll_send(&mut self, stream: &mut TcpStream, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.packets.extend(message(&mem::take(&mut self.records)));
        while !self.packets.is_empty() {
            match ready!(Pin::new(&mut *stream).poll_write(context, &self.packets))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                length => drop(self.packets.drain(..length)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Returns these bytes in packets, the last of which is marked.
fn message(bytes: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    let chunks = bytes.chunks(MAX_DATA);
    let last = chunks.len().saturating_sub(1);
    for (index, chunk) in chunks.enumerate() {
        message.put_slice(&[PRELOGIN, u8::from(index == last)]);
        message.put_u16(u16::try_from(HEADER + chunk.len()).unwrap_or(u16::MAX));
        message.put_slice(&[0, 0, u8::try_from(index & 0xff).unwrap_or_default(), 0]);
        message.put_slice(chunk);
    }
    message
}

/// Reads at most `length` bytes; empty at the end of the connection.
fn read_some(stream: &mut TcpStream, context: &mut Context<'_>, length: usize) -> Poll<io::Result<Vec<u8>>> {
    let mut space = vec![0; length.min(MAX_PACKET)];
    let mut buffer = ReadBuf::new(&mut space);
    ready!(Pin::new(stream).poll_read(context, &mut buffer))?;
    let length = buffer.filled().len();
    space.truncate(length);
    Poll::Ready(Ok(space))
}

/// The error for invalid packets, the same as for a peer without TLS.
const INVALID_PACKET: rustls::Error = rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType);

/// The types of packets.
const PRELOGIN: u8 = 0x12;
const RESPONSE: u8 = 0x04;

/// Length of a header: type, status, length, process, number, window.
const HEADER: usize = 8;

/// Maximum number of packets without data. More of them would only keep this client busy.
const MAX_EMPTY: usize = 16;

/// Size of a packet before a login negotiates another one.
const MAX_PACKET: usize = 4096;

const MAX_DATA: usize = MAX_PACKET - HEADER;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair(wrapping: Wrapping) -> (TlsTransport, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (TlsTransport::new(near, wrapping), listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn records_after_the_handshake_are_not_wrapped() {
        let (mut transport, mut far) = pair(Wrapping::Tds).await;
        transport.write_all(b"two ").await.unwrap();
        transport.write_all(b"records").await.unwrap();
        transport.flush().await.unwrap();
        transport.unwrap_records();
        transport.write_all(b"bare").await.unwrap();
        let mut received = [0; 23];
        far.read_exact(&mut received).await.unwrap();
        assert_eq!(&received, b"\x12\x01\0\x13\0\0\0\0two recordsbare");
    }

    #[test]
    fn a_long_flight_has_several_packets() {
        assert_eq!(message(b""), b"");
        let two = message(&[b'a'; MAX_DATA + 1]);
        assert_eq!(two.get(..8), Some(&b"\x12\0\x10\0\0\0\0\0"[..]));
        assert_eq!(two.get(MAX_PACKET..), Some(&b"\x12\x01\0\x09\0\0\x01\0a"[..]));
        let one = message(&[b'a'; MAX_DATA]);
        assert_eq!((one.len(), one.get(1)), (MAX_PACKET, Some(&1)));
    }

    #[tokio::test]
    async fn packets_are_read_in_any_pieces() {
        let sent = b"\x12\x01\0\x0b\0\0\0\0abc\x04\x01\0\x08\0\0\0\0\x12\x01\0\x0a\0\0\0\0de\x17\x03\x03\x12bare";
        for pieces in [1, 2, 3, 7, 100] {
            let (mut transport, mut far) = pair(Wrapping::Tds).await;
            let sending = tokio::spawn(async move {
                far.set_nodelay(true).unwrap();
                for piece in sent.chunks(pieces) {
                    far.write_all(piece).await.unwrap();
                    tokio::task::yield_now().await;
                }
            });
            let mut received = Vec::new();
            transport.read_to_end(&mut received).await.unwrap();
            assert_eq!(received, b"abcde\x17\x03\x03\x12bare", "pieces of {pieces}");
            sending.await.unwrap();
        }
    }

    #[tokio::test]
    async fn too_many_packets_without_data_are_an_error() {
        let (mut transport, mut far) = pair(Wrapping::Tds).await;
        far.write_all(&b"\x04\x01\0\x08\0\0\0\0".repeat(MAX_EMPTY + 1)).await.unwrap();
        let error = transport.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn a_packet_shorter_than_its_header_is_invalid() {
        let (mut transport, mut far) = pair(Wrapping::Tds).await;
        far.write_all(b"\x12\x01\0\x07\0\0\0\0").await.unwrap();
        let error = transport.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
