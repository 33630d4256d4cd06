use super::*;
use crate::support::services::binary::desktops::{tigervnc, xrdp};

#[tokio::test]
async fn tigervnc_serves_even_a_blacklisted_client() {
    let Some(server) = tigervnc(&identity()).await else { return };
    let mut result = Vec::new();
    for _ in 0..10 {
        result.push(probe("vnc", server.address).await);
    }
    // TigerVNC responds to blacklisted clients with the oldest version.
    assert!(
        result
            .iter()
            .all(|result| ["good vnc 3.8", "good vnc 3.3"].contains(&&**result)),
        "{result:?}"
    );
    assert!(server.read("log").contains("blacklisted: 127.0.0.1"));
}

#[tokio::test]
async fn xrdp_serves_with_tls() {
    let Some(server) = xrdp(&identity()).await else { return };
    assert_eq!(probe("rdp", server.address).await, "good rdp  tls");
    assert_eq!(probe("rdp+starttls", server.address).await, "good rdp  tls");
    // xrdp logs every connection without a session as an error.
    wait::until("an error is logged", async || server.read("xrdp.log").contains("[ERROR]")).await;
}
