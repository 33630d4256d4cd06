//! The status page, as served: states, filters, pages, links and hostile names. It needs no script for any of them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use crate::support::daemon::{Daemon, portprobe};
use crate::support::http::encoded;
use crate::support::{browser_packages, requires_program, wait};

/// Starts the demo, which has targets in every state, and waits until they are known.
async fn demo() -> Daemon {
    let mut command = portprobe();
    command.args(["demo", "--web.listen-address=127.0.0.1:0", "--log.level=info"]);
    let daemon = Daemon::run(command, tempfile::tempdir().unwrap()).await;
    // One target has only local faults.
    wait::until_patiently("all states are known", async || {
        daemon.get("/api/v1/summary").await.body.contains("\"unknown\":1}")
    })
    .await;
    daemon
}

async fn get(daemon: &Daemon, path: &str) -> String {
    let response = daemon.get(path).await;
    assert_eq!(response.status, 200, "{path}: {}", response.body);
    assert_eq!(response.header("content-type"), Some("text/html; charset=utf-8"));
    response.body
}

/// Returns the values of an attribute, in the order of the page.
fn values<'a>(html: &'a str, attribute: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    let begin = format!(" {attribute}=\"");
    let mut rest = html;
    while let Some((_, after)) = rest.split_once(&begin) {
        let (value, after) = after.split_once('"').unwrap();
        found.push(value);
        rest = after;
    }
    found
}

/// Returns the part of a page from one text to the next occurrence of another.
#[track_caller]
fn part<'a>(html: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = html.split_once(from).unwrap_or_else(|| panic!("{from:?} is not in\n{html}"));
    rest.split_once(to).map_or(rest, |(part, _)| part)
}

/// Returns the names of the targets in the list.
fn listed(html: &str) -> Vec<String> {
    let rows = html.split("<th scope=\"row\" class=\"name\">").skip(1);
    rows.map(|row| part(row, "<bdi>", "</bdi>").to_owned()).collect()
}

/// Checks what holds for every page.
#[track_caller]
fn assert_well_formed(html: &str) {
    let ids = values(html, "id");
    let unique: BTreeSet<_> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len(), "an identifier occurs twice: {ids:?}");
    assert!(values(html, "style").is_empty() && !html.contains("<style"), "the policy forbids inline styles");
    assert!(!html.contains("<script>") && values(html, "onclick").is_empty(), "the policy forbids inline scripts");
    let labelled = values(html, "aria-labelledby").into_iter().chain(values(html, "for"));
    labelled.for_each(|id| assert!(ids.contains(&id), "nothing has the identifier {id}"));
    let links = ["href", "src", "action"].map(|attribute| values(html, attribute)).concat();
    for link in links {
        assert!(!link.starts_with('/') && !link.contains("://"), "{link} is not relative");
    }
}

#[tokio::test]
async fn every_state_of_the_demo_is_shown() {
    let daemon = demo().await;
    let html = get(&daemon, "/").await;
    assert_well_formed(&html);
    let headline = part(&html, "<h1 id=\"headline\">", "</h1>");
    assert!(headline.ends_with("of 32 targets are down"), "{headline}");
    assert!(html.contains("Most targets are down: check this machine first"));
    assert!(part(&html, "id=\"groups\">", "</section>").contains("0 of 2 members are up, 1 must be"));
    for (name, title, class, phase) in [
        ("refused", "Connection refused", "refused", "connect"),
        ("full-queue", "No response to the connection", "timeout", "connect"),
        ("unreachable", "Host unreachable", "unreachable", "connect"),
        ("unknown-name", "Name not found", "dns_not_found", "resolve"),
        ("tls-expired", "Certificate expired", "cert_expired", "tls"),
        ("tls-to-plain", "No TLS in common", "tls_protocol", "tls"),
        ("postgres-hung", "No complete response", "stalled", "protocol"),
        ("postgres-full", "Service rejects clients", "rejected", "protocol"),
    ] {
        let cards = part(&html, "id=\"down\">", "</section>");
        let card = part(cards, &format!("<a href=\"targets/{name}\"><bdi>{name}</bdi></a></h3>"), "</li>");
        for expected in [
            format!("<strong>{title}</strong>"),
            format!("<code class=\"class\">{class}</code> <span class=\"phase\">in {phase}</span>"),
            format!("<code>portprobe probe {name}</code>"),
            "<dt>Usually</dt>".to_owned(),
            "<p class=\"since\">Down for <b>".to_owned(),
        ] {
            assert!(card.contains(&expected), "{expected:?} is not in\n{card}");
        }
    }
    assert!(part(&html, "id=\"slow\">", "</section>").contains("<bdi>slow-dns</bdi>"));
    assert!(
        part(&html, "id=\"expiring\">", "</section>")
            .contains("<bdi>tls-expiring</bdi></a> <span class=\"reason\">expires in 2 d 23 h")
    );
    assert_eq!(listed(&html).len(), 32);
    let health = part(&html, "id=\"health\"", "</details>");
    assert!(health.contains("no_port: no local port is left"), "{health}");
}

