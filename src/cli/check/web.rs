//! The web configuration: its problems, or a summary of what it enables.

use std::path::Path;

use super::{counted, warnings};
use crate::app::LoadedFiles;
use crate::config::LoadError;
use crate::config::web::{self, ClientAuth, WebSettings};
use crate::http::WebConfig;

/// Loads a web configuration like the daemon. Returns a line for each warning and a summary.
///
/// Certificates and keys are read if other `files` are.
pub(in crate::cli) fn web(path: &Path, files: Option<&LoadedFiles>) -> Result<String, LoadError> {
    let (settings, all_warnings) = match files {
        Some(_) => {
            let (config, warnings) = WebConfig::load(path)?;
            (config.settings().clone(), warnings)
        }
        None => web::load(path)?.finish(&[], &[])?,
    };
    Ok(format!("{}{}: {}", warnings(&all_warnings), path.display(), summary(&settings)))
}

/// Lists what is enabled.
fn summary(settings: &WebSettings) -> String {
    let tls = match &settings.tls {
        None => "no TLS",
        Some(tls) => match &tls.client_auth {
            ClientAuth::None | ClientAuth::Request => "TLS",
            ClientAuth::VerifyIfGiven(_) => "TLS with optional client certificates",
            ClientAuth::RequireAny => "TLS with client certificates, which are not verified",
            ClientAuth::RequireAndVerify(_) => "TLS with client certificates",
        },
    };
    let users = match settings.users.len() {
        0 => "no passwords".to_owned(),
        count => counted(count, "user"),
    };
    format!("{tls}, {users}")
}
