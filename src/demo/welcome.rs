//! The welcome text of the demo; it fits a terminal of 80 columns.

use std::fmt;
use std::net::SocketAddr;

use super::scene::Scene;

/// The welcome text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Welcome<'a> {
    /// The URLs of the page.
    pub(super) urls: &'a [String],
    pub(super) program: &'a str,
    pub(super) scenes: &'a [Scene],
    pub(super) name_server: SocketAddr,
}

impl fmt::Display for Welcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenes, program, name_server, .. } = self;
        writeln!(f, "portprobe probes {} targets on this machine, which show every state.\n", scenes.len())?;
        for url in self.urls {
            writeln!(f, "  page     {url}\n  metrics  {url}metrics\n")?;
        }
        row(f, "TARGET", "STATE", "WHAT IT SHOWS")?;
        scenes
            .iter()
            .try_for_each(|scene| row(f, scene.name, scene.state, scene.shows))?;
        writeln!(f, "\nTry these in another terminal:\n")?;
        if let Some(url) = self.urls.first() {
            writeln!(f, "  curl -s {url}metrics | grep '^portprobe_failure{{'")?;
        }
        let tries = [
            ("refused", String::new()),
            ("slow-dns", format!(" --dns-servers {name_server}")),
            ("tls-expired", String::new()),
        ];
        for (name, flags) in tries {
            if let Some(scene) = scenes.iter().find(|scene| scene.name == name) {
                writeln!(f, "  {program} probe {}{flags}", scene.endpoint)?;
            }
        }
        writeln!(f, "\nCtrl-C stops the demo. --log.level=info logs every change of state here.")
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, state: &str, shows: &str) -> fmt::Result {
    writeln!(f, "  {name:17}  {state:23}  {shows}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_reachable_addresses() {
        let scenes = [
            Scene::new("refused", "127.0.0.1:1", "down refused", "r"),
            Scene::new("slow-dns", "slow.test:2", "up", "s"),
        ];
        let text = Welcome {
            urls: &["http://localhost:10115/".to_owned(), "http://[::1]:80/".to_owned()],
            program: "./portprobe",
            scenes: &scenes,
            name_server: "127.0.0.1:53".parse().unwrap(),
        }
        .to_string();
        for line in [
            "portprobe probes 2 targets on this machine, which show every state.",
            "  page     http://localhost:10115/",
            "  metrics  http://[::1]:80/metrics",
            "  TARGET             STATE                    WHAT IT SHOWS",
            "  refused            down refused             r",
            "  curl -s http://localhost:10115/metrics | grep '^portprobe_failure{'",
            "  ./portprobe probe 127.0.0.1:1",
            "  ./portprobe probe slow.test:2 --dns-servers 127.0.0.1:53",
        ] {
            assert!(text.lines().any(|printed| printed == line), "{line}: {text}");
        }
    }
}
