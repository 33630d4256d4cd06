use std::fs;
use std::path::Path;
use std::thread;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

use super::*;
use crate::config::{HttpSource, discovered};
use crate::options::ResolverOptions;
use crate::target::TlsSettings;

fn connector() -> Connector {
    Connector::new(ResolverOptions::default(), Arc::default())
}

fn sources() -> Sources {
    Sources::new(connector(), Arc::default())
}

fn file(path: &Path) -> Source {
    Source {
        name: format!("file:{}", path.display()).into(),
        kind: SourceKind::File { pattern: path.to_owned() },
        refresh: Duration::from_millis(5),
    }
}

fn targets(host: &str) -> String {
    format!(r#"[{{"targets": ["{host}:1"]}}]"#)
}

/// Replaces a file atomically.
fn write(path: &Path, text: &str) {
    let other = path.with_extension("new");
    fs::write(&other, text).unwrap();
    fs::rename(other, path).unwrap();
}

#[track_caller]
fn assert_update(update: &Update, source: &Source, text: &str) {
    assert_eq!(update.source, *source);
    let snapshot = update.result.as_ref().unwrap();
    assert_eq!(snapshot.problems, [""; 0]);
    assert_eq!(*snapshot.entries, discovered(text).unwrap());
}

#[tokio::test(start_paused = true)]
async fn no_sources_send_no_updates() {
    let mut sources = sources();
    sources.set(&[]);
    assert!(timeout(Duration::from_hours(24), sources.next()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_source_sends_its_entries_and_then_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    write(&path, &targets("a"));
    let (source, mut sources) = (file(&path), sources());
    sources.set(std::slice::from_ref(&source));
    assert_update(&sources.next().await, &source, &targets("a"));
    write(&path, &targets("b"));
    assert_update(&sources.next().await, &source, &targets("b"));
    fs::remove_file(&path).unwrap();
    assert_update(&sources.next().await, &source, "[]");
}

#[tokio::test(start_paused = true)]
async fn a_second_look_is_a_refresh_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    for refresh in [Duration::from_millis(5), SETTLE_TIME, Duration::from_secs(20)] {
        write(&path, &targets("a"));
        let (source, mut sources) = (Source { refresh, ..file(&path) }, sources());
        sources.set(std::slice::from_ref(&source));
        assert_update(&sources.next().await, &source, &targets("a"));
        let removed = Instant::now();
        fs::remove_file(&path).unwrap();
        assert_update(&sources.next().await, &source, "[]");
        let took = Instant::now() - removed;
        assert!(took >= SETTLE_TIME + refresh.max(MIN_CONFIRMATION), "{took:?} with {refresh:?}");
    }
}

/// Half of a valid file in YAML is valid.
fn listed(count: usize) -> String {
    (0..count).fold(String::new(), |text, host| text + &format!("- h{host}:1\n"))
}

#[tokio::test(start_paused = true)]
async fn a_partly_written_file_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yaml");
    write(&path, &listed(10));
    let (source, mut sources) = (file(&path), sources());
    sources.set(std::slice::from_ref(&source));
    assert_update(&sources.next().await, &source, &listed(10));
    let writer = tokio::spawn(async move {
        for count in [6, 7, 8, 9, 11] {
            fs::write(&path, listed(count)).unwrap();
            sleep(SETTLE_TIME.mul_f64(0.9)).await;
        }
    });
    assert_update(&sources.next().await, &source, &listed(11));
    writer.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_mass_removal_waits_for_the_next_refresh() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yaml");
    write(&path, &listed(10));
    let minute = Duration::from_mins(1);
    let (source, mut sources) = (Source { refresh: minute, ..file(&path) }, sources());
    sources.set(std::slice::from_ref(&source));
    assert_update(&sources.next().await, &source, &listed(10));
    let start = Instant::now();
    write(&path, &listed(4));
    assert_update(&sources.next().await, &source, &listed(4));
    assert!(start.elapsed() > minute, "{:?}", start.elapsed());
    write(&path, &listed(2));
    assert_update(&sources.next().await, &source, &listed(2));
    assert!(start.elapsed() < 4 * minute, "half of them is not most of them: {:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn only_kept_and_new_sources_send_updates() {
    let folder = tempfile::tempdir().unwrap();
    let [stays, goes, comes] = ["stays", "goes", "comes"].map(|name| {
        let path = folder.path().join(name);
        write(&path, &targets(name));
        (file(&path), path)
    });
    let mut sources = sources();
    sources.set(&[stays.0.clone(), goes.0.clone()]);
    let (one, other) = (sources.next().await, sources.next().await);
    assert_ne!(one.source, other.source);
    let task = sources.running[&stays.0].id();

    write(&goes.1, &targets("late"));
    sources.set(&[stays.0.clone(), comes.0.clone()]);
    assert_eq!(sources.running[&stays.0].id(), task);
    assert_update(&sources.next().await, &comes.0, &targets("comes"));
    write(&stays.1, &targets("changed"));
    assert_update(&sources.next().await, &stays.0, &targets("changed"));
    assert_eq!((sources.running.len(), sources.tasks.len()), (2, 2), "the task that is gone has ended");
}

#[tokio::test(start_paused = true)]
async fn another_interval_makes_another_source() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    write(&path, &targets("a"));
    let (source, mut sources) = (file(&path), sources());
    let other = Source { refresh: Duration::from_millis(7), ..source.clone() };
    sources.set(std::slice::from_ref(&source));
    assert_update(&sources.next().await, &source, &targets("a"));
    sources.set(std::slice::from_ref(&other));
    assert_update(&sources.next().await, &other, &targets("a"));
}

#[tokio::test(start_paused = true)]
async fn a_failing_source_reports_each_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing").join("*.json");
    let (source, mut sources) = (file(&path), sources());
    sources.set(std::slice::from_ref(&source));
    for _ in 0..3 {
        let why = sources.next().await.result.unwrap_err().to_string();
        assert!(why.starts_with("cannot list the directory ") && why.contains("missing: "), "{why}");
    }
}

#[tokio::test]
async fn a_paused_process_does_not_blame_a_source() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        // Not a wait: it blocks the only thread, as a stopped process does. Then the server gives up.
        thread::sleep(Duration::from_millis(200));
        drop(stream);
        let (mut stream, _) = listener.accept().await.unwrap();
        let body = targets("a");
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {}\r\nContent-Length: {}", http::MEDIA_TYPE, body.len());
        stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.unwrap();
        stream
    };
    let lag = Arc::<LoopLag>::default();
    let http = HttpSource { url: url.parse().unwrap(), headers_files: Vec::new(), tls: TlsSettings::default() };
    let source = Source { kind: SourceKind::Http(http), ..file(Path::new("")) };
    let mut sources = Sources::new(connector(), lag.clone());
    sources.set(std::slice::from_ref(&source));
    tokio::select! {
        biased;
        () = lag.measure() => unreachable!("the measurement never ends"),
        (update, _) = async { tokio::join!(sources.next(), server) } => {
            assert_update(&update, &source, &targets("a"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn all_tasks_end_with_the_sources() {
    let folder = tempfile::tempdir().unwrap();
    let mut sources = sources();
    sources.set(&[file(&folder.path().join("*.json"))]);
    let sender = sources.shared.updates.downgrade();
    drop(sources);
    // Each task has a sender, so the channel is closed only once all tasks have ended.
    while sender.upgrade().is_some() {
        tokio::task::yield_now().await;
    }
}
