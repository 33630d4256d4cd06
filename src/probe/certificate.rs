//! Certificates, read by `x509-parser`: the only file that knows it.
