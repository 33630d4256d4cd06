//! `portprobe probe`: its output for people and scripts.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use serde_json::Value;

use crate::support::daemon::{finished, portprobe};

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
    assert!(lines[3].starts_with("succeeded in "), "{lines:?}");
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
        "  meaning  the host responds",
        "  try      on 127.0.0.1: is the service running",
    ] {
        assert!(printed.stdout.contains(part), "{part}: {}", printed.stdout);
    }
    assert_eq!(printed.stdout.matches("answered with a RST").count(), 1, "the detail is shown once: {printed:?}");
    let step = printed.stdout.lines().nth(1).unwrap();
    assert!(step.starts_with("  connect") && step.ends_with(" ms  127.0.0.1  refused"), "{printed:?}");
    let closed = finished(&["probe", &address.to_string(), "--expect=closed"], folder.path());
    assert_eq!(closed.status, 0, "{closed:?}");
    assert!(closed.stdout.contains(" ms  127.0.0.1  closed, as expected"), "{closed:?}");
}

#[test]
fn json_has_result_class_and_durations() {
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
    let fault = finished(&["probe", "--json", &url, "--source-address=192.0.2.1"], folder.path());
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
fn the_default_file_resolves_names() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = format!("targets: [ {{ url: 'tcp://{}', name: it }} ]\n", listener.local_addr().unwrap());
    fs::write(folder.path().join("portprobe.yaml"), &file).unwrap();
    let printed = finished(&["probe", "it"], folder.path());
    assert_eq!(printed.status, 0, "{printed:?}");
    fs::rename(folder.path().join("portprobe.yaml"), folder.path().join("other.yaml")).unwrap();
    let mut command = portprobe();
    command
        .args(["probe", "it"])
        .current_dir(folder.path())
        .env("PORTPROBE_CONFIG_FILE", "other.yaml");
    assert!(command.output().unwrap().status.success());
    let missing = finished(&["probe", "it"], folder.path());
    let expected = "portprobe: NAME: cannot look up `it`, because portprobe.yaml does not exist; set --config.file, or \
                    probe a URL like tcp://host:443\n";
    assert_eq!((missing.status, &*missing.stderr), (2, expected));
}

#[test]
fn a_url_ignores_the_default_file() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("portprobe.yaml"), "not a configuration").unwrap();
    let printed = finished(&["probe", &listener.local_addr().unwrap().to_string()], folder.path());
    assert_eq!(printed.status, 0, "{printed:?}");
}

#[test]
fn a_url_needs_no_file_of_the_environment() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let exits_with = |arguments: &[&str]| {
        let mut command = portprobe();
        command.arg("probe").args(arguments).current_dir(folder.path());
        command
            .env("PORTPROBE_CONFIG_FILE", "missing.yaml")
            .output()
            .unwrap()
            .status
            .code()
    };
    let url = listener.local_addr().unwrap().to_string();
    assert_eq!(exits_with(&[&url]), Some(0));
    assert_eq!(exits_with(&["--config.file=other.yaml", &url]), Some(1), "the flag names a missing file");
    assert_eq!(exits_with(&["it"]), Some(1), "a name needs the file");
}

/// Responds to one request like a source of `http_sd`.
fn http_source(targets: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let response = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{targets}",
        targets.len()
    );
    thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).unwrap();
        stream.write_all(response.as_bytes()).unwrap();
    });
    address
}

