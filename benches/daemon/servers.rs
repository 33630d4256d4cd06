//! The servers that are probed: they accept and close, in this process, on a thread whose CPU nobody counts.
//!
//! They are spread over 127.0.0.0/8, for each address that is connected to has local ports of its own; a single one
//! would use them up within seconds.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::thread;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::{Domain, Socket, Type};

/// Servers that accept until this process ends.
#[derive(Debug)]
pub(crate) struct Servers {
    addresses: Vec<SocketAddrV4>,
}

impl Servers {
    /// Listens, and serves from a thread of its own.
    pub(crate) fn start() -> Self {
        let (listeners, addresses): (Vec<_>, Vec<_>) = (1..=SERVERS).map(listen).unzip();
        thread::spawn(move || serve(&listeners));
        Self { addresses }
    }

    /// Where they listen.
    pub(crate) fn addresses(&self) -> &[SocketAddrV4] {
        &self.addresses
    }
}

/// A listener on an address that no other one has.
fn listen(number: u8) -> (TcpListener, SocketAddrV4) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, number, 0, 1), 0)).into()).unwrap();
    socket.listen(BACKLOG).unwrap();
    let address = socket.local_addr().unwrap().as_socket_ipv4().unwrap();
    (socket.into(), address)
}

fn serve(listeners: &[TcpListener]) {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
    for (index, listener) in (0..).zip(listeners) {
        epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, index)).unwrap();
    }
    let mut events = [EpollEvent::empty(); SERVERS as usize];
    loop {
        let count = epoll.wait(&mut events, EpollTimeout::NONE).unwrap();
        let ready = events.iter().take(count).filter_map(|event| listeners.get(usize::try_from(event.data()).ok()?));
        ready.for_each(accept_all);
    }
}

/// Accepts and closes whatever waits.
fn accept_all(listener: &TcpListener) {
    loop {
        match listener.accept() {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            // The peer was gone already: the next one may not be.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => panic!("a server on loopback cannot accept: {error}"),
        }
    }
}

/// Nearly two million local ports.
const SERVERS: u8 = 64;

/// As many as may ever wait for this thread; the kernel cuts it to what it allows.
const BACKLOG: i32 = 4096;
