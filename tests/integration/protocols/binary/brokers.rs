use super::*;
use crate::support::services::binary::brokers::{mosquitto, rabbitmq};

#[tokio::test]
async fn mosquitto_serves_even_if_it_requires_a_login() {
    let identity = identity();
    let Some(open) = mosquitto(&identity, "allow_anonymous true").await else { return };
    assert_eq!(probe("mqtt", open.address).await, "good mqtt");
    wait::until("the client's end is logged", async || open.read("log").contains("disconnected.")).await;
    let silent = mosquitto(&identity, "allow_anonymous true\nconnection_messages false")
        .await
        .unwrap();
    wait::until("the start is logged", async || silent.read("log").contains(" running")).await;
    let before = silent.read("log");
    assert_eq!(probe("mqtt", silent.address).await, "good mqtt");
    assert_eq!(silent.read("log"), before);
    let closed = mosquitto(&identity, "allow_anonymous false").await.unwrap();
    assert_eq!(probe("mqtt", closed.address).await, "good mqtt");
    let tls = mosquitto(&identity, "allow_anonymous true\ncertfile server.pem\nkeyfile server.key")
        .await
        .unwrap();
    assert_eq!(probe("mqtts", tls.address).await, "good mqtt");
}

#[tokio::test]
async fn rabbitmq_serves_and_logs_a_warning() {
    let Some(server) = rabbitmq(&identity()).await else { return };
    let (address, mut secured) = (server.service.address, server.service.address);
    secured.set_port(server.tls_port);
    until("amqps", secured, "good amqp RabbitMQ 3.").await;
    let before = server.service.read("log").matches("[warning]").count();
    assert_begins(&probe("amqp", address).await, "good amqp RabbitMQ 3.");
    wait::until("a warning is logged", async || server.service.read("log").matches("[warning]").count() > before).await;
    assert!(!server.service.read("log").contains("[error]"), "{}", server.service.read("log"));
}
