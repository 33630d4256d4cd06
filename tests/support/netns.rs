//! Network namespaces of tests, with routes, links and firewalls.
//!
//! A namespace belongs to a thread and ends with it; nothing in it is visible outside.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;

use super::{requires_program, requires_root};

/// Runs `test` in a new namespace with loopback up, on a separate runtime and thread. Skips it without root or iproute2.
pub(crate) fn inside(test: impl AsyncFnOnce() + Send + 'static) {
    if !requires_root() || !requires_program("ip") || !requires_program("nft") {
        return;
    }
    let test = thread::spawn(move || {
        enter();
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(test());
    });
    if let Err(panic) = test.join() {
        std::panic::resume_unwind(panic);
    }
}

/// A second namespace, linked to this one: here are 10.99.0.1 and `fd99::1` on `near`, there 10.99.0.2 and `fd99::2` on
/// `far`. Code for it runs on its thread.
pub(crate) struct Far {
    work: Option<mpsc::Sender<Box<dyn FnOnce() + Send>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Far {
    /// Creates the namespace and the link to it.
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

    /// Runs something there and waits for it.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        let job = Box::new(move || {
            // The test may have failed and stopped waiting.
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

/// Runs `ip` in the namespace of this thread.
pub(crate) fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Adds rules, one per line, to the firewall of this namespace, for input or output.
pub(crate) fn firewall(hook: &str, rules: &str) {
    load(&table(hook, rules));
}

/// As [`firewall`], replacing the earlier rules.
pub(crate) fn replace_firewall(hook: &str, rules: &str) {
    load(&format!("table inet {hook} {{}}\ndelete table inet {hook}\n{}", table(hook, rules)));
}

fn table(hook: &str, rules: &str) -> String {
    format!("table inet {hook} {{\nchain {hook} {{\ntype filter hook {hook} priority 0\n{rules}\n}}\n}}\n")
}

fn load(table: &str) {
    let mut nft = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    nft.stdin.take().unwrap().write_all(table.as_bytes()).unwrap();
    let output = nft.wait_with_output().unwrap();
    assert!(output.status.success(), "{table}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Sets a value below `/proc/sys/net` of this namespace.
pub(crate) fn sysctl(key: &str, value: &str) {
    fs::write(format!("/proc/sys/net/{key}"), value).unwrap_or_else(|error| panic!("{key}: {error}"));
}

fn enter() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    ip("link set lo up");
    // Several tests cause rejects at once.
    sysctl("ipv4/icmp_ratelimit", "0");
    sysctl("ipv6/icmp/ratelimit", "0");
}

/// Addresses without duplicate address detection, which would delay their use by a second.
fn address(link: &str, number: u8) {
    sysctl(&format!("ipv6/conf/{link}/accept_dad"), "0");
    ip(&format!("address add 10.99.0.{number}/24 dev {link}"));
    ip(&format!("address add fd99::{number}/64 dev {link} nodad"));
    ip(&format!("address add fe80::{number}/64 dev {link} nodad"));
    ip(&format!("link set {link} up"));
}