#[tokio::test]
async fn filters_keep_their_values_and_other_filters() {
    let daemon = demo().await;
    let html = get(&daemon, "/?text=TLS-EXP").await;
    assert_eq!(listed(&html), ["tls-expired", "tls-expiring"]);
    assert!(part(&html, "class=\"matching\">", "</p>").contains("1 of 2 matching targets is down"));
    let whole = part(&html, "<h1 id=\"headline\">", "</h1>");
    assert!(whole.ends_with("of 32 targets are down"), "the headline is about all targets: {whole}");
    assert!(part(&html, "id=\"text\"", ">").contains("value=\"TLS-EXP\""));
    for (query, names) in [
        ("state=unknown", &["local-fault"][..]),
        ("group=database&sort=-name", &["db-standby", "db-primary"]),
        ("group=database&state=down", &["db-primary"]),
        ("label=shows%3Dan+open+port", &["open"]),
        ("protocol=postgres&state=up", &["postgres"]),
        ("text=nothing-has-this", &[]),
    ] {
        let html = get(&daemon, &format!("/?{query}")).await;
        assert_well_formed(&html);
        assert_eq!(listed(&html), names, "{query}");
    }
    let html = get(&daemon, "/?group=database&state=down").await;
    let removals = values(part(&html, "<ul class=\"active\"", "</ul>"), "href");
    assert_eq!(removals, ["./?group=database#targets", "./?state=down#targets"]);
    let nothing = get(&daemon, "/?text=nothing-has-this").await;
    assert!(nothing.contains("No target matches."));
    let refused = daemon.get("/?state=gone").await;
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("state: `gone` is not valid; must be down, unknown or up"), "{}", refused.body);
}

#[tokio::test]
async fn pages_of_the_list_keep_the_filters() {
    let daemon = demo().await;
    let all = listed(&get(&daemon, "/").await);
    let second = get(&daemon, "/?limit=10&offset=10&sort=name").await;
    assert_eq!(listed(&second), all[10..20]);
    let paging = part(&second, "<nav class=\"paging\"", "</nav>");
    assert_eq!(values(paging, "href"), ["./?limit=10#targets", "./?limit=10&#38;offset=20#targets"]);
    assert!(!second.contains("id=\"down\""), "the cards are only on the first page");
    let beyond = get(&daemon, "/?offset=4000&text=tls").await;
    assert_well_formed(&beyond);
    assert!(part(&beyond, "class=\"empty\">", "</p>").contains("href=\"./?text=tls#targets\">Go to the last page"));
    assert_eq!(listed(&get(&daemon, "/?offset=18446744073709551615").await), [] as [String; 0]);
}

#[tokio::test]
async fn every_target_has_a_page() {
    let daemon = demo().await;
    let html = get(&daemon, "/").await;
    let rows = html.split("<th scope=\"row\" class=\"name\">").skip(1);
    let links: Vec<_> = rows.map(|row| part(row, "href=\"", "\"")).collect();
    assert_eq!(links.len(), 32);
    for link in links {
        let html = get(&daemon, &format!("/{link}")).await;
        assert_well_formed(&html);
        assert_eq!(values(part(&html, "class=\"back\"", "</p>"), "href"), ["../"]);
        assert!(part(&html, "id=\"settings\"", "</section>").contains("<dt><code>interval</code></dt><dd>1"));
    }
}

