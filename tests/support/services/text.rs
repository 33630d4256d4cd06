//! Mail, directories and other servers that speak in lines.
