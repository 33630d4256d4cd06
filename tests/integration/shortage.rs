//! Tests of shortages of this machine, which are local faults and not failures of the target.

use std::net::{Ipv4Addr, SocketAddr};

use portprobe::outcome::LocalFaultReason;

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

/// Probes in a process whose system calls fail with an injected error.
fn injected(test: &str, fault: &str, reason: LocalFaultReason, expected: &str) {
    if !requires_program("strace") {
        return;
    }
    let inject = format!("inject={fault}");
    process::isolated_by(test, &["strace", "-f", "-qq", "-o", "/dev/null", "-e", &inject], || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let outcome = runtime.block_on(target("tcp://127.0.0.1:22").probe());
        let detail = assert_local_fault(&outcome, reason);
        assert!(detail.contains(expected), "{detail}");
    });
}
