//! A probe by `portprobe probe`, as by a user or a script.

use serde_json::Value;
use tokio::task::spawn_blocking;

use super::daemon::portprobe;

/// The result of a probe.
pub(crate) struct Probed(Value);

impl Probed {
    /// Runs `portprobe probe --json` with these arguments.
    pub(crate) async fn by<A: AsRef<str>>(arguments: &[A]) -> Self {
        let mut command = portprobe();
        command.args(["probe", "--json"]).args(arguments.iter().map(AsRef::as_ref));
        // If the test itself is the peer, it must continue meanwhile.
        let output = spawn_blocking(move || command.output().unwrap()).await.unwrap();
        Self(serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}")))
    }

    /// `good PROTOCOL VERSION ROLE`, or class, phase and detail of the failure.
    pub(crate) fn told(&self) -> String {
        let Self(document) = self;
        let said = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match document["result"].as_str().unwrap() {
            "good" => {
                let service = &document["service"];
                let known = ["protocol", "version", "role"].map(|fact| said(&service[fact]));
                format!("good {}", known.join(" ")).trim_end().to_owned()
            }
            "failed" => {
                let [class, phase, detail] = ["class", "phase", "detail"].map(|part| said(&document[part]));
                format!("{class} in {phase}: {detail}")
            }
            _ => document.to_string(),
        }
    }

    /// The whole document.
    pub(crate) fn document(&self) -> &Value {
        &self.0
    }
}
