//! The kinds of values that HTTP has.

use hyper::Method;
use schemars::{Schema, SchemaGenerator, json_schema};

use super::{Leaf, expected};
use crate::config::yaml::Node;
use crate::target::StatusRange;

impl Leaf for Method {
    fn read(node: Node) -> Result<Self, String> {
        let method = if let Node::Text(text) = &node { Self::from_bytes(text.as_bytes()).ok() } else { None };
        method.ok_or_else(|| expected(&node, "a method, like GET, HEAD or POST"))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "examples": ["GET", "HEAD", "POST"] })
    }
}

impl Leaf for StatusRange {
    fn read(node: Node) -> Result<Self, String> {
        let range = node.scalar_text().and_then(|text| text.parse().ok());
        range.ok_or_else(|| expected(&node, "a status from 100 to 599, or a range like 200-299 or 2xx"))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"], "examples": [200, "301-308", "2xx"] })
    }
}
