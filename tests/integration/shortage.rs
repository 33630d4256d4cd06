//! Tests of shortages of this machine, which are local faults and not failures of the target.

use std::fs::File;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::thread;

use portprobe::outcome::{LocalFaultReason, Outcome};
use portprobe::target::{Application, Dialogue, IpFamily, Part, ProbeKind, Step, Template};

use crate::support::probing::{assert_local_fault, target};
use crate::support::{ports, process, requires_program};

#[test]
fn exhausted_process_descriptors_are_a_local_fault() {
    process::isolated("integration::shortage::exhausted_process_descriptors_are_a_local_fault", || {
        let (_listener, port) = ports::open();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        process::use_up_descriptors();
        runtime.block_on(async {
            let literal = target(ports::url(port)).probe().await;
            let detail = assert_local_fault(&literal, LocalFaultReason::NoDescriptor);
            assert!(detail.contains("this process has no file descriptor left (EMFILE)"), "{detail}");
            let server = SocketAddr::from((Ipv4Addr::LOCALHOST, 53));
            let by_server = target(format!("tcp://name.test:{port}")).name_server(server).probe().await;
            assert_local_fault(&by_server, LocalFaultReason::NoDescriptor);
            let by_system = target(format!("tcp://name.test:{port}")).probe().await;
            assert_local_fault(&by_system, LocalFaultReason::NoDescriptor);
            let of_hosts = target(format!("tcp://localhost:{port}")).probe().await;
            assert_local_fault(&of_hosts, LocalFaultReason::NoDescriptor);
        });
    });
}

/// The error codes are injected into system calls, because a kernel cannot be made to run out of memory for one socket:
/// `tcp_mem` only drops packets of established connections, a cgroup limit invokes the OOM killer, and a full neighbour
/// table is not reported to the caller of connect.
#[test]
fn missing_socket_memory_is_a_local_fault() {
    let test = "integration::shortage::missing_socket_memory_is_a_local_fault";
    injected(test, "socket:error=ENOMEM", LocalFaultReason::NoMemory, "the kernel has no memory left (ENOMEM)");
}

#[test]
fn missing_connect_buffers_are_a_local_fault() {
    let test = "integration::shortage::missing_connect_buffers_are_a_local_fault";
    injected(test, "connect:error=ENOBUFS", LocalFaultReason::NoMemory, "the kernel has no memory left (ENOBUFS)");
}

/// The error is injected, because the limit on open files applies to the whole machine, and root can exceed it.
#[test]
fn exhausted_system_descriptors_are_a_local_fault() {
    let test = "integration::shortage::exhausted_system_descriptors_are_a_local_fault";
    injected(test, "socket:error=ENFILE", LocalFaultReason::NoDescriptor, "this machine has no file descriptor left");
}

/// A BPF program or a security module can deny a send after it has allowed the connect.
#[test]
fn a_forbidden_send_is_a_local_fault() {
    let test = "integration::shortage::a_forbidden_send_is_a_local_fault";
    injected_into(test, "sendto,sendmsg,writev:error=EPERM", async || {
        let (_listener, port) = ports::open();
        let hello = Step::Send(Template([Part::Bytes(b"hello"[..].into())].into()));
        let dialogue = Application::Dialogue(Dialogue([hello].into()));
        let probing = target(ports::url(port)).with(|settings| settings.probe_kind = ProbeKind::Plain(dialogue));
        let outcome = probing.probe().await;
        assert_forbidden(&outcome);
        assert_eq!(outcome.attempts.len(), 1);
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, 53));
        assert_forbidden(&target("tcp://name.test:1").name_server(server).probe().await);
    });
}

/// The interface of this machine does not send, so the buffer of the socket stays full.
#[test]
fn an_unsent_query_is_a_local_fault() {
    let test = "integration::shortage::an_unsent_query_is_a_local_fault";
    injected_into(test, "sendto:error=EAGAIN", async || {
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, 53));
        let outcome = target("tcp://name.test:1").name_server(server).probe().await;
        let detail = assert_local_fault(&outcome, LocalFaultReason::NoMemory);
        assert!(detail.contains("127.0.0.1:53") && detail.contains("EAGAIN"), "{detail}");
    });
}

/// The first call of this thread belongs to the query over UDP, whose response is truncated. strace counts per thread.
#[test]
fn a_forbidden_tcp_query_is_a_local_fault() {
    let test = "integration::shortage::a_forbidden_tcp_query_is_a_local_fault";
    injected_into(test, "sendto,sendmsg,writev:error=EPERM:when=2+", async || {
        assert_forbidden(&query_over_tcp().await);
    });
}

#[test]
fn a_forbidden_dns_connect_is_a_local_fault() {
    let test = "integration::shortage::a_forbidden_dns_connect_is_a_local_fault";
    injected_into(test, "connect:error=EPERM:when=2+", async || assert_forbidden(&query_over_tcp().await));
}

#[test]
fn an_unsent_tcp_query_is_a_local_fault() {
    let test = "integration::shortage::an_unsent_tcp_query_is_a_local_fault";
    injected_into(test, "sendto:error=EAGAIN:when=2+", async || {
        assert_local_fault(&query_over_tcp().await, LocalFaultReason::NoMemory);
    });
}

/// Queries a name server that truncates its response over UDP.
async fn query_over_tcp() -> Outcome {
    let (_listener, port) = ports::open();
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let socket = UdpSocket::bind(server).unwrap();
    let truncating = thread::spawn(move || {
        let mut query = [0; 512];
        let (length, client) = socket.recv_from(&mut query).unwrap();
        query[2] |= 0b1000_0010;
        socket.connect(client).unwrap();
        // A write is not one of the injected calls.
        File::from(OwnedFd::from(socket)).write_all(&query[..length]).unwrap();
    });
    let probing = target("tcp://name.test:1").name_server(server);
    let outcome = probing
        .with(|settings| settings.addressing.family = IpFamily::Ipv4)
        .probe()
        .await;
    truncating.join().unwrap();
    outcome
}

#[track_caller]
fn assert_forbidden(outcome: &Outcome) {
    let detail = assert_local_fault(outcome, LocalFaultReason::NotPermitted);
    assert!(detail.contains("a firewall, route or policy of this machine forbids it (EPERM)"), "{detail}");
}

/// Probes an address in a process whose system calls fail with an injected error.
fn injected(test: &str, fault: &str, reason: LocalFaultReason, expected: &str) {
    injected_into(test, fault, async || {
        let outcome = target("tcp://127.0.0.1:22").probe().await;
        let detail = assert_local_fault(&outcome, reason);
        assert!(detail.contains(expected), "{detail}");
    });
}

/// Runs `body` in a process whose system calls fail with an injected error.
fn injected_into(test: &str, fault: &str, body: impl AsyncFnOnce()) {
    if !requires_program("strace") {
        return;
    }
    let inject = format!("inject={fault}");
    process::isolated_by(test, &["strace", "-f", "-qq", "-o", "/dev/null", "-e", &inject], || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(body());
    });
}
