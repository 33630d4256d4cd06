//! Databases, message brokers and desktops.
