//! Revocation lists.

use std::fmt;
use std::path::Path;

use rustls::pki_types::CertificateRevocationListDer;
use tracing::warn;
use webpki::{CertRevocationList, OwnedCertRevocationList};

use super::contents::FileContents;
use super::pem;
use super::problem;
use crate::clock;
use crate::probe::certificate::next_update;
use crate::target::{FileProblem, TlsFile};

/// Parses the lists of the file that `setting` names, PEM or DER.
pub(super) fn read(
    setting: TlsFile,
    path: &Path,
    contents: &FileContents,
) -> Result<Vec<CertRevocationList<'static>>, FileProblem> {
    let refuse = |fault: &dyn fmt::Display| problem(setting, path, fault);
    let bytes = contents.bytes(path).map_err(|error| refuse(error))?;
    let lists = if pem::is_der(bytes) {
        vec![CertificateRevocationListDer::from(bytes)]
    } else {
        pem::all(bytes, "revocation list", "X509 CRL", String::new).map_err(|error| refuse(&error))?
    };
    let mut read = Vec::with_capacity(lists.len());
    for (index, der) in lists.iter().enumerate() {
        let list = OwnedCertRevocationList::from_der(der);
        let number = index + 1;
        let list = list.map_err(|error| {
            refuse(&format_args!("has revocation list number {number}, which {}", pem::der_fault(&error)))
        })?;
        read.push(list.into());
        if next_update(der).is_some_and(|next| clock::now().seconds() > next) {
            warn!(file = %path.display(), number, "A revocation list is out of date");
        }
    }
    Ok(read)
}
