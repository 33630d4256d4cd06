//! Hostile clients: others still get responses, probing continues, and no resources are leaked.

use std::fs;
use std::io::ErrorKind;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::daemon::{Daemon, portprobe};
use crate::support::{http, ports, requires_program, wait};

const CONFIG: &str = "defaults: { interval: 200ms }\ntargets: [ '127.0.0.1:1' ]\n";

/// The expected response: one of these status codes, or only the end of the connection.
enum Expected {
    Closed,
    Status(&'static [&'static str]),
}

#[tokio::test]
async fn malformed_requests_are_refused_without_leaks() {
    use Expected::{Closed, Status};
    let daemon = Daemon::start(CONFIG).await;
    let long_header = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "a".repeat(64 * 1024));
    let many_headers = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(5000));
    let long_path = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(64 * 1024));
    let corpus: Vec<(&[u8], Expected)> = vec![
        (b"\r\n\r\n\r\n", Closed),
        (b"GET\r\n\r\n", Status(&["400"])),
        (b"GET /metrics\r\n\r\n", Status(&["400"])),
        (b"GET /metrics HTTP/9.9\r\n\r\n", Status(&["400", "505"])),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Status(&["400"])),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Closed),
        (b"GET / HTTP/1.1\r\nHost x\r\n\r\n", Status(&["400"])),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA\x00B: c\r\n\r\n", Status(&["400"])),
        (b"GET / HTTP/1.1\nHost: x\n\n", Status(&["200", "400"])),
        (b"GET / HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n", Status(&["400"])),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n12345", Status(&["400"])),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", Status(&["400"])),
        (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: banana\r\n\r\n", Status(&["400"])),
        (b"GET / HTTP/1.1\r\n\r\n", Status(&["400"])),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", Status(&["400"])),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            Status(&["400"]),
        ),
        (long_header.as_bytes(), Status(&["431"])),
        (many_headers.as_bytes(), Status(&["431"])),
        (long_path.as_bytes(), Status(&["414", "431"])),
    ];
    for (request, expected) in corpus {
        let shown = String::from_utf8_lossy(&request[..request.len().min(60)]).into_owned();
        let answer = http::exchange(daemon.address, request).await;
        let answer = String::from_utf8_lossy(&answer);
        match expected {
            Closed => assert!(answer.is_empty(), "{shown:?}: {answer}"),
            Status(codes) => {
                let code = answer.split(' ').nth(1).unwrap_or("nothing");
                assert!(codes.contains(&code), "{shown:?}: {answer}");
            }
        }
    }
    assert_eq!(daemon.get("/-/healthy").await.status, 200);
    let few = |descriptors| descriptors < 40.0;
    daemon
        .scrape_until("no connection lasts", |s| s.value("process_open_fds", &[]).is_some_and(few))
        .await;
}

#[tokio::test]
async fn a_smuggled_request_is_not_answered() {
    let daemon = Daemon::start(CONFIG).await;
    // Two lengths: a proxy that uses the first would forward the rest as the request of another client.
    let request = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n\
        0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answer = http::exchange(daemon.address, request).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.matches("HTTP/1.1 ").count() <= 1, "{answer}");
    assert!(!answer.contains("404"), "{answer}");
}

