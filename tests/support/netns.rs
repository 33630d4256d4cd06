//! Network namespaces that tests make for themselves, with routes, links and firewalls as they please.
//!
//! A namespace belongs to a thread and dies with it; nothing here is seen outside of it.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;

use super::{requires_program, requires_root};

/// Runs `test` in a fresh namespace, whose loopback is up, on a runtime and a thread of its own; leaves it out without
/// root or iproute2.
pub(crate) fn inside(test: impl AsyncFnOnce() + Send + 'static) {
    if !requires_root() || !requires_program("ip") || !requires_program("nft") {
        return;
    }
    let test = thread::spawn(move || {
        enter();
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test());
    });
    if let Err(panic) = test.join() {
        std::panic::resume_unwind(panic);
    }
}

/// A second namespace, linked to this one: here is 10.99.0.1 and `fd99::1` on `near`, there 10.99.0.2 and `fd99::2`
/// on `far`. What runs there runs on its thread.
pub(crate) struct Far {
    work: Option<mpsc::Sender<Box<dyn FnOnce() + Send>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Far {
    /// Makes the namespace and the link to it.
    pub(crate) fn linked() -> Self {
        let (work, jobs) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let (ready, thread_id) = mpsc::channel();
        let thread = thread::spawn(move || {
            enter();
            ready.send(gettid()).unwrap();
            for job in jobs {
                job();
            }
        });
        let far = Self { work: Some(work), thread: Some(thread) };
        let thread_id = thread_id.recv().unwrap();
        ip(&format!("link add near type veth peer name far netns {thread_id}"));
        address("near", 1);
        far.run(|| address("far", 2));
        far
    }

    /// Does something there, and waits for it.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        let job = Box::new(move || {
            // Nobody waits any more where the test has failed.
            let _ = done.send(job());
        });
        self.work.as_ref().unwrap().send(job).unwrap();
        result.recv().expect("what runs in the far namespace must not panic")
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Runs `ip` in this thread's namespace.
pub(crate) fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Puts rules, one a line, into this thread's namespace's firewall, on what comes in or goes out.
pub(crate) fn firewall(hook: &str, rules: &str) {
    load(&table(hook, rules));
}

/// As [`firewall`], in place of the rules before.
pub(crate) fn replace_firewall(hook: &str, rules: &str) {
    load(&format!("table inet {hook} {{}}\ndelete table inet {hook}\n{}", table(hook, rules)));
}

fn table(hook: &str, rules: &str) -> String {
    format!("table inet {hook} {{\nchain {hook} {{\ntype filter hook {hook} priority 0\n{rules}\n}}\n}}\n")
}

fn load(table: &str) {
    let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    nft.stdin.take().unwrap().write_all(table.as_bytes()).unwrap();
    let output = nft.wait_with_output().unwrap();
    assert!(output.status.success(), "{table}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Sets a value below `/proc/sys/net` of this thread's namespace.
pub(crate) fn sysctl(key: &str, value: &str) {
    fs::write(format!("/proc/sys/net/{key}"), value).unwrap_or_else(|error| panic!("{key}: {error}"));
}

fn enter() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    ip("link set lo up");
    // Several tests' worth of rejects come at once.
    sysctl("ipv4/icmp_ratelimit", "0");
    sysctl("ipv6/icmp/ratelimit", "0");
}

/// Addresses without duplicate detection, which would keep them from being used for a second.
fn address(link: &str, number: u8) {
    sysctl(&format!("ipv6/conf/{link}/accept_dad"), "0");
    ip(&format!("address add 10.99.0.{number}/24 dev {link}"));
    ip(&format!("address add fd99::{number}/64 dev {link} nodad"));
    ip(&format!("address add fe80::{number}/64 dev {link} nodad"));
    ip(&format!("link set {link} up"));
}
