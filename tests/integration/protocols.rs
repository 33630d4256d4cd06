//! Tests of protocols with real servers: successes, rejections, and the logs of the servers.

mod binary;
mod text;
mod web;
