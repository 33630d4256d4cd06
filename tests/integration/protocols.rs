//! The opening exchanges against real servers: that they serve, that they serve nobody, and what they log.

mod binary;
mod text;
mod web;
