//! The dashboards, without a Grafana: by the rules of its linter, by its published types, and by what real
//! Prometheus servers answer to every query.

mod lint;
mod queries;
mod schema;
