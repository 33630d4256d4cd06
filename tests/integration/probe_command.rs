//! `portprobe probe`: its output for people and scripts.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use serde_json::Value;

use crate::support::daemon::finished;

#[test]
fn a_successful_probe_exits_with_0() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let printed = finished(&["probe", &url], folder.path());
    assert_eq!(printed.status, 0, "{printed:?}");
    let lines: Vec<_> = printed.stdout.lines().collect();
    assert_eq!(lines[0], url);
    assert!(lines[1].starts_with("  connect") && lines[1].ends_with(" ms  127.0.0.1  open"), "{lines:?}");
    assert!(lines[3].starts_with("good in "), "{lines:?}");
    assert!(!printed.stdout.contains('\x1b'), "colours are for terminals");
}

#[test]
fn a_failed_probe_prints_advice() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let folder = tempfile::tempdir().unwrap();
    let printed = finished(&["probe", &address.to_string()], folder.path());
    assert_eq!(printed.status, 1);
    for part in [
        "refused in connect after ",
        &format!("nothing listens on port {}", address.port()),
        "  meaning  the machine answers",
        "  try      on 127.0.0.1: is the service running",
    ] {
        assert!(printed.stdout.contains(part), "{part}: {}", printed.stdout);
    }
    assert_eq!(printed.stdout.matches("answered with a RST").count(), 1, "the details stand once: {printed:?}");
    let step = printed.stdout.lines().nth(1).unwrap();
    assert!(step.starts_with("  connect") && step.ends_with(" ms  127.0.0.1  refused"), "{printed:?}");
    let closed = finished(&["probe", &address.to_string(), "--expect=closed"], folder.path());
    assert_eq!(closed.status, 0, "{closed:?}");
    assert!(closed.stdout.contains(" ms  127.0.0.1  closed, as expected"), "{closed:?}");
}

#[test]
fn json_is_for_scripts() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let good: Value = serde_json::from_str(&finished(&["probe", "--json", &url], folder.path()).stdout).unwrap();
    assert_eq!((&good["target"], &good["result"]), (&url.clone().into(), &"good".into()));
    assert!(good["phase_duration_seconds"]["connect"].as_f64().unwrap() > 0.0);
    assert_eq!(good["attempts"][0]["ip"], "127.0.0.1");
    drop(listener);
    let failed: Value = serde_json::from_str(&finished(&["probe", "--json", &url], folder.path()).stdout).unwrap();
    assert_eq!((&failed["result"], &failed["class"]), (&"failed".into(), &"refused".into()));
    let fault = finished(&["probe", "--json", &url, "--source_address=192.0.2.1"], folder.path());
    let fault: Value = serde_json::from_str(&fault.stdout).unwrap();
    assert_eq!((&fault["result"], &fault["reason"]), (&"local_fault".into(), &"no_port".into()));
}

#[test]
fn target_and_module_come_from_the_configuration() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("p.yaml"),
        format!(
            "modules: {{ closed: {{ expect: closed }} }}\ntargets: [ {{ url: 'tcp://{address}', name: it, module: closed }} ]\n"
        ),
    )
    .unwrap();
    let named = finished(&["probe", "--config.file=p.yaml", "it"], folder.path());
    assert_eq!(named.status, 1, "{named:?}");
    assert!(named.stdout.contains("unexpected_open in connect"), "{named:?}");
    let other = format!("127.0.0.1:{}", address.port());
    let module = finished(&["probe", "--config.file=p.yaml", "--module=closed", &other], folder.path());
    assert!(module.stdout.contains("unexpected_open in connect"), "{module:?}");
}

#[test]
fn a_wrong_flag_is_told_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let printed = finished(&["probe", "127.0.0.1:1", "--addresses=most"], folder.path());
    assert_eq!(printed.status, 1);
    assert!(printed.stderr.contains("--addresses: "), "{printed:?}");
}

/// A memcached that reports its version once, and the request that it received.
fn heard_by_memcached(arguments: &[&str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("memcached://{}", listener.local_addr().unwrap());
    let serving = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut heard = [0; 9];
        stream.read_exact(&mut heard).unwrap();
        stream.write_all(b"VERSION 1.6.18\r\n").unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    });
    let folder = tempfile::tempdir().unwrap();
    let printed = finished(&[&["probe", &url], arguments].concat(), folder.path());
    serving.join().unwrap();
    assert_eq!(printed.status, 0, "{printed:?}");
    printed.stdout
}

#[test]
fn verbose_shows_every_byte() {
    let printed = heard_by_memcached(&["--verbose"]);
    let said: Vec<_> = printed.lines().skip_while(|line| !line.starts_with("  said")).collect();
    assert!(said[1].starts_with("  protocol ") && said[1].ends_with(" ms  sent 9 bytes"), "{printed}");
    assert_eq!(said[2].trim_start(), "version\\r\\n");
    assert!(said[3].ends_with(" ms  received 16 bytes"), "{printed}");
    assert_eq!(said[4].trim_start(), "VERSION 1.6.18\\r\\n");
    let printed: Value = serde_json::from_str(&heard_by_memcached(&["-v", "--json"])).unwrap();
    let transcript = &printed["attempts"][0]["transcript"];
    assert_eq!(transcript["omitted_bytes"], 0);
    let messages: Vec<_> = transcript["messages"].as_array().unwrap().iter().take(2).collect();
    let told = |message: &Value| [message["direction"].clone(), message["phase"].clone(), message["hex"].clone()];
    assert_eq!(told(messages[0]), ["sent", "protocol", "76657273696f6e0d0a"]);
    assert_eq!(told(messages[1]), ["received", "protocol", "56455253494f4e20312e362e31380d0a"]);
    assert!(!heard_by_memcached(&[]).contains("said"), "only where it is asked for");
}
