//! Configuration files: `check`, the example file, and hostile files.

use std::fmt::Write;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use portprobe::cli::check::{self, Details};
use portprobe::config;
use portprobe::options::{HistogramOptions, Limits, ResolverOptions};
use portprobe::target::{Labels, Settings, Sha256Digest};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::daemon::{Daemon, finished};
use crate::support::peers::peer;
use crate::support::scrape::Scrape;
use crate::support::wait;

/// The exact message for each file under `invalid` is next to it.
#[test]
fn every_invalid_file_is_refused_with_its_message() {
    let mut count = 0;
    for path in files("invalid") {
        let expected = fs::read_to_string(path.with_extension("txt")).unwrap();
        assert_eq!(format!("{}\n", message(&path)), expected, "{}", path.display());
        assert!(!expected.contains("hunter2"), "{}", path.display());
        count += 1;
    }
    assert!(count > 20, "only {count} files were found");
}

#[test]
fn every_valid_file_is_accepted() {
    for path in files("valid") {
        let summary = check::run(&path, &environment, None, Details::None).unwrap_or_else(|error| panic!("{error}"));
        let expected = fs::read_to_string(path.with_extension("txt")).unwrap();
        assert_eq!(format!("{}\n", without_directory(&summary, &path)), expected, "{}", path.display());
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("portprobe.yaml");
    let missing = "portprobe.yaml: does not exist; create it, or set `--config.file`";
    assert_eq!(message(&path), missing);

    fs::create_dir(&path).unwrap();
    assert_eq!(message(&path), "portprobe.yaml: is a directory; must be a file");
    fs::remove_dir(&path).unwrap();

    File::create(&path).unwrap().set_len(100_000_000).unwrap();
    assert_eq!(message(&path), "portprobe.yaml: is larger than the limit of 64 MiB");
}

#[test]
fn an_unreadable_character_is_reported_with_its_position() {
    let empty = "portprobe.yaml: is empty; add `targets:` with a line like `- tcp://host:443`";
    let not_utf8 = "portprobe.yaml:2:15: has the byte 0xfc, which is not valid UTF-8; save the file as UTF-8";
    let character = "portprobe.yaml:1:11: has the character `\\u{0}`, which YAML does not allow; remove it, or escape it in double quotes";
    for (bytes, expected) in [
        (b"".as_slice(), empty),
        (b" \n\n", empty),
        (b"---\n...\n", empty),
        (b"targets:\n  - \xc3\xa4.de:1 # f\xfcr", not_utf8),
        (b"targets: [\0]", character),
    ] {
        assert_eq!(message_of(bytes), expected);
    }
}

#[test]
fn a_byte_order_mark_is_ignored() {
    assert!(
        config::parse("\u{feff}targets: ['a.example:1']", Path::new("a.yaml"), &environment)
            .and_then(|draft| draft.finish(&[]))
            .is_ok()
    );
}

#[test]
fn deep_nesting_is_refused_quickly() {
    let deep = "is nested more than 32 levels deep; a configuration needs at most 5";
    for text in ["[", "{a: ", "- ", "[\n", "? "] {
        for count in [40, 20_000, 1_000_000] {
            let message = message_of(format!("targets: \n {}", text.repeat(count)).as_bytes());
            assert!(message.ends_with(deep) || message.contains("is not valid YAML"), "{text} {count}: {message}");
        }
    }
}

#[test]
fn aliases_that_expand_to_gigabytes_are_refused() {
    let mut bomb = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for level in 1..9 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{aliases}]").unwrap();
    }
    let often = "portprobe.yaml: has aliases that expand to too many values; use fewer aliases (`*name`)";
    assert_eq!(message_of(bomb.as_bytes()), often);

    let long = format!("a: &a {}\nb: [{}]", "x".repeat(1_000_000), vec!["*a"; 2000].join(", "));
    let large = "expands to more than 256 MiB; use fewer aliases (`*name`)";
    assert!(message_of(long.as_bytes()).ends_with(large));

    assert!(message_of(b"targets: &a [*a]").contains("nested more than 32 levels deep"));
}

#[test]
fn only_the_first_100_problems_are_printed() {
    let message = message_of(format!("targets:\n{}", "- a.example:0\n".repeat(250)).as_bytes());
    assert_eq!(message.lines().count(), 101);
    assert!(message.ends_with("\nand 150 more"));
}

