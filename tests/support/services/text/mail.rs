//! Servers for mail, files and messages.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Ports, Tls, logging, one, several};
use crate::support::requires_root;
use crate::support::services::Service;

/// The ports of Dovecot: each protocol in the clear, then each with implicit TLS.
pub(crate) const DOVECOT: [&str; 8] = ["imap", "pop3", "sieve", "lmtp", "imaps", "pop3s", "sieve+tls", "lmtp+tls"];

/// Dovecot with all its protocols and these settings; `None` if it is not installed or this is not root.
pub(crate) async fn dovecot(tls: Tls<'_>, more: &str) -> Option<Ports<8>> {
    requires_root().then_some(())?;
    several("dovecot", tls, |folder, ports| {
        let settings = dovecot_conf(folder, ports, tls) + more;
        fs::write(folder.join("dovecot.conf"), settings).unwrap();
        let mut server = logging("dovecot");
        server.args(["-F", "-c", "dovecot.conf"]);
        server
    })
    .await
}

fn dovecot_conf(
    folder: &Path,
    [imap, pop3, sieve, lmtp, imaps, pop3s, sieves, lmtps]: [u16; 8],
    tls: Tls<'_>,
) -> String {
    let at = folder.display();
    let ssl = match tls {
        Tls::Off => "ssl = no".to_owned(),
        Tls::With(_) => format!("ssl = yes\nssl_cert = <{at}/server.pem\nssl_key = <{at}/server.key"),
    };
    let secured = |name: &str, port: u16| match tls {
        Tls::Off => String::new(),
        Tls::With(_) => format!("inet_listener {name} {{\n port = {port}\n ssl = yes\n }}\n"),
    };
    let (imaps, pop3s) = (secured("imaps", imaps), secured("pop3s", pop3s));
    let (sieves, lmtps) = (secured("sieves", sieves), secured("lmtps", lmtps));
    format!(
        "base_dir = {at}/run\nstate_dir = {at}/state\nlog_path = /dev/stderr\nlisten = 127.0.0.1\n\
         protocols = imap pop3 sieve lmtp\n{ssl}\npassdb {{\n driver = static\n args = nopassword=y\n}}\n\
         userdb {{\n driver = static\n args = uid=65534 gid=65534 home={at}/home\n}}\n\
         service imap-login {{\n inet_listener imap {{\n port = {imap}\n }}\n inet_listener imaps {{\n port = 0\n }}\n {imaps}}}\n\
         service pop3-login {{\n inet_listener pop3 {{\n port = {pop3}\n }}\n inet_listener pop3s {{\n port = 0\n }}\n {pop3s}}}\n\
         service managesieve-login {{\n inet_listener sieve {{\n port = {sieve}\n }}\n {sieves}}}\n\
         service lmtp {{\n inet_listener lmtp {{\n port = {lmtp}\n }}\n {lmtps}}}\n"
    )
}

/// Postfix in the clear with STARTTLS, and with TLS from the first byte; `None` if it is not installed or this is not
/// root.
pub(crate) async fn postfix(tls: Tls<'_>, more: &str) -> Option<Ports<2>> {
    postfix_behind("smtpd\n", tls, more).await
}

/// Postfix behind postscreen, which greets a new client in two parts; `None` if it is not installed or this is not root.
pub(crate) async fn postscreen(more: &str) -> Option<Ports<2>> {
    let services =
        "postscreen\nsmtpd pass - - n - - smtpd\ntlsproxy unix - - n - 0 tlsproxy\ndnsblog unix - - n - 0 dnsblog\n";
    postfix_behind(services, Tls::Off, more).await
}

/// Postfix with the program for port 25, and further services.
async fn postfix_behind(front: &str, tls: Tls<'_>, more: &str) -> Option<Ports<2>> {
    requires_root().then_some(())?;
    several("postfix", tls, |folder, ports| {
        prepare_postfix(folder, ports, front, tls, more);
        // Normally created by `postfix start`.
        let mut server = logging("/usr/lib/postfix/sbin/master");
        server.arg("-c").arg(folder).arg("-d");
        server
    })
    .await
}

