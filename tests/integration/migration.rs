//! The way over from blackbox_exporter: the commands of the page on the files in `tests/migration`, next to the real
//! exporter.
//!
//! The servers run on other threads than the tests, which wait for commands.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use self::servers::Servers;
use crate::integration::docs::Page;
use crate::support::daemon::{Daemon, Finished, finished, portprobe};
use crate::support::http;
use crate::support::pki::{self, Authority};
use crate::support::scrape::Scrape;
use crate::support::services::text::Tls;
use crate::support::services::{self, Service, web};

mod jobs;
mod servers;

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_page_move_all_targets() {
    let servers = Servers::start().await;
    let exporters = services::blackbox_exporters(servers.folder.path()).await;
    for exporter in &exporters {
        run_scripts(&servers, exporter);
    }
    if exporters.is_empty() {
        return;
    }
    let daemon = Daemon::start_in(servers.copy(), &[]).await;
    let known = |scrape: &Scrape| states(scrape).len() == 20;
    let scrape = daemon.scrape_until_patiently("all targets are known", known).await;
    let mut up = 0;
    for (target, is_up) in states(&scrape) {
        let (module, probed) = servers.probed(&target);
        for exporter in &exporters {
            assert_eq!(is_up, succeeds(exporter, module, &probed).await, "{target}");
        }
        up += u32::from(is_up);
    }
    assert_eq!(up, 13, "some are up, some are down");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_prints_each_difference() {
    let servers = Servers::start().await;
    let changed = servers.copy();
    let file = changed.path().join("blackbox.yml");
    let text = fs::read_to_string(&file).unwrap();
    let text = text.replace(
        "  http_2xx:\n    prober: http\n    timeout: 5s\n    http:\n",
        "  http_2xx:\n    prober: http\n    timeout: 5s\n    http:\n      valid_status_codes: [200, 404]\n",
    );
    fs::write(&file, text.replace("^:[^ ]+ 001", "^:[^ ]+ 002")).unwrap();
    let Some(exporter) = services::blackbox_exporter(changed.path()).await else { return };
    let url = format!("http://{}", exporter.address);
    let compared = compare(&servers.folder, &url);
    assert_eq!((compared.status, &*compared.stderr), (1, ""), "{compared:?}");
    let host = &servers.host;
    let missing = format!("http://{host}:2401/missing");
    let expected = format!(
        "{missing} (module http_2xx): down in portprobe, up in blackbox_exporter\n  \
         portprobe: unexpected_response in protocol: expected the status 2xx, received 404 Not Found"
    );
    assert!(compared.stdout.starts_with(&expected), "{}", compared.stdout);
    let expected = format!("\n{host}:2503 (module irc_banner): up in portprobe, down in blackbox_exporter\n");
    assert!(compared.stdout.contains(&expected), "{}", compared.stdout);
    assert_eq!(compared.stdout.matches("in blackbox_exporter\n").count(), 2, "{}", compared.stdout);
    let debug_url = compared
        .stdout
        .lines()
        .last()
        .unwrap()
        .trim()
        .strip_prefix("blackbox_exporter: ")
        .unwrap();
    let path = debug_url.strip_prefix(&url).unwrap();
    let debugged = http::request(exporter.address, "GET", path).await.body;
    assert!(debugged.contains("Logs for the probe:"), "{debugged}");
}

/// The comparison finds no difference, whether an expression matches or not.
#[tokio::test(flavor = "multi_thread")]
async fn expressions_match_as_in_go() {
    let servers = Servers::start().await;
    let host = &servers.host;
    let mut modules = "modules:\n".to_owned();
    let mut jobs = "global: { scrape_timeout: 3s }\nscrape_configs:\n".to_owned();
    for (index, expression) in EXPRESSIONS.iter().enumerate() {
        let quoted = expression.replace('\'', "''");
        for (prober, settings, target) in [
            ("tcp", format!("query_response: [{{ expect: '{quoted}' }}]"), format!("{host}:2305")),
            (
                "http",
                format!("follow_redirects: false, fail_if_body_not_matches_regexp: ['{quoted}']"),
                format!("http://{host}:2401/text"),
            ),
        ] {
            let name = format!("{prober}_{index}");
            writeln!(modules, "  {name}: {{ prober: {prober}, timeout: 1s, {prober}: {{ {settings} }} }}").unwrap();
            let params = format!("{{ module: [{name}], target: ['{target}'] }}");
            writeln!(
                jobs,
                "- {{ job_name: {name}, metrics_path: /probe, params: {params}, static_configs: [{{ targets: [a] }}] }}"
            )
            .unwrap();
        }
    }
    fs::write(servers.folder.path().join("blackbox.yml"), modules).unwrap();
    fs::write(servers.folder.path().join("prometheus.yml"), jobs).unwrap();
    for exporter in services::blackbox_exporters(servers.folder.path()).await {
        let compared = compare(&servers.folder, &format!("http://{}", exporter.address));
        assert_eq!((compared.status, &*compared.stdout, &*compared.stderr), (0, "", ""));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_not_imported_is_a_difference() {
    let servers = Servers::start().await;
    let file = servers.folder.path().join("blackbox.yml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("  irc_banner:\n    prober: tcp", "  irc_banner:\n    prober: icmp")).unwrap();
    let Some(exporter) = services::blackbox_exporter(servers.folder.path()).await else { return };
    let compared = compare(&servers.folder, &format!("http://{}", exporter.address));
    let expected = format!(
        "{}:2503 (module irc_banner): only in blackbox_exporter: portprobe has no ICMP; keep blackbox_exporter for these \
         targets\n",
        servers.host
    );
    assert_eq!((compared.status, compared.stdout), (1, expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exporter_without_a_result_is_an_error() {
    let servers = Servers::start().await;
    for (url, reason) in [
        (format!("http://{}:2204", servers.host), "nothing listens on port 2204"),
        (format!("http://{}:2401", servers.host), "responded with 404 Not Found"),
    ] {
        let compared = compare(&servers.folder, &url);
        assert_eq!((compared.status, &*compared.stdout), (1, ""), "{compared:?}");
        assert!(compared.stderr.starts_with(&format!("portprobe: cannot compare with {url}")), "{compared:?}");
        assert!(compared.stderr.contains(reason), "{compared:?}");
    }
}

#[test]
fn invalid_files_and_flags_have_their_exit_status() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("blackbox.yml"), "modules:\n  a: { prober: tcp, timeout: soon }\n").unwrap();
    let invalid = finished(&["import", "--blackbox=blackbox.yml"], folder.path());
    assert_eq!((invalid.status, &*invalid.stdout), (1, ""));
    assert!(invalid.stderr.starts_with("blackbox.yml:2:30: modules.a.timeout: `soon` "), "{invalid:?}");
    let missing = finished(&["import", "--blackbox=nothing.yml"], folder.path());
    assert_eq!(missing.status, 1);
    assert!(missing.stderr.starts_with("nothing.yml: does not exist"), "{missing:?}");
    for arguments in [&["import"] as &[_], &["import", "--blackbox=blackbox.yml", "--compare=http://localhost:9115"]] {
        assert_eq!(finished(arguments, folder.path()).status, 2, "{arguments:?}");
    }
    let login = finished(&["import", "--blackbox=blackbox.yml", "--tls.ca-file=ca.pem"], folder.path());
    let error = "--user, --password-file and --tls.ca-file require --compare";
    assert!(login.status == 2 && login.stderr.contains(error), "{login:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_without_targets_asks_the_exporter() {
    let servers = Servers::start().await;
    let files = tempfile::tempdir().unwrap();
    fs::write(files.path().join("blackbox.yml"), "modules: { a: { prober: tcp } }").unwrap();
    fs::write(files.path().join("prometheus.yml"), "scrape_configs: [{ job_name: j }]").unwrap();
    let error = "portprobe: no target to compare; check that jobs of --prometheus probe with a path `/probe`\n";
    for exporter in services::blackbox_exporters(files.path()).await {
        let compared = compare(&files, &format!("http://{}", exporter.address));
        assert_eq!((compared.status, &*compared.stdout, &*compared.stderr), (1, "", error));
        // The module that is used without a name is another error.
        let exporter = services::blackbox_exporter(servers.folder.path()).await.unwrap();
        let compared = compare(&files, &format!("http://{}", exporter.address));
        assert_eq!((compared.status, &*compared.stderr), (1, error));
    }
    for (port, reason) in [(2204, "nothing listens on port 2204"), (2401, "responded with 404 Not Found")] {
        let url = format!("http://{}:{port}", servers.host);
        let compared = compare(&files, &url);
        assert_eq!((compared.status, &*compared.stdout), (1, ""), "{compared:?}");
        assert!(compared.stderr.starts_with(&format!("portprobe: cannot compare with {url}")), "{compared:?}");
        assert!(compared.stderr.contains(reason), "{compared:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exporter_with_tls_and_a_password_is_compared() {
    let servers = Servers::start().await;
    let root = Authority::root("exporter");
    let identity = root.issue(pki::leaf(&["127.0.0.1"]));
    let folder = servers.folder.path();
    let hash = bcrypt::hash("hunter2", 4).unwrap();
    let web = format!(
        "tls_server_config: {{ cert_file: server.pem, key_file: server.key }}\nbasic_auth_users: {{ us: '{hash}' }}\n"
    );
    for (file, text) in [
        ("server.pem", identity.pem()),
        ("server.key", identity.key_pem().to_owned()),
        ("web.yml", web),
        ("password", "hunter2\n".to_owned()),
        ("wrong", "hunter3".to_owned()),
        ("exporter-ca.pem", root.pem()),
    ] {
        fs::write(folder.join(file), text).unwrap();
    }
    for exporter in services::blackbox_exporters(folder).await {
        let url = format!("https://{}", exporter.address);
        let compare = |flags: &[&str]| compare_with(&servers.folder, &url, flags);
        let compared = compare(&["--tls.ca-file=exporter-ca.pem", "--user=us", "--password-file=password"]);
        assert_eq!((compared.status, &*compared.stdout, &*compared.stderr), (0, "", ""));
        for (flags, reason) in [
            (&["--user=us", "--password-file=password"] as &[_], "untrusted"),
            (&["--tls.ca-file=exporter-ca.pem"], "responded with 401 Unauthorized"),
            (
                &["--tls.ca-file=exporter-ca.pem", "--user=us", "--password-file=wrong"],
                "responded with 401 Unauthorized",
            ),
            (&["--tls.ca-file=none.pem"], "none.pem"),
            (&["--user=us", "--password-file=none"], "cannot read none"),
        ] {
            let compared = compare(flags);
            assert_eq!((compared.status, &*compared.stdout), (1, ""), "{compared:?}");
            assert!(compared.stderr.contains(reason) && !compared.stderr.contains("hunter"), "{compared:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_of_grpc_are_compared() {
    let servers = Servers::start().await;
    let root = Authority::root("grpc");
    let identity = root.issue(pki::leaf(&["127.0.0.1"]));
    fs::write(servers.folder.path().join("grpc-ca.pem"), root.pem()).unwrap();
    let mut jobs = "scrape_configs:\n".to_owned();
    let mut add = |name: &str, module: &str, target: &str| {
        let params = format!("{{ module: [{module}], target: ['{target}'] }}");
        writeln!(
            jobs,
            "- {{ job_name: {name}, metrics_path: /probe, params: {params}, static_configs: [{{ targets: [e] }}] }}"
        )
        .unwrap();
    };
    let kinds = ["health", "nothing"];
    let (mut plain, mut secured) = (Vec::new(), Vec::new());
    for kind in kinds {
        plain.extend(web::grpc(Tls::Off, kind).await);
        secured.extend(web::grpc(Tls::With(&identity), kind).await);
    }
    if plain.is_empty() {
        return;
    }
    for (index, (plain, secured)) in plain.iter().zip(&secured).enumerate() {
        add(&format!("plain_{index}"), "grpc", &plain.address.to_string());
        add(&format!("tls_{index}"), "grpc_tls", &secured.address.to_string());
        add(&format!("service_{index}"), "grpc_service", &plain.address.to_string());
        add(&format!("wrong_{index}"), "grpc", &secured.address.to_string());
    }
    add("closed", "grpc", &format!("{}:2204", servers.host));
    fs::write(servers.folder.path().join("prometheus.yml"), jobs).unwrap();
    let modules = "modules:
  grpc: { prober: grpc, timeout: 3s, grpc: { preferred_ip_protocol: ip4 } }
  grpc_service: { prober: grpc, timeout: 3s, grpc: { service: no.such.Service, preferred_ip_protocol: ip4 } }
  grpc_tls: { prober: grpc, timeout: 3s, grpc: { tls: true, tls_config: { ca_file: grpc-ca.pem } } }
";
    fs::write(servers.folder.path().join("blackbox.yml"), modules).unwrap();
    // A server without the health service responds, which is a success of portprobe only.
    let expected = [("plain_1", "grpc"), ("tls_1", "grpc_tls"), ("service_1", "grpc_service")]
        .map(|(job, module)| format!("e ({job}) (module {module}): up in portprobe, down in blackbox_exporter"));
    for exporter in services::blackbox_exporters(servers.folder.path()).await {
        let compared = compare(&servers.folder, &format!("http://{}", exporter.address));
        let differences: Vec<_> = compared.stdout.lines().filter(|line| !line.starts_with("  ")).collect();
        assert_eq!(
            (compared.status, differences, &*compared.stderr),
            (1, expected.iter().map(String::as_str).collect(), "")
        );
    }
}

#[test]
fn modules_alone_are_printed_with_a_note() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("b.yml"), "modules: { a: { prober: tcp }, b: { prober: icmp } }").unwrap();
    let printed = finished(&["import", "--blackbox=b.yml"], folder.path());
    assert_eq!(printed.status, 0);
    assert!(
        printed
            .stdout
            .contains("\nmodules:\n  a: { scheme: tcp }\n  # not imported: module b: "),
        "{printed:?}"
    );
    let notes = "portprobe: 1 setting has no equivalent; search for `# not imported`\n\
                 portprobe: no targets; set --prometheus, or add them under `targets`\n";
    assert_eq!(printed.stderr, notes);
}

/// Expressions of which some match and some do not, for reasons in which Go and Rust differ.
const EXPRESSIONS: [&str; 44] = [
    "^220-",
    "^220 last",
    "one$",
    r"one\s",
    r"one\s+220",
    "first.*second",
    "(?s)first.*second",
    "[^x]+second",
    "first[^z]*two",
    r#"{"status":"UP"}"#,
    r#"\{"status":"UP"\}"#,
    "a&&b",
    "[a&&b]{4}",
    r"\Aone",
    r"\A220-second",
    r"\z",
    r"1\z",
    "^$",
    r"^\s*$",
    r"Tab\there",
    r"two\W+spaces",
    r"^\D+$",
    "Gr..e",
    "Grü",
    r"Gr\x{fc}",
    r"\[x\]",
    "[[]x[]]",
    "[x[]",
    r"\<tag\>",
    "<tag>$",
    r"\Qx.y-z\E",
    "[[:alpha:]]{5}",
    "[[:^space:]]+_1",
    "(?i)LAST",
    "x{0,2}y",
    r"\164ab|\x6cast",
    r"\pL\pL\p{Ll}",
    r"[\S\s]{60}",
    "(?m)^last",
    "(?m)one$",
    "[+--]z",
    r"[^\n]+last",
    r"\bspaces\b",
    "no such text",
];

/// The shell commands of the page, in their order.
fn scripts() -> Vec<String> {
    let page = Page::read(Path::new("docs/migrate-from-blackbox.md"));
    let scripts: Vec<_> = page
        .blocks("sh")
        .into_iter()
        .filter(|script| script.contains("portprobe import"))
        .collect();
    assert!(scripts.len() >= 2, "{scripts:?}");
    scripts
}

/// Runs the commands of the page next to a running exporter.
fn run_scripts(servers: &Servers, exporter: &Service) {
    for script in scripts() {
        let script = script.replace("localhost:9115", &exporter.address.to_string());
        let ran = run(&script, servers.folder.path());
        assert_eq!((ran.status, &*ran.stderr), (0, ""), "{script}: {ran:?}");
        let is_compared = script.contains("--compare");
        assert_eq!(ran.stdout.is_empty(), is_compared, "{script}: {ran:?}");
        assert!(is_compared || ran.stdout.contains("20 targets (4 of them discovered)"), "{ran:?}");
    }
}

/// Runs commands as a user does.
fn run(script: &str, folder: &Path) -> Finished {
    let binary = portprobe();
    let binaries = Path::new(binary.get_program()).parent().unwrap();
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-euc", script])
        .env("PATH", path)
        .env_remove("PORTPROBE_CONFIG_FILE")
        .current_dir(folder)
        .output()
        .unwrap();
    Finished {
        status: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn compare(folder: &TempDir, url: &str) -> Finished {
    compare_with(folder, url, &[])
}

fn compare_with(folder: &TempDir, url: &str, flags: &[&str]) -> Finished {
    let url = format!("--compare={url}");
    let command = ["import", "--blackbox=blackbox.yml", "--prometheus=prometheus.yml", &url];
    finished(&[&command, flags].concat(), folder.path())
}

/// Whether each target is up; only targets whose state is known.
fn states(scrape: &Scrape) -> Vec<(String, bool)> {
    let up = scrape.of_targets().into_iter().filter(|((name, _), _)| *name == "portprobe_up");
    up.map(|((_, labels), value)| (labels["target"].clone(), value > 0.5)).collect()
}

/// Whether a probe of the exporter succeeds.
async fn succeeds(exporter: &Service, module: &str, target: &str) -> bool {
    let path = format!("/probe?module={module}&target={}", http::encoded(target));
    let body = http::request(exporter.address, "GET", &path).await.body;
    match body.lines().find_map(|line| line.strip_prefix("probe_success ")) {
        Some("1") => true,
        Some("0") => false,
        _ => panic!("{path}: {body}"),
    }
}
