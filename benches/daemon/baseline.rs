//! The minimum that connecting can cost: one thread and epoll; connect, read the error, close.

use std::iter::{Copied, Cycle};
use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::AsFd as _;
use std::slice::Iter;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::timerfd::{Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::unistd::read;
use socket2::{Domain, Socket, Type};
use tokio::time::Instant;

use super::cost::{Cost, thread_cpu};

/// Starts a probe as soon as one ends, so that `in_flight` are always running.
pub(crate) fn maximum(addresses: &[SocketAddrV4], in_flight: usize, duration: Duration) -> Cost {
    measured(|| {
        let mut baseline = Loop::new(addresses);
        (0..in_flight).for_each(|_| baseline.start());
        let mut events = vec![EpollEvent::empty(); in_flight];
        let end = Instant::now() + duration;
        while Instant::now() < end {
            for event in baseline.wait(&mut events) {
                baseline.finish(event.data());
                baseline.start();
            }
        }
        baseline.finished
    })
}

/// Starts `rate` probes per second, with a wake-up for each.
pub(crate) fn paced(addresses: &[SocketAddrV4], rate: f64, duration: Duration) -> Cost {
    measured(|| {
        let mut baseline = Loop::new(addresses);
        let timer = TimerFd::new(nix::sys::timerfd::ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC).unwrap();
        let period = Duration::from_secs_f64(1.0 / rate);
        timer
            .set(Expiration::Interval(period.into()), TimerSetTimeFlags::empty())
            .unwrap();
        baseline
            .epoll
            .add(timer.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, TIMER))
            .unwrap();
        let mut events = [EpollEvent::empty(); 64];
        let end = Instant::now() + duration;
        while Instant::now() < end {
            for event in baseline.wait(&mut events) {
                match event.data() {
                    TIMER => (0..expirations(&timer)).for_each(|_| baseline.start()),
                    slot => baseline.finish(slot),
                }
            }
        }
        baseline.finished
    })
}

/// The cost of a number of probes that this thread makes.
pub(crate) fn measured(probe: impl FnOnce() -> u32) -> Cost {
    let (started, cpu_before) = (Instant::now(), thread_cpu());
    let probes = probe().into();
    Cost { probes, cpu: thread_cpu().saturating_sub(cpu_before), wall: started.elapsed() }
}

/// The expirations of a timer since the last call.
fn expirations(timer: &TimerFd) -> u64 {
    let mut count = [0; size_of::<u64>()];
    read(timer, &mut count).unwrap();
    u64::from_ne_bytes(count)
}

struct Loop<'a> {
    epoll: Epoll,
    addresses: Cycle<Copied<Iter<'a, SocketAddrV4>>>,
    /// The index of a probe identifies it in epoll.
    running: Vec<Option<Socket>>,
    free: Vec<usize>,
    finished: u32,
}

impl<'a> Loop<'a> {
    fn new(addresses: &'a [SocketAddrV4]) -> Self {
        Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap(),
            addresses: addresses.iter().copied().cycle(),
            running: Vec::new(),
            free: Vec::new(),
            finished: 0,
        }
    }

    fn start(&mut self) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None).unwrap();
        let address = SocketAddr::from(self.addresses.next().unwrap());
        if let Err(error) = socket.connect(&address.into()) {
            assert_eq!(error.raw_os_error(), Some(Errno::EINPROGRESS as i32), "cannot connect to {address}");
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.running.push(None);
            self.running.len() - 1
        });
        self.epoll
            .add(&socket, EpollEvent::new(EpollFlags::EPOLLOUT, slot.try_into().unwrap()))
            .unwrap();
        *self.running.get_mut(slot).unwrap() = Some(socket);
    }

    /// Waits until probes have ended or the timer has expired; returns which.
    fn wait<'e>(&self, events: &'e mut [EpollEvent]) -> &'e [EpollEvent] {
        let count = self.epoll.wait(events, EpollTimeout::NONE).unwrap();
        events.get(..count).unwrap()
    }

    /// Reads the result of a probe, and closes it.
    fn finish(&mut self, slot: u64) {
        let slot = usize::try_from(slot).unwrap();
        let socket = self.running.get_mut(slot).unwrap().take().unwrap();
        assert!(socket.take_error().unwrap().is_none(), "a connection to a server on loopback failed");
        self.free.push(slot);
        self.finished += 1;
    }
}

/// Identifies the timer; not the index of a probe.
const TIMER: u64 = u64::MAX;
