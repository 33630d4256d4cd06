//! HTTP and what is built on it.
