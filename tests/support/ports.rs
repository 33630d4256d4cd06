//! Ports of loopback, open and closed.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

/// A port of 127.0.0.1 with a listener that accepts nothing.
pub(crate) fn open() -> (TcpListener, u16) {
    listening(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap())
}

/// A port of 127.0.0.1 with a queue for thousands of connections, because a busy machine accepts them late.
pub(crate) fn open_to_a_crowd() -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    socket.listen(4096).unwrap();
    socket.into()
}

/// A port that is open on every IPv4 address as long as the value exists.
pub(crate) fn open_everywhere() -> (TcpListener, u16) {
    listening(TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap())
}

/// A port without a listener, reserved by a bound socket.
pub(crate) fn closed() -> (Socket, u16) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    (socket, port)
}

/// The URL of a port of 127.0.0.1.
pub(crate) fn url(port: u16) -> String {
    format!("tcp://127.0.0.1:{port}")
}

fn listening(listener: TcpListener) -> (TcpListener, u16) {
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}
