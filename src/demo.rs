//! The stage of `portprobe demo`: small servers on loopback, one in each state that a target can be in.
//!
//! ```text
//! scenes (what is shown, and its settings) --> configuration, as text --> the daemon
//!    '--> stage (ports and their servers: server, name_server; pki)           '--> probes them
//! ```
//!
//! The daemon that probes them is the one that users run; nothing here knows it. A new state is one more scene, and a
//! server for it where none behaves that way yet.

use std::io;
use std::net::SocketAddr;

use self::pki::Authority;
use self::scene::Scene;
use self::stage::Stage;
use self::welcome::Welcome;

mod name_server;
mod pki;
mod scene;
mod scenes;
mod server;
mod stage;
mod welcome;

/// The running servers, and what is to be probed of them.
///
/// The servers end when this is dropped, orderly with [`Self::stop`].
#[derive(Debug)]
pub struct Demo {
    stage: Stage,
    scenes: Vec<Scene>,
    /// Its file is read while the demo runs.
    _authority: Authority,
}

impl Demo {
    /// Starts every server on a free port of loopback. Fails where the machine has no port or descriptor left.
    pub async fn start() -> io::Result<Self> {
        let mut stage = Stage::open().await?;
        let authority = Authority::new()?;
        let scenes = scenes::all(&mut stage, &authority).await?;
        Ok(Self { stage, scenes, _authority: authority })
    }

    /// A configuration that probes every server, as YAML.
    pub fn configuration(&self) -> String {
        scene::configuration(&self.scenes, self.stage.name_server())
    }

    /// What a person who started the demo should know: where to look, what there is, what to try.
    ///
    /// `addresses` are those that the daemon answers HTTP on, `program` is how it is called.
    pub fn welcome(&self, addresses: &[SocketAddr], program: &str) -> String {
        Welcome { addresses, program, scenes: &self.scenes, name_server: self.stage.name_server() }.to_string()
    }

    /// Ends every server; returns once the last has ended.
    pub async fn stop(self) {
        self.stage.close().await;
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::net::TcpStream;

    use super::*;
    use crate::config;

    #[tokio::test]
    async fn stopping_closes_the_port_of_every_scene() {
        let demo = Demo::start().await.unwrap();
        let config = config::parse(&demo.configuration(), Path::new("demo"), &|_| None).unwrap().finish(&[]).unwrap();
        assert_eq!(config.targets.len(), demo.scenes.len());
        let open = demo.scenes.iter().find(|scene| scene.name == "open").unwrap().endpoint.clone();
        assert!(TcpStream::connect(&open).await.is_ok());
        demo.stop().await;
        assert!(TcpStream::connect(&open).await.is_err());
    }
}
