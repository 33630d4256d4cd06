//! Databases, message brokers and desktops, whose protocols are binary.
