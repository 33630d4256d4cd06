//! Mail, directories and what else is spoken in lines.