#[tokio::test]
async fn a_page_shows_all_about_its_target() {
    let daemon = demo().await;
    let expired = get(&daemon, "/targets/tls-expired").await;
    assert!(expired.contains("<title>✖ tls-expired is down – portprobe</title>"));
    for part in [
        "<strong>Certificate expired</strong> <code class=\"class\">cert_expired</code> <span class=\"phase\">in tls</span>",
        "<code>portprobe probe tls-expired</code>",
        "</svg>expired 3 d ago</p>",
        "<dt>Issuer</dt>",
        "✖ cert_expired</code>",
        "None is known: it has never changed from up to down.",
        "href=\"../api/v1/targets/tls-expired\"",
    ] {
        assert!(expired.contains(part), "{part:?} is not in\n{expired}");
    }
    let phases = part(&expired, "<table class=\"phases\">", "</table>");
    let connect = part(phases, "<th scope=\"row\">connect</th>", "</tr>");
    assert!(connect.contains("<rect class=\"up\" x=\"0\"") && !connect.contains('✖'), "{connect}");
    let member = get(&daemon, "/targets/db-primary").await;
    let group = part(&member, "id=\"group\"", "</section>");
    assert!(group.contains("has its quorum: 1 of 2 members are up, 1 must be"), "{group}");
    assert!(group.contains("<a href=\"../targets/db-standby\"><bdi>db-standby</bdi></a>"), "{group}");
    let addresses = get(&daemon, "/targets/half-dead").await;
    let addresses = part(&addresses, "id=\"peer\"", "</section>");
    assert!(addresses.contains("127.0.0.2 <span class=\"reason\">down</span>"), "{addresses}");
    let service = get(&daemon, "/targets/postgres").await;
    assert!(service.contains("<dt>Service</dt><dd><bdi>postgres, 16.4"), "{service}");
    let fault = get(&daemon, "/targets/local-fault").await;
    assert!(fault.contains("No probe has finished yet."), "{fault}");
    let outcomes = part(&expired, "id=\"outcomes\"", "</svg>");
    assert!(outcomes.contains("<title>last probe: Certificate expired after "), "{outcomes}");
}

#[tokio::test]
async fn an_incident_is_on_the_page_of_its_target() {
    let daemon = demo().await;
    wait::until_patiently("the change is written", async || {
        !daemon
            .get("/api/v1/incidents?target=comes-and-goes")
            .await
            .body
            .contains("\"total\":0")
    })
    .await;
    let html = get(&daemon, "/targets/comes-and-goes").await;
    let incidents = part(&html, "id=\"incidents\"", "</section>");
    assert!(incidents.contains("<strong>Connection refused</strong>"), "{incidents}");
}

#[tokio::test]
async fn an_unknown_target_is_not_found() {
    let daemon = Daemon::start("targets: [ '127.0.0.1:1' ]\n").await;
    for path in ["/targets/nothing", "/targets/%ff", "/targets/%3Cscript%3E", "/targets/tcp:%2F%2F127.0.0.1:2"] {
        let response = daemon.get(path).await;
        assert_eq!(response.status, 404, "{path}");
        assert!(response.body.contains("There is no target with this name"), "{}", response.body);
        assert_well_formed(&response.body);
    }
    // As a browser sends it, and as a person writes it.
    for (path, root) in [("/targets/tcp:%2F%2F127.0.0.1:1", "../"), ("/targets/tcp://127.0.0.1:1", "../../../")] {
        let html = get(&daemon, path).await;
        assert_eq!(values(part(&html, "class=\"back\"", "</p>"), "href"), [root]);
    }
    assert_eq!(daemon.get("/targets/").await.status, 404);
    assert_eq!(daemon.get("/targets/tcp:%2F%2F127.0.0.1:1?x=1").await.status, 200);
}

#[tokio::test]
async fn links_work_below_a_prefix() {
    let daemon = Daemon::start_with_prefix("/tools/portprobe").await;
    let html = get(&daemon, "/tools/portprobe/").await;
    assert_well_formed(&html);
    for link in values(&html, "href").into_iter().chain(values(&html, "src")) {
        let path = link.split('#').next().unwrap().trim_start_matches("./").replace("&#38;", "&");
        let status = daemon.get(&format!("/tools/portprobe/{path}")).await.status;
        let expected: &[u16] = if path == "probe" { &[400, 403] } else { &[200] };
        assert!(expected.contains(&status), "{link}: {status}");
    }
    let html = get(&daemon, "/tools/portprobe/targets/tcp:%2F%2F127.0.0.1:1").await;
    assert_well_formed(&html);
    let links = [values(&html, "href"), values(&html, "src")].concat();
    for link in links
        .into_iter()
        .filter(|link| !link.starts_with('#') && !link.ends_with("/probe"))
    {
        let path = link.strip_prefix("../").unwrap().split('#').next().unwrap();
        assert_eq!(daemon.get(&format!("/tools/portprobe/{path}")).await.status, 200, "{link}");
    }
}

