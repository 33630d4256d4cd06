//! The page at `/`: a summary, and links to the other pages.

use hyper::{Response, StatusCode};
use tokio::task::spawn_blocking;
use tracing::error;

use super::AppState;
use super::body::{Body, plain, typed};
use crate::board::StateCounts;

/// Responds with a page without scripts or external resources. Targets are counted off the thread that probes, and one
/// request or scrape at a time.
pub(super) async fn index(state: &AppState) -> Response<Body> {
    let (board, permits) = (state.board.clone(), state.page_permits.clone());
    let permit = permits.acquire_owned().await;
    let counted = spawn_blocking(move || {
        let _permit = permit;
        board.rows().count_states()
    });
    match counted.await {
        Ok(counts) => typed(StatusCode::OK, "text/html; charset=utf-8", page(counts)),
        Err(failed) => {
            error!(%failed, "Cannot count the targets, which is a bug; please report it");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "Cannot count the targets; the log has the reason.\n")
        }
    }
}

pub(super) fn page(StateCounts { up, down, unknown }: StateCounts) -> String {
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>portprobe</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem; color-scheme: light dark }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem }}
dd {{ margin: 0; font-variant-numeric: tabular-nums }}
</style>
</head>
<body>
<h1>portprobe</h1>
<p>Version {version}, a Prometheus exporter for TCP, TLS and 30 protocols. Its targets by state:</p>
<dl><dt>Up</dt><dd>{up}</dd><dt>Down</dt><dd>{down}</dd><dt>Unknown</dt><dd>{unknown}</dd></dl>
<ul>
<li><a href="metrics">/metrics</a>: metrics for Prometheus</li>
<li><a href="probe">/probe</a>: probes on demand, for clients of blackbox_exporter</li>
<li>JSON: <a href="api/v1/summary">/api/v1/summary</a>, <a href="api/v1/targets">targets</a>, <a href="api/v1/groups">groups</a>, <a href="api/v1/incidents">incidents</a>; described by <a href="api/v1/openapi.json">openapi.json</a></li>
<li><a href="feed.atom">/feed.atom</a>: the latest changes between up and down; <a href="certificates.ics">/certificates.ics</a>: expiries of certificates</li>
<li><a href="config">/config</a>: the running configuration, with secrets hidden</li>
<li><a href="-/healthy">/-/healthy</a>: 200 while the process responds</li>
<li><a href="-/ready">/-/ready</a>: 200 once every target is scheduled</li>
</ul>
</body>
</html>
"#,
        version = env!("CARGO_PKG_VERSION"),
    )
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;
    use crate::http::testing::HeldRow;

    #[tokio::test]
    async fn counting_targets_blocks_no_other_task() {
        let (state, held) = HeldRow::of_app_state();
        let mut index = pin!(index(&state));
        assert!(index.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "the row is locked");
        held.release();
        assert_eq!(index.await.status(), StatusCode::OK);
    }
}
