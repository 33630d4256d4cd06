//! The JSON API, held against its description.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::daemon::{Daemon, finished, portprobe};
use crate::support::http::{self, encoded};
use crate::support::wait;

/// Starts the demo, which has targets in every state, and waits until they are known.
async fn demo() -> Daemon {
    let mut command = portprobe();
    command.args(["demo", "--web.listen-address=127.0.0.1:0", "--log.level=info"]);
    let daemon = Daemon::run(command, tempfile::tempdir().unwrap()).await;
    wait::until_patiently("all states are known", async || {
        let summary = get(&daemon, "/api/v1/summary").await;
        // One target has only local faults.
        summary["unknown"] == 1
    })
    .await;
    daemon
}

async fn get(daemon: &Daemon, path: &str) -> Value {
    let response = daemon.get(path).await;
    assert_eq!(response.status, 200, "{path}: {}", response.body);
    assert_eq!(response.header("content-type"), Some("application/json"));
    serde_json::from_str(&response.body).unwrap()
}

/// Returns the differences between a value and a schema of the description.
pub(super) fn differences(value: &Value, schema: &Value, openapi: &Value, at: &str) -> Vec<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let resolved = openapi.pointer(reference.trim_start_matches('#')).unwrap();
        return differences(value, resolved, openapi, at);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let of_each: Vec<_> = choices.iter().map(|choice| differences(value, choice, openapi, at)).collect();
        return of_each.into_iter().min_by_key(Vec::len).unwrap();
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_u64() || number.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let kinds = schema["type"]
        .as_array()
        .cloned()
        .unwrap_or_else(|| vec![schema["type"].clone()]);
    let is_kind = |expected: &Value| expected == kind || (expected == "number" && kind == "integer");
    if !kinds.iter().any(is_kind) {
        return vec![format!("{at}: is {kind}, not {kinds:?}")];
    }
    let mut found = Vec::new();
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        found.push(format!("{at}: {value} is not one of {allowed:?}"));
    }
    if let Some(items) = value.as_array() {
        for item in items {
            found.extend(differences(item, &schema["items"], openapi, &format!("{at}[]")));
        }
    }
    if let Some(object) = value.as_object() {
        for (key, value) in object {
            let schema = match &schema["properties"][key] {
                Value::Null if schema["additionalProperties"].is_object() => &schema["additionalProperties"],
                Value::Null => {
                    found.push(format!("{at}.{key}: is not described"));
                    continue;
                }
                described => described,
            };
            found.extend(differences(value, schema, openapi, &format!("{at}.{key}")));
        }
        let missing = schema["required"].as_array().into_iter().flatten();
        let missing = missing.filter(|key| !object.contains_key(key.as_str().unwrap()));
        found.extend(missing.map(|key| format!("{at}: lacks {key}")));
    }
    found
}

#[tokio::test]
async fn every_response_is_as_described() {
    let daemon = demo().await;
    let openapi = get(&daemon, "/api/v1/openapi.json").await;
    let list = get(&daemon, "/api/v1/targets?limit=1000").await;
    let mut paths: Vec<_> = ["summary", "targets", "groups", "incidents", "audits"]
        .map(|path| format!("/api/v1/{path}"))
        .into();
    for target in list["targets"].as_array().unwrap() {
        paths.push(format!("/api/v1/targets/{}", encoded(target["name"].as_str().unwrap())));
    }
    let mut described = BTreeSet::new();
    for path in &paths {
        let known = if path.starts_with("/api/v1/targets/") { "/api/v1/targets/{name}" } else { path };
        described.insert(known);
        let response = &openapi["paths"][known]["get"]["responses"]["200"];
        let schema = &response["content"]["application/json"]["schema"];
        let found = differences(&get(&daemon, path).await, schema, &openapi, path);
        assert!(found.is_empty(), "{found:#?}");
    }
    let paths = openapi["paths"].as_object().unwrap().keys().map(String::as_str);
    let undescribed: Vec<_> = paths.filter(|path| !described.contains(path)).collect();
    assert_eq!(undescribed, ["/api/v1/targets/{name}/probe", "/api/v1/openapi.json"], "probe_now compares the former");
}

