//! Servers for directories and names.

use std::fs;

use super::{Ports, Tls, logging, several};

/// OpenLDAP in the clear, and with TLS from the first byte; it logs operations. `None` if it is not installed.
pub(crate) async fn slapd(tls: Tls<'_>, more: &str) -> Option<Ports<2>> {
    several("slapd", tls, |folder, [ldap, ldaps]| {
        let at = folder.display();
        let files = format!("TLSCertificateFile {at}/server.pem\nTLSCertificateKeyFile {at}/server.key\n");
        let config = format!("pidfile {at}/pid\n{}{more}", tls.then(&files));
        fs::write(folder.join("slapd.conf"), config).unwrap();
        let secured = format!(" ldaps://127.0.0.1:{ldaps}/");
        let mut server = logging("slapd");
        server.args(["-d", "stats", "-f", "slapd.conf", "-h"]);
        server.arg(format!("ldap://127.0.0.1:{ldap}/{}", tls.then(&secured)));
        server
    })
    .await
}

/// BIND over TCP and TLS, with the zone `example.org` and the zone `broken.example` without data; it refuses others.
/// `None` if it is not installed.
pub(crate) async fn bind(tls: Tls<'_>) -> Option<Ports<2>> {
    several("named", tls, |folder, [plain, secured]| {
        let at = folder.display();
        let listener = format!("listen-on port {secured} tls own {{ 127.0.0.1; }};");
        let files = format!("tls own {{ cert-file \"{at}/server.pem\"; key-file \"{at}/server.key\"; }};");
        let config = format!(
            "{} options {{ directory \"{at}\"; pid-file \"{at}/pid\"; session-keyfile \"{at}/session.key\"; \
             listen-on port {plain} {{ 127.0.0.1; }}; {} listen-on-v6 {{ none; }}; recursion no; dnssec-validation no; }};\n\
             controls {{ }};\nzone \"example.org\" {{ type primary; file \"zone\"; }};\n\
             zone \"broken.example\" {{ type primary; file \"missing\"; }};\n",
            tls.then(&files),
            tls.then(&listener)
        );
        fs::write(folder.join("zone"), "$TTL 60\n@ SOA ns root 1 60 60 60 60\n@ NS ns\nns A 192.0.2.1\n").unwrap();
        fs::write(folder.join("named.conf"), config).unwrap();
        let mut server = logging("named");
        server.args(["-g", "-4", "-n", "1", "-c", "named.conf"]);
        server
    })
    .await
}