#[test]
fn all_of_100_000_problems_are_counted() {
    let mut text = String::from("targets: ['a.example:1']\ngroups:\n");
    for group in 0..100_000 {
        writeln!(text, "  g{group}: {{}}").unwrap();
    }
    assert!(message_of(text.as_bytes()).ends_with("\nand 99900 more"));
}

#[test]
fn the_example_shows_the_defaults_of_the_code() {
    let config = config::parse(example(), Path::new("config.example.yaml"), &environment)
        .unwrap()
        .finish(&[])
        .unwrap();
    let plain = config
        .targets
        .iter()
        .find(|target| target.name.as_str() == "tcp://ssh.example.com:22")
        .unwrap();
    assert_eq!(*plain.settings, Settings::default());
    assert_eq!(plain.labels.iter().collect::<Vec<_>>(), [("region", "eu-west-1")]);
    assert_eq!(
        (config.histograms, config.limits, config.dns),
        (HistogramOptions::default(), Limits::default(), ResolverOptions::default())
    );
}

#[test]
fn every_commented_key_of_the_example_works() {
    let example = example();
    let commented: Vec<_> = example.lines().filter(|line| is_commented_key(line)).collect();
    assert!(commented.len() > 8, "only {} were found", commented.len());
    for line in commented {
        let mut text = example.replace(line, &uncommented(line));
        if line.contains("max_down") {
            text = text.replace("    min_up: 1\n", "");
        }
        if line.contains("ca_file") {
            text = text.replace("    roots: mozilla\n", "");
        }
        if line.contains("cert_file") || line.contains("key_file") {
            text = text
                .replace("#    cert_file", "    cert_file")
                .replace("#    key_file", "    key_file");
        }
        let result =
            config::parse(&text, Path::new("config.example.yaml"), &environment).and_then(|draft| draft.finish(&[]));
        assert!(result.is_ok(), "{line}: {}", result.unwrap_err());
    }
}

