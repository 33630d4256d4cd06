//! Trusted roots.

use std::fmt;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use tracing::warn;
use webpki::anchor_from_trusted_cert;
use webpki_roots::TLS_SERVER_ROOTS;

use super::Anchors;
use super::contents::FileContents;
use super::pem;
use super::problem;
use crate::probe::certificate::{self, Restrictions};
use crate::target::{FileProblem, Roots, TlsFile};

/// Parses the roots.
pub(super) fn read(roots: &Roots, files: &FileContents) -> Result<Anchors, FileProblem> {
    match roots {
        Roots::File(path) => of_file(path, files),
        Roots::Mozilla => Ok(built_in()),
        Roots::System => of_system(files),
    }
}

impl Anchors {
    /// Creates anchors without any.
    pub(in crate::probe) fn empty(origin: String) -> Self {
        let (contents, restrictions, certificates) = (Vec::new(), Vec::new(), Vec::new());
        Self { store: RootCertStore::empty(), contents, restrictions, certificates, origin }
    }

    /// Adds a certificate as an anchor, if webpki can use it.
    pub(in crate::probe) fn add(&mut self, der: &CertificateDer<'_>) -> Result<(), webpki::Error> {
        let mut anchor = anchor_from_trusted_cert(der)?.to_owned();
        let (certificate, restrictions) = certificate::read_with_restrictions(der);
        // `verify` judges all constraints, webpki only some.
        if restrictions.constraints.is_some() {
            anchor.name_constraints = None;
        }
        self.store.roots.push(anchor);
        self.contents.push(certificate.content);
        self.restrictions.push(restrictions);
        Ok(())
    }
}

fn built_in() -> Anchors {
    Anchors {
        store: TLS_SERVER_ROOTS.iter().cloned().collect(),
        contents: vec![None; TLS_SERVER_ROOTS.len()],
        restrictions: vec![Restrictions::default(); TLS_SERVER_ROOTS.len()],
        certificates: Vec::new(),
        origin: "Mozilla's roots".to_owned(),
    }
}

fn of_file(path: &Path, files: &FileContents) -> Result<Anchors, FileProblem> {
    let refuse = |fault: &dyn fmt::Display| problem(TlsFile::CaFile, path, fault);
    let bytes = files.bytes(path).map_err(|error| refuse(error))?;
    let convert = || pem::conversion(bytes, "x509", path);
    let certificates: Vec<CertificateDer<'static>> =
        pem::all(bytes, "certificate", "CERTIFICATE", convert).map_err(|error| refuse(&error))?;
    let mut anchors = Anchors::empty(format!("the file {}", path.display()));
    for (index, der) in certificates.iter().enumerate() {
        match anchors.add(der) {
            Ok(()) => {}
            // A server that presents it as its certificate is still trusted.
            Err(error) if certificate::read(der).content.is_some() => {
                warn!(file = %path.display(), number = index + 1, error = pem::certificate_fault(&error, der), "Cannot use a certificate in ca_file as a CA, trusting it only as a leaf");
            }
            Err(error) => {
                return Err(refuse(&format_args!(
                    "has certificate number {}, which {}",
                    index + 1,
                    pem::certificate_fault(&error, der)
                )));
            }
        }
    }
    Ok(Anchors { certificates, ..anchors })
}

fn of_system(files: &FileContents) -> Result<Anchors, FileProblem> {
    let refuse = |fault: &dyn fmt::Display| FileProblem {
        setting: TlsFile::Roots,
        message: format!("the certificate bundle of this machine {fault}"),
    };
    let certificates = files.system().map_err(|error| refuse(error))?;
    let mut anchors = Anchors::empty("the roots of this machine".to_owned());
    // A bundle may have certificates that cannot be used.
    if certificates.iter().filter(|der| anchors.add(der).is_ok()).count() == 0 {
        return Err(refuse(&"has no certificate that can be used as a CA"));
    }
    Ok(anchors)
}
