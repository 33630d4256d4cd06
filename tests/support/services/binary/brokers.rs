//! mosquitto and RabbitMQ.

use super::*;

/// mosquitto with these settings of its listener; `None` if it is not installed.
pub(crate) async fn mosquitto(identity: &Identity, settings: &str) -> Option<Service> {
    serve("mosquitto", identity, |address, folder| {
        let port = address.port();
        let user = if is_root() { "user root\n" } else { "" };
        let config = format!("{user}listener {port} 127.0.0.1\n{settings}\n");
        fs::write(folder.join("mosquitto.conf"), config).unwrap();
        let mut server = logging(program("mosquitto").unwrap());
        server.args(["-c", "mosquitto.conf"]);
        server
    })
    .await
}

/// RabbitMQ and its port mapper.
pub(crate) struct Rabbitmq {
    pub(crate) service: Service,
    pub(crate) tls_port: u16,
    _names: Service,
}

/// RabbitMQ with a port for TLS; `None` if it is not installed.
pub(crate) async fn rabbitmq(identity: &Identity) -> Option<Rabbitmq> {
    rabbitmq_with(identity, "", "").await
}

/// RabbitMQ with this plugin and these settings; `None` if it is not installed.
pub(crate) async fn rabbitmq_with(identity: &Identity, plugin: &str, settings: &str) -> Option<Rabbitmq> {
    requires_program("epmd").then_some(())?;
    let names = serve("epmd", identity, |address, _| {
        let mut server = logging(program("epmd").unwrap());
        server.args(["-address", "127.0.0.1", "-port", &address.port().to_string()]);
        server
    });
    let names = names.await?;
    let tls_port = free_port();
    let service = serve("rabbitmq-server", identity, |address, folder| {
        let config = format!(
            "listeners.tcp.1 = 127.0.0.1:{}\nlisteners.ssl.1 = 127.0.0.1:{tls_port}\n\
             ssl_options.certfile = server.pem\nssl_options.keyfile = server.key\nssl_options.cacertfile = server.pem\n\
             log.console = true\nlog.console.level = info\nlog.file = false\n{settings}\n",
            address.port(),
        );
        fs::write(folder.join("rabbitmq.conf"), config).unwrap();
        fs::write(folder.join("plugins"), format!("[{plugin}].")).unwrap();
        // The program in PATH would change the user.
        let mut server = logging("/usr/lib/rabbitmq/bin/rabbitmq-server");
        for (name, file) in [
            ("HOME", ""),
            ("RABBITMQ_MNESIA_BASE", "data"),
            ("RABBITMQ_LOG_BASE", ""),
            ("RABBITMQ_CONFIG_FILE", "rabbitmq.conf"),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", "plugins"),
            ("RABBITMQ_PID_FILE", "pid"),
        ] {
            server.env(name, folder.join(file));
        }
        // Otherwise the shell script would remain as a separate process and outlive the server.
        server.env("RUNNING_UNDER_SYSTEMD", "1");
        server.env("RABBITMQ_NODENAME", format!("probed{}@localhost", address.port()));
        server.env("RABBITMQ_DIST_PORT", free_port().to_string());
        server.env("ERL_EPMD_PORT", names.address.port().to_string());
        server
    });
    Some(Rabbitmq { service: service.await?, tls_port, _names: names })
}
