//! Compatibility with blackbox_exporter.
