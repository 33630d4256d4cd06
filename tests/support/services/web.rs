//! Servers with HTTP and protocols on top of it.

use std::fs;

use super::text::{Ports, Tls, logging, several};
use super::{Service, python};
use crate::support::pki::Identity;

/// nginx in the clear and with TLS, with a path for each kind of response; `None` if it is not installed.
///
/// Its file `asked` has a line for each request: request, host, client, `X-Probe` and status.
pub(crate) async fn nginx(tls: Tls<'_>) -> Option<Ports<2>> {
    several("nginx", tls, |folder, [plain, secured]| {
        let config = format!(
            "daemon off; master_process off; pid nginx.pid; error_log log; events {{}}\n\
             http {{\n\
               log_format asked '$request|$http_host|$http_user_agent|$http_x_probe|$status';\n\
               access_log asked asked;\n\
               server {{\n\
                 listen 127.0.0.1:{plain}; listen 127.0.0.1:{secured} ssl;\n\
                 ssl_certificate server.pem; ssl_certificate_key server.key;\n\
                 default_type text/plain;\n\
                 location = /health {{ return 200 'cluster\\nstatus: green\\n'; }}\n\
                 location = /busy {{ return 503; }}\n\
                 location = /moved {{ return 301 /health; }}\n\
                 location = /login {{ return 401; }}\n\
                 location = /named {{ if ($http_x_probe != yes) {{ return 403; }} return 204; }}\n\
                 location / {{ return 404; }}\n\
               }}\n\
             }}\n"
        );
        fs::write(folder.join("nginx.conf"), config).unwrap();
        let mut server = logging("nginx");
        server.arg("-p").arg(folder).args(["-c", "nginx.conf", "-e", "stderr"]);
        server
    })
    .await
}

/// nginx with HTTP/2 that responds to gRPC calls with this status; `None` if it is not installed.
pub(crate) async fn nginx_before_grpc(identity: &Identity, status: u16) -> Option<Ports<2>> {
    several("nginx", Tls::With(identity), |folder, [plain, secured]| {
        let config = format!(
            "daemon off; master_process off; pid nginx.pid; error_log log; events {{}}\n\
             http {{\n\
               access_log off;\n\
               server {{\n\
                 listen 127.0.0.1:{plain} http2; listen 127.0.0.1:{secured} ssl http2;\n\
                 ssl_certificate server.pem; ssl_certificate_key server.key;\n\
                 location = /grpc.health.v1.Health/Check {{ return {status}; }}\n\
                 location / {{ return 404; }}\n\
               }}\n\
             }}\n"
        );
        fs::write(folder.join("nginx.conf"), config).unwrap();
        let mut server = logging("nginx");
        server.arg("-p").arg(folder).args(["-c", "nginx.conf", "-e", "stderr"]);
        server
    })
    .await
}

/// NATS with its monitoring page and a port for WebSocket; `None` if it is not installed.
pub(crate) async fn nats(tls: Tls<'_>) -> Option<Ports<3>> {
    several("nats-server", tls, |folder, [client, monitoring, websocket]| {
        let security = match tls {
            Tls::Off => "no_tls: true",
            Tls::With(_) => "tls { cert_file: server.pem, key_file: server.key }",
        };
        let config = format!(
            "listen: 127.0.0.1:{client}\nhttp: 127.0.0.1:{monitoring}\n\
             websocket {{ listen: \"127.0.0.1:{websocket}\", {security} }}\n"
        );
        fs::write(folder.join("nats.conf"), config).unwrap();
        let mut server = logging("nats-server");
        server.args(["-c", "nats.conf"]);
        server
    })
    .await
}

/// A gRPC server by grpcio, with its `health` service, with `nothing`, or with a `login` before everything; `None` if its
/// packages are missing.
pub(crate) async fn grpc(tls: Tls<'_>, kind: &str) -> Option<Service> {
    let security = match tls {
        Tls::Off => "plain",
        Tls::With(_) => "tls",
    };
    python("serve_grpc.py", tls, &[security, kind]).await
}