#[tokio::test]
async fn a_half_closed_client_gets_its_response() {
    let daemon = Daemon::start(CONFIG).await;
    let mut stream = TcpStream::connect(daemon.address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: x\r\n\r\n").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.0 200 ") && answer.contains("\nprocess_threads"), "{answer}");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let daemon = Daemon::start(CONFIG).await;
    let mut requests = Vec::new();
    for path in ["/-/healthy", "/nowhere", "/-/ready"] {
        requests.extend(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").bytes());
    }
    requests.extend(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let answer = String::from_utf8(http::exchange(daemon.address, &requests).await).unwrap();
    let codes: Vec<_> = answer.split("HTTP/1.1 ").skip(1).map(|part| &part[..3]).collect();
    assert_eq!(codes, ["200", "404", "200", "200"]);
}

#[tokio::test]
async fn a_huge_body_is_not_read() {
    let daemon = Daemon::start(CONFIG).await;
    let mut stream = TcpStream::connect(daemon.address).await.unwrap();
    stream
        .write_all(b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n")
        .await
        .unwrap();
    let junk = vec![b'x'; 1024 * 1024];
    let mut sent = 0;
    while sent < 256 && stream.write_all(&junk).await.is_ok() {
        sent += 1;
    }
    assert!(sent < 256, "the connection is closed before a quarter of a gigabyte");
    assert_eq!(daemon.get("/-/healthy").await.status, 200);
}

#[tokio::test]
async fn an_unfinished_request_is_closed() {
    let daemon = Daemon::start(CONFIG).await;
    let address = daemon.address;
    let halves = [&b""[..], b"GET", b"GET /metrics HTTP/1.1\r\nHost: x\r\n"];
    let cut_off = halves.map(|half| {
        tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(half).await.unwrap();
            let mut answer = Vec::new();
            // Ends only when the daemon closes it, because this side stays open.
            let _ = stream.read_to_end(&mut answer).await;
            answer
        })
    });
    let mut idle = TcpStream::connect(daemon.address).await.unwrap();
    idle.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = idle.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 200"), "a connection that is idle after its response is closed, too");
    for answer in cut_off {
        let answer = answer.await.unwrap();
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test]
async fn ten_thousand_idle_connections_block_no_client() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if hard < 11_000 {
        println!("left out: this process may open no more than {hard} files");
        return;
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let daemon = Daemon::start(CONFIG).await;
    let before = daemon.scrape().await.of("tcp://127.0.0.1:1", "portprobe_probes_total");
    let mut idle = Vec::new();
    for _ in 0..10_000 {
        idle.push(TcpStream::connect(daemon.address).await.unwrap());
    }
    let scrape = daemon.scrape().await;
    assert!(scrape.value("process_open_fds", &[]) < Some(1200.0), "{scrape:?}");
    daemon
        .scrape_until("probes go on", |s| s.of("tcp://127.0.0.1:1", "portprobe_probes_total") > before)
        .await;
    let mut cut = 0;
    for stream in &mut idle {
        let mut byte = [0];
        match stream.try_read(&mut byte) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => cut += 1,
        }
    }
    assert!(cut >= 8_000, "the oldest made way: {cut}");
}

#[tokio::test]
async fn a_stalled_reader_is_disconnected() {
    let config = "defaults: { interval: 1h }\nlimits: { per_second: 1 }\ntargets: [ '127.0.0.1:1-4000' ]\n";
    let daemon = Daemon::start(config).await;
    let descriptors = async || daemon.scrape().await.value("process_open_fds", &[]).unwrap();
    let before = descriptors().await;
    let socket = TcpSocket::new_v4().unwrap();
    // The response must exceed the buffers of the kernel, which are megabytes on some machines.
    socket.set_recv_buffer_size(4096).unwrap();
    let mut slow = socket.connect(daemon.address).await.unwrap();
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 1];
    slow.read_exact(&mut first).await.unwrap();
    for _ in 0..3 {
        assert_eq!(daemon.get("/-/healthy").await.status, 200);
        assert!(daemon.scrape().await.value("portprobe_targets", &[]) == Some(4000.0));
    }
    wait::until_patiently("the slow client is disconnected", async || descriptors().await <= before).await;
    let mut rest = Vec::new();
    let read = slow.read_to_end(&mut rest).await;
    assert!(read.is_err() || !rest.ends_with(b"0\r\n\r\n"), "a truncated response does not look complete");
}

#[tokio::test]
async fn compression_is_limited_for_many_slow_readers() {
    let config = "defaults: { interval: 1h }\nlimits: { per_second: 1 }\ntargets: [ '127.0.0.1:1-2000' ]\n";
    let daemon = Daemon::start(config).await;
    let mut crowd = Vec::new();
    for _ in 0..80 {
        let socket = TcpSocket::new_v4().unwrap();
        // The response must exceed the buffers of the kernel.
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(daemon.address).await.unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n")
            .await
            .unwrap();
        crowd.push(stream);
    }
    let mut compressed = 0;
    for stream in &mut crowd {
        let mut head = [0; 200];
        stream.read_exact(&mut head).await.unwrap();
        assert!(head.starts_with(b"HTTP/1.1 200 "));
        compressed += usize::from(String::from_utf8_lossy(&head).contains("content-encoding: gzip"));
    }
    assert_eq!(compressed, 64, "each compressor takes memory until its client has read everything");
    drop(crowd);
    wait::until("compressors are available again", async || {
        let answer = http::request_bytes(daemon.address, "HEAD", "/metrics", &[("Accept-Encoding", "gzip")]).await;
        answer.header("content-encoding") == Some("gzip")
    })
    .await;
}

