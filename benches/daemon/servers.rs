//! The probed servers: they accept and close, in this process, on a thread whose CPU time is not counted.
//!
//! They are spread over 127.0.0.0/8, because each destination address has separate local ports. A single one would use
//! them up within seconds.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::thread;
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::{Domain, Socket, Type};

/// Servers that accept until this process ends.
#[derive(Debug)]
pub(crate) struct Servers {
    addresses: Vec<SocketAddrV4>,
}

impl Servers {
    /// Starts servers on a separate thread.
    pub(crate) fn start() -> Self {
        let (listeners, addresses): (Vec<_>, Vec<_>) = (1..=SERVERS).map(listen).unzip();
        thread::spawn(move || serve(&listeners));
        Self { addresses }
    }

    /// One server on every address of loopback, so that each can be a host; returns its port.
    pub(crate) fn everywhere() -> u16 {
        let (listener, port) = listen_everywhere(BACKLOG);
        thread::spawn(move || serve(&[listener]));
        port
    }

    /// Their addresses.
    pub(crate) fn addresses(&self) -> &[SocketAddrV4] {
        &self.addresses
    }
}

/// A listener that does not reply to SYNs, as if filtered: its queue is full, and nothing accepts.
#[derive(Debug)]
pub(crate) struct Filtered {
    port: u16,
    _listener: TcpListener,
    _waiting: [Socket; 2],
}

impl Filtered {
    /// Listens on every address of loopback.
    pub(crate) fn start() -> Self {
        let (listener, port) = listen_everywhere(0);
        // A queue of length 0 holds one connection; the second is for the case that this changes.
        let waiting = [(); 2].map(|()| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None).unwrap();
            // It only has to be in progress.
            let _ = socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into());
            socket
        });
        Self { port, _listener: listener, _waiting: waiting }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

/// A listener on all of 127.0.0.0/8, and no other address.
fn listen_everywhere(backlog: i32) -> (TcpListener, u16) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None).unwrap();
    socket.bind_device(Some(b"lo")).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into()).unwrap();
    socket.listen(backlog).unwrap();
    let listener = TcpListener::from(socket);
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// The address of a host on loopback that is not in [`Servers`]; one for each number up to four million.
pub(crate) fn host(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(127, 128, 0, 0).to_bits() + number)
}

/// A listener on an unused address.
fn listen(number: u8) -> (TcpListener, SocketAddrV4) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None).unwrap();
    socket
        .bind(&SocketAddr::from((Ipv4Addr::new(127, number, 0, 1), 0)).into())
        .unwrap();
    socket.listen(BACKLOG).unwrap();
    let address = socket.local_addr().unwrap().as_socket_ipv4().unwrap();
    (socket.into(), address)
}

/// Accepts connections periodically. A client of a sleeping server pays for waking it, which a prober does not do across a
/// network.
fn serve(listeners: &[TcpListener]) {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
    for (index, listener) in (0..).zip(listeners) {
        epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, index)).unwrap();
    }
    let mut events = [EpollEvent::empty(); SERVERS as usize];
    loop {
        thread::sleep(PAUSE);
        let count = epoll.wait(&mut events, EpollTimeout::ZERO).unwrap();
        let ready = events
            .iter()
            .take(count)
            .filter_map(|event| listeners.get(usize::try_from(event.data()).ok()?));
        ready.for_each(accept_all);
    }
}

/// Accepts and closes all waiting connections.
fn accept_all(listener: &TcpListener) {
    loop {
        match listener.accept() {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            // The peer has gone; the next one may be there.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => panic!("a server on loopback cannot accept: {error}"),
        }
    }
}

/// Nearly two million local ports.
const SERVERS: u8 = 64;

/// Short enough that no queue fills up.
const PAUSE: Duration = Duration::from_millis(1);

/// The length of the queue; the kernel limits it.
const BACKLOG: i32 = 4096;
