//! A host at all addresses of a device: it replies to each SYN after a delay and records the actual delay.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddrV4;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use tokio::time::Instant;

use super::cores;
use super::segment::{ACK, FIN, RST, SYN, Segment};
use super::snapshot::now;

/// Replies on a separate thread and core until it is dropped.
///
/// The thread has priority over all others, because a SYN that waits for it is an unrecorded delay.
#[derive(Debug)]
pub(crate) struct Responder {
    replies: Replies,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Responder {
    pub(crate) fn start(device: File, delay: Duration, core: usize) -> Self {
        let (replies, stop) = (Replies::default(), Arc::new(AtomicBool::new(false)));
        let thread = thread::spawn({
            let (replies, stop) = (replies.clone(), stop.clone());
            move || {
                cores::keep_to(core);
                cores::come_first();
                respond(device, delay, &replies, &stop);
            }
        });
        Self { replies, stop, thread: Some(thread) }
    }

    /// The delay in seconds of the last reply from this address before a point in time since the epoch.
    pub(crate) fn delay_before(&self, address: SocketAddrV4, moment: f64) -> Option<f64> {
        let replies = self.replies.lock().unwrap();
        replies
            .get(&address)?
            .iter()
            .rev()
            .find(|reply| reply.sent <= moment)
            .map(|reply| reply.delay)
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

/// By address, in order of time.
type Replies = Arc<Mutex<HashMap<SocketAddrV4, Vec<Reply>>>>;

#[derive(Clone, Copy, Debug)]
struct Reply {
    sent: f64,
    delay: f64,
}

fn respond(mut device: File, delay: Duration, replies: &Replies, stop: &AtomicBool) {
    let mut waiting: VecDeque<(Instant, Segment)> = VecDeque::new();
    let mut packet = [0; 1500];
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
    epoll.add(&device, EpollEvent::new(EpollFlags::EPOLLIN, 0)).unwrap();
    while !stop.load(Ordering::Relaxed) {
        match device.read(&mut packet) {
            Ok(length) => {
                let read = Instant::now();
                match packet.get(..length).and_then(Segment::parse) {
                    Some(segment) if segment.flags & RST != 0 => {}
                    Some(segment) if segment.flags & SYN != 0 => waiting.push_back((read, segment)),
                    Some(segment) if segment.flags & FIN != 0 => {
                        let reply = segment.reply(segment.acknowledgement, FIN | ACK);
                        device.write_all(&reply.to_bytes()).unwrap();
                    }
                    _ => {}
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let left = waiting
                    .front()
                    .map_or(LONGEST_WAIT, |(read, _)| delay.saturating_sub(read.elapsed()));
                epoll.wait(&mut [EpollEvent::empty()], milliseconds(left)).unwrap();
            }
            Err(error) => panic!("cannot read the device: {error}"),
        }
        if let Some((read, segment)) = waiting.pop_front_if(|(read, _)| read.elapsed() >= delay) {
            let reply = segment.reply(0, SYN | ACK).to_bytes();
            let (sent, given) = (now(), read.elapsed());
            device.write_all(&reply).unwrap();
            let reply = Reply { sent, delay: given.as_secs_f64() };
            replies.lock().unwrap().entry(segment.destination).or_default().push(reply);
        }
    }
}

/// Whole milliseconds, so that the rest of the last one is spent awake.
fn milliseconds(duration: Duration) -> EpollTimeout {
    duration.min(LONGEST_WAIT).as_millis().try_into().unwrap()
}

/// The period of checks whether to stop.
const LONGEST_WAIT: Duration = Duration::from_millis(100);