#[tokio::test]
async fn targets_are_filtered_sorted_and_paged() {
    let daemon = demo().await;
    let names = async |query: &str| -> Vec<String> {
        let list = get(&daemon, &format!("/api/v1/targets?{query}")).await;
        let targets = list["targets"].as_array().unwrap().iter();
        targets.map(|target| target["name"].as_str().unwrap().to_owned()).collect()
    };
    let summary = get(&daemon, "/api/v1/summary").await;
    let all = get(&daemon, "/api/v1/targets?limit=1").await;
    assert_eq!((&all["counts"], all["targets"].as_array().unwrap().len()), (&summary, 1));
    let total = usize::try_from(all["total"].as_u64().unwrap()).unwrap();
    let by_name = names("limit=1000").await;
    assert_eq!(by_name.len(), total);
    assert!(by_name.is_sorted(), "{by_name:?}");
    let mut reversed = names("limit=1000&sort=-name").await;
    reversed.reverse();
    assert_eq!(reversed, by_name);
    assert_eq!(names("limit=3&offset=2").await, by_name[2..5]);
    assert_eq!(names(&format!("offset={total}")).await, [] as [String; 0], "beyond the end");
    assert_eq!(names("offset=18446744073709551615").await, [] as [String; 0]);
    assert_eq!(names("state=unknown").await, ["local-fault"]);
    assert_eq!(names("text=TLS-EXP").await, ["tls-expired", "tls-expiring"]);
    assert_eq!(names("group=database").await, ["db-primary", "db-standby"]);
    assert_eq!(names("group=database&state=down").await, ["db-primary"]);
    assert_eq!(names("label=shows%3Dan+open+port").await, ["open"]);
    assert!(names("protocol=postgres").await.contains(&"postgres-hung".to_owned()));
    assert_eq!(names("sort=expiry&limit=2&text=tls-ex").await, ["tls-expired", "tls-expiring"]);
    assert_eq!(names("sort=-expiry&limit=2&text=tls-ex").await, ["tls-expiring", "tls-expired"]);
    let states: Vec<_> = get(&daemon, "/api/v1/targets?limit=1000&sort=state").await["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|target| ["down", "unknown", "up"].iter().position(|state| target["state"] == *state))
        .collect();
    assert!(states.is_sorted(), "{states:?}");
}

#[tokio::test]
async fn a_target_has_its_history() {
    let daemon = demo().await;
    let path = "/api/v1/targets/comes-and-goes";
    wait::until_patiently("an incident that has ended", async || {
        let target = get(&daemon, path).await;
        let incidents = target["incidents"].as_array().unwrap();
        incidents.iter().any(|incident| incident["ended"].is_string())
    })
    .await;
    let target = get(&daemon, path).await;
    let [day, ..] = &target["days"].as_array().unwrap()[..] else { panic!("{target}") };
    assert!(day["probes"].as_u64() > Some(0) && day["failures"].as_u64() > Some(0), "{day}");
    assert!(day["seconds_down"].as_f64() > Some(0.0), "{day}");
    assert!(
        target["outcomes"]
            .as_array()
            .unwrap()
            .iter()
            .any(|outcome| outcome["class"] == "refused"),
        "{target}"
    );
    let list = get(&daemon, "/api/v1/incidents?target=comes-and-goes&open=false&limit=1").await;
    assert_eq!(list["incidents"].as_array().unwrap().len(), 1);
    assert_eq!(list["incidents"][0]["class"], "refused");
    let other = get(&daemon, "/api/v1/incidents?target=open").await;
    assert_eq!(other, json!({ "total": 0, "incidents": [] }));
    let groups = get(&daemon, "/api/v1/groups").await;
    let states: Vec<_> = groups["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| &group["state"])
        .collect();
    assert_eq!(states, ["up", "down"], "{groups}");
}

#[tokio::test]
async fn an_invalid_request_is_explained() {
    let daemon = Daemon::start("targets: ['tcp://127.0.0.1:1']").await;
    for (path, status, error) in [
        ("/api/v1/targets?stat=down", 400, "unknown parameter `stat`"),
        ("/api/v1/summary?x=1", 400, "unknown parameter `x`; must be none"),
        ("/api/v1/targets?limit=0", 400, "limit: `0` is not valid"),
        ("/api/v1/incidents?open=1", 400, "open: `1` is not valid"),
        ("/api/v1/targets/gone", 404, "unknown target"),
        ("/api/v1/targets/%ff", 404, "unknown target"),
        ("/api/v1/targets/%00", 404, "unknown target"),
    ] {
        let response = daemon.get(path).await;
        let problem: Value = serde_json::from_str(&response.body).unwrap();
        assert_eq!(response.status, status, "{path}");
        assert!(problem["error"].as_str().unwrap().starts_with(error), "{path}: {problem}");
    }
    for path in ["/api/v1", "/api/v1/", "/api/v1/targets/", "/api/v2/targets"] {
        assert_eq!(daemon.get(path).await.status, 404, "{path}");
    }
    let name = "tcp://127.0.0.1:1";
    for path in [format!("/api/v1/targets/{name}"), format!("/api/v1/targets/{}", encoded(name))] {
        assert_eq!(get(&daemon, &path).await["name"], name, "{path}");
    }
    // A page of another site whose name was rebound to this address.
    let rebound = "GET /api/v1/targets HTTP/1.0\r\nHost: evil.attacker.com\r\nAccept-Language: en\r\n\r\n";
    assert_eq!(http::parse(&http::exchange(daemon.address, rebound.as_bytes()).await).status, 403);
    let response = http::request(daemon.address, "POST", "/api/v1/targets").await;
    assert_eq!((response.status, response.header("allow")), (405, Some("GET, HEAD")));
}

#[tokio::test]
async fn an_unchanged_response_has_no_body() {
    let daemon = Daemon::start("targets: [{ url: 'tcp://127.0.0.1:1', interval: 1d }]").await;
    daemon
        .scrape_until("a state", |scrape| scrape.of("tcp://127.0.0.1:1", "portprobe_up").is_some())
        .await;
    let path = "/api/v1/targets";
    let first = daemon.get(path).await;
    let tag = first.header("etag").unwrap();
    for known in [tag, &format!("W/{tag}"), &format!("\"x\", {tag}"), "*"] {
        let again = http::request_with(daemon.address, "GET", path, &[("If-None-Match", known)]).await;
        assert_eq!((again.status, &*again.body, again.header("etag")), (304, "", Some(tag)), "{known}");
    }
    let other = http::request_with(daemon.address, "GET", path, &[("If-None-Match", "\"x\"")]).await;
    assert_eq!((other.status, other.body), (200, first.body));
}

#[tokio::test]
async fn targets_are_listed_as_a_table() {
    let daemon = demo().await;
    let url = format!("http://{}", daemon.address);
    let list = |arguments: &[&str]| finished(&[&["targets", &url], arguments].concat(), Path::new("/"));
    let listed = list(&["--group=database"]);
    assert_eq!(listed.status, 0, "{listed:?}");
    let lines: Vec<Vec<&str>> = listed.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["STATE", "SINCE", "(UTC)", "NAME", "REASON"]);
    assert_eq!((lines[1][0], lines[1][3]), ("down", "db-primary"), "the worst is first: {lines:?}");
    assert_eq!(lines[1][4..], ["refused", "in", "connect"]);
    assert_eq!((lines[2][0], lines[2][3], lines[2].len(), lines.len()), ("up", "db-standby", 4, 3));
    let listed = list(&["--state=down", "--state=unknown", "--text=TLS", "--sort=-name", "--json"]);
    let json: Value = serde_json::from_str(&listed.stdout).unwrap();
    let names: Vec<_> = json["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|target| target["name"].as_str().unwrap())
        .collect();
    assert!(names.len() > 4 && names.is_sorted_by(|a, b| a > b), "{names:?}");
    let everything = list(&[]);
    let total = get(&daemon, "/api/v1/targets").await["total"].as_u64().unwrap();
    assert_eq!(everything.stdout.lines().count() as u64, total + 1, "{}", everything.stdout);
    for (arguments, status, text) in [
        (&["--sort=age"][..], 2, "sort: `age` is not valid"),
        (&["--state=gone"], 2, "possible values: down, unknown, up"),
        (&["--label=team"], 2, "label: `team` is not valid"),
        (&["--user=a"], 2, "--password-file"),
    ] {
        let refused = list(arguments);
        assert_eq!(refused.status, status, "{refused:?}");
        assert!(refused.stderr.contains(text), "{refused:?}");
    }
    for (url, text) in
        [("http://127.0.0.1:1", "cannot read the targets of http://127.0.0.1:1"), ("ftp://x", "unsupported scheme")]
    {
        let refused = finished(&["targets", url], Path::new("/"));
        assert_eq!(refused.status, 1);
        assert!(refused.stderr.contains(text), "{refused:?}");
    }
}
