//! Trusted roots.

use std::fmt;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, TrustAnchor};
use tracing::warn;
use webpki::anchor_from_trusted_cert;
use webpki_roots::TLS_SERVER_ROOTS;

use super::Anchors;
use super::contents::FileContents;
use super::pem;
use super::problem;
use crate::probe::certificate;
use crate::target::{FileProblem, Roots, TlsFile};

/// Parses the roots.
pub(super) fn read(roots: &Roots, files: &FileContents) -> Result<Anchors, FileProblem> {
    match roots {
        Roots::File(path) => of_file(path, files),
        Roots::Mozilla => Ok(Anchors {
            store: TLS_SERVER_ROOTS.iter().cloned().collect(),
            contents: vec![None; TLS_SERVER_ROOTS.len()],
            certificates: Vec::new(),
            origin: "Mozilla's roots".to_owned(),
        }),
        Roots::System => of_system(files),
    }
}

fn of_file(path: &Path, files: &FileContents) -> Result<Anchors, FileProblem> {
    let refuse = |fault: &dyn fmt::Display| problem(TlsFile::CaFile, path, fault);
    let bytes = files.bytes(path).map_err(|error| refuse(error))?;
    let convert = || pem::conversion(bytes, "x509", path);
    let certificates: Vec<CertificateDer<'static>> =
        pem::all(bytes, "certificate", "CERTIFICATE", convert).map_err(|error| refuse(&error))?;
    let (mut store, mut contents) = (RootCertStore::empty(), Vec::new());
    for (index, der) in certificates.iter().enumerate() {
        let content = certificate::read(der).content;
        match anchor(der) {
            Ok(anchor) => {
                store.roots.push(anchor);
                contents.push(content);
            }
            // A server that presents it as its certificate is still trusted.
            Err(error) if content.is_some() => {
                warn!(file = %path.display(), number = index + 1, ?error, "Cannot use a certificate in ca_file as a CA, trusting it only as a leaf");
            }
            Err(error) => {
                return Err(refuse(&format_args!(
                    "has certificate number {}, which {}",
                    index + 1,
                    pem::der_fault(&error)
                )));
            }
        }
    }
    Ok(Anchors { store, contents, certificates, origin: format!("the file {}", path.display()) })
}

fn of_system(files: &FileContents) -> Result<Anchors, FileProblem> {
    let refuse = |fault: &dyn fmt::Display| FileProblem {
        setting: TlsFile::Roots,
        message: format!("the certificate bundle of this machine {fault}"),
    };
    let certificates = files.system().map_err(|error| refuse(error))?;
    let usable = certificates
        .iter()
        .filter_map(|der| Some((anchor(der).ok()?, certificate::read(der).content)));
    let (roots, contents): (Vec<_>, Vec<_>) = usable.unzip();
    let store = RootCertStore { roots };
    if store.is_empty() {
        return Err(refuse(&"has no certificate that can be used as a CA"));
    }
    Ok(Anchors { store, contents, certificates: Vec::new(), origin: "the roots of this machine".to_owned() })
}

fn anchor(der: &CertificateDer<'_>) -> Result<TrustAnchor<'static>, webpki::Error> {
    anchor_from_trusted_cert(der).map(|anchor| anchor.to_owned())
}