#[tokio::test]
async fn assets_are_kept_forever_and_pages_are_not() {
    let daemon = Daemon::start("targets: [ '127.0.0.1:1' ]\n").await;
    let page = daemon.get("/").await;
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; \
        form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    assert_eq!(page.header("content-security-policy"), Some(policy));
    for (end, media_type) in [
        ("style.css", "text/css; charset=utf-8"),
        ("script.js", "text/javascript; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    ] {
        let links = [values(&page.body, "href"), values(&page.body, "src")].concat();
        let link = links.into_iter().find(|link| link.ends_with(end)).unwrap();
        let asset = daemon.get(&format!("/{link}")).await;
        assert_eq!((asset.status, asset.header("content-type")), (200, Some(media_type)));
        assert_eq!(asset.header("cache-control"), Some("public, max-age=31536000, immutable"));
    }
    assert_eq!(daemon.get("/assets/0000000000000000/style.css").await.status, 404);
}

/// Looks at the pages of the demo and of hostile names in a browser. The screenshots stay in `target/tmp/status-page`.
#[tokio::test]
async fn a_browser_finds_no_problem() {
    let Some(packages) = browser_packages() else { return };
    if !requires_program("chromium") || !requires_program("node") {
        return;
    }
    let (demo, hostile) = (demo().await, Daemon::start(&hostile_config()).await);
    let url = |daemon: &Daemon| format!("http://{}/", daemon.address);
    let output = tokio::process::Command::new("node")
        .arg(packages.join("check.mjs"))
        .args(["--demo", &url(&demo), "--hostile", &url(&hostile), "--folder"])
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("status-page"))
        .output()
        .await
        .unwrap();
    let (printed, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{printed}{errors}");
}

fn hostile_names() -> [String; 7] {
    [
        "<script>alert(1)</script>".to_owned(),
        "\" onmouseover=\"alert(1)".to_owned(),
        "'><img src=x onerror=alert(1)>".to_owned(),
        "gpj.\u{202e}exe".to_owned(),
        "{{ 7 * 7 }} &lt;b&gt;".to_owned(),
        "../../etc".to_owned(),
        "w".repeat(512),
    ]
}

/// Returns a configuration with hostile names, labels and groups.
fn hostile_config() -> String {
    let mut config = "labels: { region: '<b>eu</b>' }\ntargets:\n".to_owned();
    for name in hostile_names() {
        let quoted = serde_json::to_string(&name).unwrap();
        writeln!(
            config,
            "  - {{ url: '127.0.0.1:1', name: {quoted}, group: '</bdi><i>', labels: {{ owner: {quoted} }} }}"
        )
        .unwrap();
    }
    config.push_str("groups: { '</bdi><i>': { min_up: 1 } }\n");
    config
}

#[tokio::test]
async fn hostile_names_are_shown_harmless() {
    let daemon = Daemon::start(&hostile_config()).await;
    wait::until("all are down", async || daemon.get("/api/v1/summary").await.body.contains("\"down\":7")).await;
    let html = get(&daemon, "/").await;
    assert_well_formed(&html);
    for part in ["<script>alert", "<img", "<i>", "<b>eu", " onmouseover=\"", "\u{202e}"] {
        assert!(!html.contains(part), "{part:?}");
    }
    let shown = listed(&html);
    assert!(shown.contains(&"&#60;script&#62;alert(1)&#60;/script&#62;".to_owned()), "{shown:?}");
    assert!(shown.contains(&r"gpj.\u{202e}exe".to_owned()), "{shown:?}");
    for name in &hostile_names() {
        let label = encoded(&format!("owner={name}"));
        let html = get(&daemon, &format!("/?label={label}&text={}", encoded(name))).await;
        assert_well_formed(&html);
        assert_eq!(listed(&html).len(), 1, "{name}");
        let html = get(&daemon, &format!("/targets/{}", encoded(name))).await;
        assert_well_formed(&html);
        for part in ["<script>alert", "<img", "<i>", "<b>eu", " onmouseover=\"", "\u{202e}"] {
            assert!(!html.contains(part), "{part:?}");
        }
    }
    let refused = daemon.get("/?state=%3Cscript%3Ealert(1)%3C/script%3E").await;
    assert_eq!((refused.status, refused.body.contains("<script>alert")), (400, false));
}