#[tokio::test]
async fn silent_targets_leave_descriptors_for_scrapes() {
    let (_listener, port) = ports::open_everywhere();
    let targets: Vec<_> = (1..=120).map(|n| format!("  - ssh://127.0.0.{n}:{port}\n")).collect();
    let daemon =
        limited("-n 64", &format!("defaults: {{ interval: 60s, timeout: 60s }}\ntargets:\n{}", targets.concat())).await;
    // Of 64 descriptors, 24 are for probes, and a quarter of those is kept from silent targets.
    let in_flight = "portprobe_probes_in_flight";
    daemon
        .scrape_until("probes wait for descriptors", |scrape| scrape.value(in_flight, &[]) == Some(18.0))
        .await;
    let mut greedy = Vec::new();
    for _ in 0..200 {
        greedy.push(TcpStream::connect(daemon.address).await.unwrap());
    }
    for _ in 0..20 {
        let scrape = daemon.scrape().await;
        assert_eq!(scrape.value(in_flight, &[]), Some(18.0));
        assert_eq!(scrape.value("portprobe_local_faults_total", &[("reason", "no_descriptor")]), Some(0.0));
    }
    assert_eq!(daemon.logged(&["Cannot accept"]), Vec::<String>::new());
}

/// Another process may have used up the table of the machine, which a lower limit of this process stands for.
#[tokio::test]
async fn the_daemon_survives_a_lack_of_descriptors() {
    if !requires_program("prlimit") {
        return;
    }
    let daemon = Daemon::start(&format!("limits: {{ in_flight: 1 }}\n{CONFIG}")).await;
    let limit = |soft: &str| {
        let limit = format!("--nofile={soft}:");
        let status = std::process::Command::new("prlimit")
            .args(["--pid", &daemon.id().to_string(), &limit])
            .status();
        assert!(status.unwrap().success());
    };
    limit("40");
    let mut greedy = Vec::new();
    for _ in 0..200 {
        greedy.push(TcpStream::connect(daemon.address).await.unwrap());
    }
    wait::until("the lack is logged", async || !daemon.logged(&["Cannot accept HTTP connections"]).is_empty()).await;
    drop(greedy);
    let before = daemon.scrape().await.of("tcp://127.0.0.1:1", "portprobe_probes_total");
    daemon
        .scrape_until("probes go on", |s| s.of("tcp://127.0.0.1:1", "portprobe_probes_total") > before)
        .await;
}

/// The response waits in the buffer of the socket, until the client reads it after 2,000 others have connected.
#[tokio::test]
async fn a_flood_truncates_no_response() {
    let targets: Vec<_> = (1..=4000).map(|port| format!("  - 127.0.0.1:{port}\n")).collect();
    let daemon = Daemon::start(&format!("limits: {{ per_second: 1 }}\ntargets:\n{}", targets.concat())).await;
    let expected = daemon.get("/config").await.body;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut slow = socket.connect(daemon.address).await.unwrap();
    slow.write_all(b"GET /config HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut flood = Vec::new();
    for _ in 0..2000 {
        flood.push(TcpStream::connect(daemon.address).await.unwrap());
    }
    let mut response = Vec::new();
    slow.read_to_end(&mut response).await.unwrap();
    assert!(response.ends_with(expected.as_bytes()), "{} of {} bytes", response.len(), expected.len());
}

/// Without one arena for all threads, the address space ends with the first scrapes.
#[tokio::test]
async fn little_address_space_is_enough() {
    let targets: Vec<_> = (1..=1500).map(|port| format!("  - 127.0.0.1:{port}\n")).collect();
    let daemon = limited("-v 120000", &format!("targets:\n{}", targets.concat())).await;
    assert_eq!(daemon.logged(&["The address space is limited"]).len(), 1);
    let mut crowd = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(daemon.address).await.unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        crowd.push(stream);
    }
    for mut stream in crowd {
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await.unwrap();
        assert!(response.starts_with(b"HTTP/1.1 200 ") && response.ends_with(b"0\r\n\r\n"));
    }
}

/// Starts a daemon with this limit of `ulimit`.
async fn limited(limit: &str, config: &str) -> Daemon {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("portprobe.yaml");
    fs::write(&file, config).unwrap();
    let mut command = std::process::Command::new("sh");
    command
        .arg("-c")
        .arg(format!("ulimit {limit} && exec \"$0\" --config.file \"$1\" --web.listen-address=127.0.0.1:0"))
        .arg(portprobe().get_program())
        .arg(&file);
    Daemon::run(command, folder).await
}
