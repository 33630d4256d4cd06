//! Tests of the recipes in the documentation for services with HTTP.

use super::*;
use crate::support::pki::Kind;
use crate::support::services::alerting::run_alertmanager;
use crate::support::services::binary::brokers::rabbitmq_with;
use crate::support::services::binary::free_port;
use crate::support::services::prometheus;
use crate::support::services::web::nats;
use crate::support::{program, requires_program};

const RECIPES: &str = include_str!("../../../../docs/recipes.md");

impl Client {
    /// Probes a port of 127.0.0.1 with the recipe for this service.
    async fn recipe(&self, service: &str, port: u16) -> String {
        let begins = format!("  - {{ url: 'http://{service}.internal:");
        let recipe = RECIPES.lines().find(|line| line.starts_with(&begins)).unwrap();
        let rest = recipe
            .strip_prefix(&begins)
            .unwrap()
            .trim_start_matches(|c: char| c.is_ascii_digit());
        self.probed_as(&format!("{{ name: probed, url: 'http://127.0.0.1:{port}{rest}"))
            .await
            .told()
    }

    async fn assert_recipe(&self, service: &str, port: u16, expected: &str) {
        let mut result = String::new();
        wait::until_patiently(&format!("{service} is {expected}"), async || {
            result = self.recipe(service, port).await;
            result.starts_with(expected)
        })
        .await;
    }
}

#[tokio::test]
async fn nats_is_healthy() {
    let Some(server) = nats(Tls::Off).await else { return };
    Client::new().assert_recipe("nats", server.ports[1], "good http").await;
}

#[tokio::test]
async fn prometheus_is_ready() {
    let nobody = "127.0.0.1:1".parse().unwrap();
    let Some(server) = prometheus(nobody).await else { return };
    Client::new()
        .assert_recipe("prometheus", server.address().port(), "good http")
        .await;
}

#[tokio::test]
async fn alertmanager_is_ready() {
    if !requires_program("prometheus-alertmanager") {
        return;
    }
    let config = "route: { receiver: nobody }\nreceivers: [ { name: nobody } ]\n";
    let server = run_alertmanager(&program("prometheus-alertmanager").unwrap(), config).await;
    Client::new()
        .assert_recipe("alertmanager", server.address.port(), "good http")
        .await;
}

#[tokio::test]
async fn rabbitmq_is_healthy_without_a_login() {
    let client = Client::new();
    let port = free_port();
    let settings = format!("management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {port}");
    let identity = client.issue(leaf(&["127.0.0.1"]).key(Kind::Rsa));
    let Some(_server) = rabbitmq_with(&identity, "rabbitmq_management", &settings).await else { return };
    client.assert_recipe("rabbitmq", port, "good http").await;
}
