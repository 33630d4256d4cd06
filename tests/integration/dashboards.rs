//! The dashboards without Grafana: checked by the rules of its linter, its published types, and the results of real
//! Prometheus servers for every query.

mod draw;
mod failures;
mod lint;
mod queries;
mod schema;