fn prepare_postfix(folder: &Path, [smtp, smtps]: [u16; 2], front: &str, tls: Tls<'_>, more: &str) {
    let at = folder.display();
    let files = format!(
        "smtpd_tls_cert_file = {at}/server.pem\nsmtpd_tls_key_file = {at}/server.key\nsmtpd_tls_security_level = may\n"
    );
    let main = format!(
        "compatibility_level = 3.6\nqueue_directory = {at}/queue\ndata_directory = {at}/data\nmaillog_file = {at}/log\n\
         maillog_file_prefixes = {at}\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmyhostname = mx.example\n\
         mynetworks = 192.0.2.0/24\nalias_maps =\nlocal_recipient_maps =\n{}{more}",
        tls.then(&files)
    );
    // There is only one postscreen for all clients.
    let limit = if front.starts_with("postscreen") { "1" } else { "-" };
    let wrapped = format!("127.0.0.1:{smtps} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes\n");
    let master = format!(
        "127.0.0.1:{smtp} inet n - n - {limit} {front}{}cleanup unix n - n - 0 cleanup\nanvil unix - - n - 1 anvil\n\
         rewrite unix - - n - - trivial-rewrite\ntlsmgr unix - - n 1000? 1 tlsmgr\npostlog unix-dgram n - n - 1 postlogd\n\
         qmgr unix n - n 300 1 qmgr\npickup unix n - n 60 1 pickup\n",
        tls.then(&wrapped)
    );
    fs::write(folder.join("main.cf"), main).unwrap();
    fs::write(folder.join("master.cf"), master).unwrap();
    for name in ["queue", "data"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    let owned = Command::new("chown").arg("postfix").arg(folder.join("data")).status().unwrap();
    assert!(owned.success());
    // Its processes run as another user.
    let readable = Command::new("chmod").arg("755").arg(folder).status().unwrap();
    assert!(readable.success());
    // Creates the folders of the queue.
    let checked = Command::new("postfix").arg("-c").arg(folder).arg("check").output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

/// vsftpd; `None` if it is not installed or this is not root.
pub(crate) async fn vsftpd(tls: Tls<'_>, more: &str) -> Option<Service> {
    requires_root().then_some(())?;
    one("vsftpd", tls, |folder, port| {
        let at = folder.display();
        let files = format!(
            "ssl_enable=YES\nallow_anon_ssl=YES\nssl_ciphers=HIGH\nrsa_cert_file={at}/server.pem\n\
             rsa_private_key_file={at}/server.key\n"
        );
        let config = format!(
            "listen=YES\nlisten_ipv6=NO\nlisten_address=127.0.0.1\nlisten_port={port}\nbackground=NO\n\
             anonymous_enable=YES\nsecure_chroot_dir={at}/empty\nxferlog_enable=YES\nxferlog_std_format=NO\n\
             vsftpd_log_file={at}/log\n{}{more}",
            tls.then(&files)
        );
        fs::create_dir(folder.join("empty")).unwrap();
        fs::write(folder.join("vsftpd.conf"), config).unwrap();
        let mut server = logging("vsftpd");
        server.arg(folder.join("vsftpd.conf"));
        server
    })
    .await
}

/// Prosody in the clear with STARTTLS, and with TLS from the first byte, for the domain `localhost`; `None` if it is
/// not installed.
pub(crate) async fn prosody(tls: Tls<'_>) -> Option<Ports<2>> {
    several("prosody", tls, |folder, [plain, secured]| {
        let at = folder.display();
        let files = format!(
            "ssl = {{ certificate = '{at}/server.pem', key = '{at}/server.key' }}\nc2s_direct_tls_ports = {{ {secured} }}\n\
             c2s_direct_tls_ssl = ssl\n"
        );
        let config = format!(
            "run_as_root = true\npidfile = '{at}/pid'\ndata_path = '{at}/data'\ncertificates = '{at}'\n\
             interfaces = {{ '127.0.0.1' }}\nc2s_ports = {{ {plain} }}\nc2s_require_encryption = false\n\
             modules_enabled = {{ 'saslauth'{} }}\nmodules_disabled = {{ 's2s' }}\n\
             log = {{ {{ levels = {{ min = 'info' }}, to = 'console' }} }}\n{}VirtualHost 'localhost'\n",
            tls.then(", 'tls'"),
            tls.then(&files)
        );
        fs::create_dir(folder.join("data")).unwrap();
        fs::write(folder.join("prosody.cfg.lua"), config).unwrap();
        let mut server = logging("prosody");
        server.args(["-F", "--config", "./prosody.cfg.lua"]);
        server
    })
    .await
}