#[test]
fn the_example_has_every_key_of_the_schema() {
    let schema = config::schema();
    let text: Vec<_> = example().lines().map(uncommented).collect();
    let example: Value = serde_yaml::from_str(&text.join("\n")).unwrap();
    let settings = keys(&schema["$defs"]["Settings"]["properties"]);
    assert_eq!(keys(&example), keys(&schema["properties"]));
    assert_eq!(keys(&example["defaults"]), settings);
    assert_eq!(keys(&example["defaults"]["confirm"]), keys(&schema["$defs"]["Confirm"]["properties"]));
    assert_eq!(keys(&example["defaults"]["tls"]), keys(&schema["$defs"]["Tls"]["properties"]));
    assert_eq!(keys(&example["groups"]["web"]), keys(&schema["$defs"]["Group"]["properties"]));
    let discovery = example["discovery"].as_array().unwrap();
    let at_sources: std::collections::BTreeSet<_> = discovery.iter().flat_map(keys).collect();
    assert_eq!(at_sources.into_iter().collect::<Vec<_>>(), keys(&schema["$defs"]["Source"]["properties"]));
    assert_eq!(keys(&example["audit"][0]), keys(&schema["$defs"]["Audit"]["properties"]));
    for (key, definition) in [("histograms", "Histograms"), ("limits", "Limits"), ("dns", "Dns")] {
        assert_eq!(keys(&example[key]), keys(&schema["$defs"][definition]["properties"]), "{key}");
    }
    let at_targets = example["targets"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(keys)
        .filter(|key| !settings.contains(key));
    let only_at_targets = keys(&schema["$defs"]["Target"]["properties"])
        .into_iter()
        .filter(|key| !settings.contains(key));
    let (mut found, mut known): (Vec<_>, Vec<_>) = (at_targets.collect(), only_at_targets.collect());
    found.sort_unstable();
    found.dedup();
    known.sort_unstable();
    assert_eq!(found, known);
}

#[test]
fn the_schema_accepts_the_same_pins() {
    let schema = config::schema();
    let pin = schema["$defs"]["Tls"]["properties"]["pins"]["items"]["pattern"]
        .as_str()
        .unwrap();
    let pin = regex::Regex::new(pin).unwrap();
    let hex = "ab".repeat(32);
    for text in [
        hex.clone(),
        hex.to_uppercase(),
        ["Ab"; 32].join(":"),
        format!("{}=", "A".repeat(43)),
        String::new(),
        hex[1..].to_owned(),
        format!("{hex}0"),
        format!("sha256:{hex}"),
        "A".repeat(43),
        format!("{}=", "A".repeat(42)),
        "g".repeat(64),
    ] {
        assert_eq!(pin.is_match(&text), text.parse::<Sha256Digest>().is_ok(), "{text}");
    }
}

#[test]
fn the_schema_accepts_the_same_steps() {
    let schema = config::schema();
    let step = &schema["$defs"]["Step"];
    assert_eq!(step["dependentRequired"], json!({ "labels": ["expect"] }));
    assert_eq!(
        (&step["properties"]["send"]["minLength"], &step["properties"]["expect_bytes"]["minLength"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(schema["$defs"]["Settings"]["properties"]["dialogue"]["maxItems"], 64);
}

/// The defaults of the schema, read as a configuration, are those of the code.
#[test]
fn the_schema_has_the_defaults_of_the_code() {
    let schema = config::schema();
    let defaults = |definition: &str| -> Value {
        let properties = schema["$defs"][definition]["properties"].as_object().unwrap();
        properties
            .iter()
            .filter_map(|(key, property)| Some((key.clone(), property.get("default")?.clone())))
            .collect()
    };
    let mut settings = defaults("Settings");
    settings["confirm"] = defaults("Confirm");
    settings["tls"] = defaults("Tls");
    let mut source = defaults("Source");
    source["dns"] = "a.example".into();
    let text = serde_json::json!({
        "targets": ["a.example:1"],
        "defaults": settings,
        "histograms": defaults("Histograms"),
        "limits": defaults("Limits"),
        "dns": defaults("Dns"),
        "discovery": [source],
    });
    let config = config::parse(text.to_string(), Path::new("defaults"), &environment)
        .unwrap()
        .finish(&[])
        .unwrap();
    assert_eq!(*config.targets[0].settings, Settings::default());
    assert_eq!(
        (config.histograms, config.limits, config.dns),
        (HistogramOptions::default(), Limits::default(), ResolverOptions::default())
    );
    assert_eq!(config.labels, Labels::default());
    let plain = config::parse("discovery: [{dns: a.example}]", Path::new("defaults"), &environment)
        .unwrap()
        .finish(&[])
        .unwrap();
    assert_eq!(config.discovery, plain.discovery);
}

/// Writes a certificate for this name and its key into a folder.
fn write_certificate(folder: &Path, name: &str) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
    fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
    fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

#[test]
fn check_reads_tls_files_unless_syntax_only() {
    let folder = tempfile::tempdir().unwrap();
    write_certificate(folder.path(), "one");
    write_certificate(folder.path(), "other");
    fs::write(folder.path().join("empty.pem"), "").unwrap();
    let config = "\
defaults: { tls: { ca_file: one.pem } }
modules:
  client: { tls: { cert_file: one.pem, key_file: other.key } }
targets:
  - tls://a.example:443
  - { urls: [tls://b.example:443, tls://c.example:443], module: client }
  - { url: tls://d.example:443, tls: { ca_file: empty.pem, crl_files: [missing.pem] } }
";
    fs::create_dir(folder.path().join("etc")).unwrap();
    fs::write(folder.path().join("portprobe.yaml"), config).unwrap();
    let elsewhere = folder.path().join("etc");

    let checked = finished(&["check", "../portprobe.yaml"], &elsewhere);
    let expected = "\
../portprobe.yaml:3:50: modules.client.tls.key_file: the file ../other.key has a key that does not match the certificate in ../one.pem
../portprobe.yaml:7:49: targets[2].tls.ca_file: the file ../empty.pem has no certificate: expected PEM that begins with -----BEGIN CERTIFICATE-----; it is empty
../portprobe.yaml:7:72: targets[2].tls.crl_files[0]: the file ../missing.pem cannot be read: No such file or directory (os error 2)
";
    assert_eq!((checked.status, checked.stderr.as_str()), (1, expected));
    let served = finished(&["--config.file=../portprobe.yaml", "--web.listen-address=127.0.0.1:0"], &elsewhere);
    assert_eq!((served.status, served.stderr.as_str()), (1, expected));

    let syntax = finished(&["check", "--syntax-only", "../portprobe.yaml"], &elsewhere);
    assert_eq!((syntax.status, syntax.stderr.as_str()), (0, ""));
    assert!(syntax.stdout.starts_with("../portprobe.yaml: 4 targets, "), "{syntax:?}");

    fs::copy(folder.path().join("one.key"), folder.path().join("other.key")).unwrap();
    fs::copy(folder.path().join("one.pem"), folder.path().join("empty.pem")).unwrap();
    fs::write(folder.path().join("portprobe.yaml"), config.replace(", crl_files: [missing.pem]", "")).unwrap();
    let checked = finished(&["check", "../portprobe.yaml"], &elsewhere);
    assert_eq!((checked.status, checked.stderr.as_str()), (0, ""));
}

#[test]
fn paths_in_flags_start_in_the_working_directory() {
    let folder = tempfile::tempdir().unwrap();
    let probed = finished(&["probe", "tls://127.0.0.1:1", "--tls.ca-file=ca.pem"], folder.path());
    let expected = "--tls.ca-file: the file ca.pem cannot be read: No such file or directory (os error 2)\n";
    assert_eq!((probed.status, probed.stderr.as_str()), (2, expected));
}

#[tokio::test]
async fn a_file_that_becomes_invalid_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    write_certificate(folder.path(), "ca");
    let file = folder.path().join("ca.pem");
    let target = format!("{{ url: 'tls://127.0.0.1:1', tls: {{ ca_file: '{}' }} }}", file.display());
    let daemon = Daemon::start(&format!("targets: [{target}]")).await;
    let failures = "portprobe_file_reload_failures_total";
    assert_eq!(daemon.scrape().await.value(failures, &[]), Some(0.0));

    fs::write(&file, "junk").unwrap();
    wait::until_patiently("the bad file is counted", async || {
        daemon.scrape().await.value(failures, &[]).is_some_and(|count| count > 0.0)
    })
    .await;
    wait::until("the fault is logged", async || {
        daemon
            .logged(&["level=warn", "Cannot reload files", "kind=TLS", "has no certificate"])
            .len()
            == 1
    })
    .await;

    write_certificate(folder.path(), "ca");
    wait::until_patiently("the new file is loaded", async || {
        !daemon
            .logged(&["level=info", "Reloaded files", "kind=TLS", "ca.pem"])
            .is_empty()
    })
    .await;
}

#[tokio::test]
async fn warnings_are_logged() {
    let daemon = Daemon::start("targets: [{ url: 'ssh://127.0.0.1:1', interval: 1s }]").await;
    wait::until("the warning is logged", async || {
        !daemon
            .logged(&["level=warn", "targets[0].interval: 1s is short for ssh"])
            .is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_rotated_token_is_sent_without_a_reload() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "Bearer first\n").unwrap();
    // Accepts the current token.
    let wanted = Arc::new(Mutex::new("first"));
    let current = wanted.clone();
    let address = peer(move |mut stream| async move {
        let mut received = vec![0; 4096];
        let length = stream.read(&mut received).await.unwrap_or(0);
        let line = format!("authorization: Bearer {}\r\n", current.lock().unwrap());
        let is_accepted = String::from_utf8_lossy(&received[..length]).contains(&line);
        let status = if is_accepted { "200 OK" } else { "401 Unauthorized" };
        let _ = stream
            .write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes())
            .await;
    })
    .await;
    let config = format!(
        "targets: [{{ url: 'http://{address}', name: t, interval: 200ms, http: {{ headers_files: {{ Authorization: token }} }} }}]"
    );
    fs::write(folder.path().join("portprobe.yaml"), config).unwrap();
    let daemon = Daemon::start_in(folder, &[]).await;
    let failures = "portprobe_file_reload_failures_total";
    let up = |scrape: &Scrape| scrape.of("t", "portprobe_up") == Some(1.0);
    assert_eq!(daemon.scrape_until("the target is up", up).await.value(failures, &[]), Some(0.0));

    fs::write(&token, "").unwrap();
    wait::until_patiently("the bad file is counted", async || daemon.scrape().await.value(failures, &[]) >= Some(1.0))
        .await;
    assert_eq!(daemon.scrape().await.of("t", "portprobe_up"), Some(1.0), "the old token is still sent");
    wait::until("the fault is logged", async || {
        daemon
            .logged(&["level=warn", "Cannot reload files", "kind=header", "token is empty"])
            .len()
            == 1
    })
    .await;

    *wanted.lock().unwrap() = "second";
    fs::write(&token, "Bearer second\n").unwrap();
    wait::until_patiently("the new token is loaded", async || {
        !daemon
            .logged(&["level=info", "Reloaded files", "kind=header", "token"])
            .is_empty()
    })
    .await;
    daemon.scrape_until("the target is up with the new token", up).await;
}

#[test]
fn check_and_probe_read_header_files() {
    let folder = tempfile::tempdir().unwrap();
    let config = "targets: [{ url: 'http://127.0.0.1:1', name: t, http: { headers_files: { x-a: token } } }]\n";
    fs::write(folder.path().join("portprobe.yaml"), config).unwrap();
    let fault = "the file token cannot be read: No such file or directory (os error 2)\n";
    let place = "portprobe.yaml:1:79: targets[0].http.headers_files.x-a: ";
    for arguments in [&["check"][..], &["probe", "t", "--config.file=portprobe.yaml"]] {
        let refused = finished(arguments, folder.path());
        assert_eq!((refused.status, refused.stderr), (1, format!("{place}{fault}")), "{arguments:?}");
    }
    assert_eq!(finished(&["check", "--syntax-only"], folder.path()).status, 0);
    fs::write(folder.path().join("token"), "x").unwrap();
    assert_eq!(finished(&["check"], folder.path()).status, 0);
    let probed = finished(&["probe", "t", "--config.file=portprobe.yaml"], folder.path());
    assert!(probed.stdout.contains("refused"), "{probed:?}");
}

/// The keys of a mapping, sorted.
fn keys(mapping: &Value) -> Vec<String> {
    let mut keys: Vec<_> = mapping.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect();
    keys.sort_unstable();
    keys
}

/// Returns whether a line of the example is a commented key: `#`, indentation, key.
fn is_commented_key(line: &str) -> bool {
    let Some((key, _)) = line.strip_prefix("#  ").and_then(|line| line.split_once(": ")) else { return false };
    key.trim_start().chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

fn uncommented(line: &str) -> String {
    if is_commented_key(line) { line.replacen('#', "", 1) } else { line.to_owned() }
}

fn example() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.yaml")).unwrap()
}

fn environment(name: &str) -> Option<String> {
    (name == "POD_NAME").then(|| "web-1".to_owned())
}

/// Every YAML file in a folder of test resources, by name.
fn files(directory: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/resources/config")
        .join(directory);
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort_unstable();
    files
}

/// The message of `check` for an invalid file, without the path.
fn message(path: &Path) -> String {
    without_directory(&check::run(path, &environment, None, Details::None).unwrap_err().to_string(), path)
}

fn without_directory(text: &str, path: &Path) -> String {
    text.replace(&format!("{}/", path.parent().unwrap().display()), "")
}

fn message_of(bytes: &[u8]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("portprobe.yaml");
    fs::write(&path, bytes).unwrap();
    message(&path)
}

#[test]
fn check_reads_the_files_of_discovery_sources() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    fs::create_dir(folder.path().join("sd")).unwrap();
    let config = "modules: { web: {} }\ntargets: [ 'a:1' ]\ndiscovery: [ { file: 'sd/*.json' }, { dns: b.test } ]\n";
    write("portprobe.yaml", config);
    write("sd/good.json", "[\n  { \"targets\": [\"c:1\", \"a:1\"], \"labels\": { \"module\": \"web\" } }\n]\n");
    let checked = finished(&["check"], folder.path());
    assert_eq!(checked.status, 0, "{checked:?}");
    let expected = "\
sd/good.json:2:3: warning: entry 1, `c:1` and 1 more: the label `module` does not apply the module `web`; to apply it, use the label `__param_module`
sd/good.json:2:24: warning: entry 1, `a:1`: duplicate target name `tcp://a:1`, also used by portprobe.yaml; this one is skipped
portprobe.yaml: 2 targets (1 of them discovered), 0 groups, 0.03 probes per second; targets of 1 HTTP or DNS source are not counted
";
    let mut lines: Vec<_> = checked.stdout.lines().collect();
    lines.sort_unstable_by_key(|line| (line.starts_with("portprobe.yaml"), *line));
    let mut expected: Vec<_> = expected.lines().collect();
    expected.sort_unstable_by_key(|line| (line.starts_with("portprobe.yaml"), *line));
    assert_eq!(lines, expected);

    write("sd/bad.json", "[\n  \"d:1\",\n  { \"urls\": [\"e:1\",\n    \"f:0\"] },\n  7\n]\n");
    write("sd/broken.json", "{}");
    write("sd/tls.json", "[{ \"url\": \"tls://g:1\", \"tls\": { \"ca_file\": \"missing.pem\" } }]");
    let checked = finished(&["check"], folder.path());
    assert_eq!(checked.status, 1, "{checked:?}");
    for problem in [
        "sd/bad.json:4:5: entry 2, `f:0`: port 0 is out of range",
        "sd/bad.json:5:3: entry 3: is the number 7",
        "sd/broken.json: cannot be used: is a mapping; must be a list of targets",
        "sd/tls.json:1:2: entry 1, `tls://g:1`: the file missing.pem cannot be read",
    ] {
        assert!(checked.stderr.lines().any(|line| line.starts_with(problem)), "{problem}: {checked:?}");
    }
    let syntax = finished(&["check", "--syntax-only"], folder.path());
    assert!(syntax.stderr.contains("sd/bad.json") && !syntax.stderr.contains("missing.pem"), "{syntax:?}");
}

#[test]
fn check_reads_the_files_of_http_sources() {
    let folder = tempfile::tempdir().unwrap();
    let config = "discovery: [ { http: 'https://a.test', headers_files: { x-a: token }, tls: { ca_file: ca.pem } } ]\n";
    fs::write(folder.path().join("portprobe.yaml"), config).unwrap();
    let checked = finished(&["check"], folder.path());
    assert_eq!(checked.status, 1, "{checked:?}");
    for key in ["discovery[0].headers_files.x-a: the file token", "discovery[0].tls.ca_file: the file ca.pem"] {
        assert!(checked.stderr.contains(key), "{key}: {checked:?}");
    }
    assert_eq!(finished(&["check", "--syntax-only"], folder.path()).status, 0);
}

#[test]
fn check_warns_about_a_source_without_files() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("portprobe.yaml"), "discovery:\n- dns: a.test\n- file: 'sd/*.json'\n").unwrap();
    let checked = finished(&["check"], folder.path());
    let warning = "portprobe.yaml:3:9: discovery[1].file: warning: cannot list the directory sd";
    assert!(checked.status == 0 && checked.stdout.starts_with(warning), "{checked:?}");
    let syntax = finished(&["check", "--syntax-only"], folder.path());
    let summary = "0 targets, 0 groups, 0 probes per second; targets of 1 HTTP or DNS source are not counted";
    assert_eq!(syntax.stdout, format!("portprobe.yaml: {summary}\n"));
}

#[test]
fn check_lists_targets_with_their_settings() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let config = "\
defaults: { interval: 30s }
targets:
  - tcp://a.test:1-2
  - { url: 'http://b.test/?token=x', interval: 5s, http: { headers: { authorization: secret } } }
discovery:
  - { file: sd.yaml, labels: { from: sd } }
";
    write("portprobe.yaml", config);
    write("sd.yaml", "- tcp://a.test:1\n- { url: 'tcp://c.test:1', timeout: 1s }\n");
    let listed = finished(&["check", "--targets"], folder.path());
    let expected = "\
tcp://a.test:1
tcp://a.test:2
  interval: 30s  # portprobe.yaml:1:23: defaults.interval
  timeout: 10s   # default
http://b.test:80/?token=<hidden>
  interval: 5s  # portprobe.yaml:4:48: targets[1].interval
  timeout: 5s   # limited by the interval
  http.headers: {\"authorization\":\"<hidden>\"}  # portprobe.yaml:4:69: targets[1].http.headers
tcp://c.test:1
  interval: 30s    # portprobe.yaml:1:23: defaults.interval
  timeout: 1s      # sd.yaml:2:37: [1].timeout
  labels.from: sd  # portprobe.yaml:6:38: discovery[0].labels.from
";
    let (listing, rest) = listed.stdout.split_at(listed.stdout.find("portprobe.yaml:4:12: ").unwrap());
    assert_eq!(listing, expected, "{listed:?}");
    assert!(rest.contains("duplicate target name `tcp://a.test:1`"), "{rest}");
}
