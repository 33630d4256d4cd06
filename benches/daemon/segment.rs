//! TCP segments without data, in IPv4 without options.

use std::net::{Ipv4Addr, SocketAddrV4};

/// A TCP segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) source: SocketAddrV4,
    pub(crate) destination: SocketAddrV4,
    pub(crate) sequence: u32,
    pub(crate) acknowledgement: u32,
    pub(crate) flags: u8,
}

impl Segment {
    /// Reads a packet; `None` if it is not TCP over IPv4.
    pub(crate) fn parse(packet: &[u8]) -> Option<Self> {
        let (ip, tcp) = (packet.first_chunk::<20>()?, packet.get(20..)?);
        if ip.first() != Some(&0x45) || ip.get(9) != Some(&TCP) {
            return None;
        }
        let address = |at: usize| Some(Ipv4Addr::from(*ip.get(at..)?.first_chunk::<4>()?));
        let port = |at: usize| Some(u16::from_be_bytes(*tcp.get(at..)?.first_chunk()?));
        let number = |at: usize| Some(u32::from_be_bytes(*tcp.get(at..)?.first_chunk()?));
        Some(Self {
            source: SocketAddrV4::new(address(12)?, port(0)?),
            destination: SocketAddrV4::new(address(16)?, port(2)?),
            sequence: number(4)?,
            acknowledgement: number(8)?,
            flags: *tcp.get(13)?,
        })
    }

    /// The reply of the peer, which acknowledges a SYN or FIN.
    pub(crate) fn reply(&self, sequence: u32, flags: u8) -> Self {
        let acknowledgement = self.sequence.wrapping_add(1);
        Self { source: self.destination, destination: self.source, sequence, acknowledgement, flags }
    }

    /// The segment as a packet.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let addresses = [self.source.ip().octets(), self.destination.ip().octets()].concat();
        let pseudo = [&addresses[..], &[0, TCP, 0, 20]].concat();
        let tcp = self.tcp(checksum(&[pseudo, self.tcp(0)].concat()));
        let ip = |checksum: u16| {
            let [high, low] = checksum.to_be_bytes();
            // 40 bytes in total, not fragmented, at most 64 hops.
            [&[0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, TCP, high, low], &addresses[..]].concat()
        };
        [ip(checksum(&ip(0))), tcp].concat()
    }

    fn tcp(&self, checksum: u16) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(20);
        bytes.extend(self.source.port().to_be_bytes());
        bytes.extend(self.destination.port().to_be_bytes());
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.acknowledgement.to_be_bytes());
        // A header of five words, the largest window.
        bytes.extend([5 << 4, self.flags, 0xff, 0xff]);
        bytes.extend(checksum.to_be_bytes());
        bytes.extend([0, 0]);
        bytes
    }
}

/// The Internet checksum (RFC 1071) of an even number of bytes, fewer than 100,000.
fn checksum(bytes: &[u8]) -> u16 {
    let (words, _) = bytes.as_chunks::<2>();
    let sum: u32 = words.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap()
}

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

const TCP: u8 = 6;