#[test]
fn a_name_is_looked_up_in_discovery_sources() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let entry = |name: &str| format!(r#"[{{"targets": ["{address}"], "labels": {{"__portprobe_name": "{name}"}}}}]"#);
    fs::create_dir(folder.path().join("sd")).unwrap();
    fs::write(folder.path().join("sd/a.json"), entry("from-file")).unwrap();
    let source = http_source(&entry("from-http"));
    let file = format!(
        "modules: {{ closed: {{ expect: closed }} }}
discovery:
  - {{ file: missing/*.json }}
  - {{ file: sd/*.json, module: closed }}
  - {{ http: 'http://{source}/sd' }}
  - {{ dns: localhost, type: A, port: {} }}
",
        address.port()
    );
    fs::write(folder.path().join("portprobe.yaml"), file).unwrap();
    let from_file = finished(&["probe", "from-file"], folder.path());
    assert!(from_file.stdout.contains("unexpected_open in connect"), "the module applies: {from_file:?}");
    let unreadable =
        "portprobe: cannot read the discovery source file:missing/*.json: cannot list the directory missing: ";
    assert!(from_file.stderr.starts_with(unreadable), "{from_file:?}");
    let from_http = finished(&["probe", "from-http"], folder.path());
    assert_eq!(from_http.status, 0, "{from_http:?}");
    let url = format!("tcp://{address}");
    let from_dns = finished(&["probe", "--config.file=portprobe.yaml", &url], folder.path());
    assert_eq!(from_dns.status, 0, "{from_dns:?}");
    let unknown = finished(&["probe", "from-fil"], folder.path());
    assert_eq!(unknown.status, 2, "{unknown:?}");
    let expected = "NAME: unknown target `from-fil`; did you mean `from-file`?\n";
    assert!(unknown.stderr.ends_with(expected), "{unknown:?}");
}

#[test]
fn an_unusable_argument_exits_with_2() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bad.yaml"), "targets: [ 'a:0' ]\n").unwrap();
    for (arguments, status, message) in [
        (&["127.0.0.1:1", "--addresses=most"][..], 2, "--addresses: unknown value `most`"),
        (&["127.0.0.1:1", "--expect-addresses=x"], 2, "--expect-addresses[0]: `x` is not a valid address"),
        (&["127.0.0.1:1", "--module=m"], 2, "portprobe: --module: cannot look up `m`"),
        (&["127.0.0.1"], 2, "portprobe: NAME: cannot look up `127.0.0.1`"),
        (&["127.0.0.1:1-2"], 2, "URL: has 2 ports"),
        (&["ssj://127.0.0.1"], 2, "URL: "),
        (&["it", "--config.file=bad.yaml"], 1, "bad.yaml:1:12: targets[0]: "),
        (&["it", "--config.file=missing.yaml"], 1, "missing.yaml: does not exist"),
    ] {
        let printed = finished(&[&["probe"], arguments].concat(), folder.path());
        assert_eq!(printed.status, status, "{printed:?}");
        assert!(printed.stderr.starts_with(message), "{printed:?}");
    }
}

#[test]
fn earlier_spellings_of_flags_still_work() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--expect_addresses=127.0.0.0/8", "--interval=5s", "--confirm.failures=3", "--confirm.delay=0s"];
    let printed = finished(&[&["probe", &*address][..], &flags].concat(), folder.path());
    assert_eq!(printed.status, 0, "{printed:?}");
    let help = finished(&["probe", "--help"], folder.path()).stdout;
    for flag in flags.map(|flag| flag.split('=').next().unwrap()) {
        assert!(!help.contains(flag), "{flag} has no effect on one probe, or is an old spelling: {help}");
    }
    assert!(help.contains("--expect-addresses <LIST>") && help.contains("--slow-after <VALUE>"), "{help}");
}

/// Probes a memcached that reports its version, and returns the output.
fn printed_with_memcached(arguments: &[&str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("memcached://{}", listener.local_addr().unwrap());
    let serving = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut request = [0; 9];
        stream.read_exact(&mut request).unwrap();
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
    let printed = printed_with_memcached(&["--verbose"]);
    let transcript_lines: Vec<_> = printed.lines().skip_while(|line| !line.starts_with("  transcript")).collect();
    assert!(
        transcript_lines[1].starts_with("  protocol ") && transcript_lines[1].ends_with(" ms  sent 9 bytes"),
        "{printed}"
    );
    assert_eq!(transcript_lines[2].trim_start(), "version\\r\\n");
    assert!(transcript_lines[3].ends_with(" ms  received 16 bytes"), "{printed}");
    assert_eq!(transcript_lines[4].trim_start(), "VERSION 1.6.18\\r\\n");
    let printed: Value = serde_json::from_str(&printed_with_memcached(&["-v", "--json"])).unwrap();
    let transcript = &printed["attempts"][0]["transcript"];
    assert_eq!(transcript["omitted_bytes"], 0);
    let messages: Vec<_> = transcript["messages"].as_array().unwrap().iter().take(2).collect();
    let fields = |message: &Value| [message["direction"].clone(), message["phase"].clone(), message["hex"].clone()];
    assert_eq!(fields(messages[0]), ["sent", "protocol", "76657273696f6e0d0a"]);
    assert_eq!(fields(messages[1]), ["received", "protocol", "56455253494f4e20312e362e31380d0a"]);
    assert!(!printed_with_memcached(&[]).contains("transcript"), "only with --verbose");
}
