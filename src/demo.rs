//! The servers of `portprobe demo`: small servers on loopback, one for each state of a target.
//!
//! ```text
//! scenes (states and their settings) --> configuration, as text --> the daemon
//!    '--> stage (ports and their servers: server, name_server; pki)    '--> probes them
//! ```
//!
//! The daemon itself has nothing specific to the demo. A new state is a scene, and a server if none behaves that way
//! yet.

use self::pki::Authority;
use self::scene::Scene;
pub use self::stage::Ports;
use self::stage::Stage;
use self::welcome::Welcome;
use std::io;

mod name_server;
mod pki;
mod scene;
mod scenes;
mod server;
mod stage;
mod welcome;

/// The running servers and their targets.
///
/// The servers end when this is dropped; [`Self::stop`] waits for them.
#[derive(Debug)]
pub struct Demo {
    stage: Stage,
    scenes: Vec<Scene>,
    /// Keeps its file, which is read while the demo runs.
    _authority: Authority,
}

impl Demo {
    /// Starts every server on a port of loopback. Fails if the machine has no port or descriptor left.
    pub async fn start(ports: Ports) -> io::Result<Self> {
        let mut stage = Stage::open(ports).await?;
        let authority = Authority::new()?;
        let scenes = scenes::all(&mut stage, &authority).await?;
        Ok(Self { stage, scenes, _authority: authority })
    }

    /// Returns the configuration that probes every server, as YAML.
    pub fn configuration(&self) -> String {
        scene::configuration(&self.scenes, self.stage.name_server())
    }

    /// Returns the welcome text: addresses, targets, and commands to try.
    ///
    /// `urls` are those of the daemon's page, `program` is the name of the command.
    pub fn welcome(&self, urls: &[String], program: &str) -> String {
        Welcome { urls, program, scenes: &self.scenes, name_server: self.stage.name_server() }.to_string()
    }

    /// Stops every server, and returns once the last has ended.
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
        let demo = Demo::start(Ports::Any).await.unwrap();
        let config = config::parse(demo.configuration(), Path::new("demo"), &|_| None)
            .unwrap()
            .finish(&[])
            .unwrap();
        assert_eq!(config.targets.len(), demo.scenes.len());
        let open = demo.scenes.iter().find(|scene| scene.name == "open").unwrap().endpoint.clone();
        assert!(TcpStream::connect(&open).await.is_ok());
        demo.stop().await;
        assert!(TcpStream::connect(&open).await.is_err());
    }
}
