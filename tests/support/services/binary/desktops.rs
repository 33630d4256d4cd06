//! `TigerVNC` and xrdp.

use super::*;

/// `TigerVNC`'s X server without a password; `None` if it is not installed.
pub(crate) async fn tigervnc(identity: &Identity) -> Option<Service> {
    serve("Xtigervnc", identity, |address, _| {
        let mut server = logging(program("Xtigervnc").unwrap());
        // It chooses a free display and prints its number.
        server.args(["-displayfd", "1", "-SecurityTypes", "None", "-localhost", "-nolisten", "tcp"]);
        server.args(["-rfbport", &address.port().to_string()]);
        server
    })
    .await
}

/// xrdp, whose clients choose the security; `None` if it is not installed.
pub(crate) async fn xrdp(identity: &Identity) -> Option<Service> {
    serve("xrdp", identity, |address, folder| {
        let shown = folder.display();
        let config = format!(
            "[Globals]\nport=tcp://{address}\nsecurity_layer=negotiate\ncrypt_level=high\n\
             certificate={shown}/server.pem\nkey_file={shown}/server.key\n\
             [Logging]\nLogFile={shown}/xrdp.log\nLogLevel=INFO\nEnableSyslog=false\n\
             [Xorg]\nname=Xorg\nlib=libxup.so\nusername=ask\npassword=ask\nip=127.0.0.1\nport=-1\ncode=20\n"
        );
        fs::write(folder.join("xrdp.ini"), config).unwrap();
        let mut server = logging(program("xrdp").unwrap());
        server.arg("--nodaemon").arg("-c").arg(folder.join("xrdp.ini"));
        server
    })
    .await
}
