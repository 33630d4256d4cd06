//! Analysis of PromQL: the series of an expression, their functions, and the labels in its groupings.

use std::time::Duration;

use promql_parser::parser::{self, Expr, LabelModifier, VectorSelector};

use super::dashboards::substituted;

/// The value of `$__rate_interval` for the parser: an unusual range.
pub(crate) const RATE_INTERVAL: Duration = Duration::from_secs(4369);

/// The variables of Grafana. Those of the dashboard are within strings, where PromQL accepts anything.
const BUILT_IN: [(&str, &str); 4] =
    [("__rate_interval", "4369s"), ("__range_s", "7919"), ("__range", "7919s"), ("__interval", "4211s")];

/// Parses an expression of a dashboard.
pub(crate) fn parse(expression: &str) -> Result<Expr, String> {
    parser::parse(&substituted(expression, &BUILT_IN))
}

/// Series that an expression reads.
#[derive(Clone, Debug)]
pub(crate) struct Read<'a> {
    pub(crate) selector: &'a VectorSelector,
    /// The range; `None` for the latest value.
    pub(crate) range: Option<Duration>,
    /// The function directly around it.
    pub(crate) function: Option<&'a str>,
}

impl Read<'_> {
    pub(crate) fn metric(&self) -> &str {
        self.selector.name.as_deref().unwrap_or_default()
    }

    /// Whether it has exactly this matcher, such as `job=~"$job"`.
    pub(crate) fn is_narrowed_by(&self, matcher: &str) -> bool {
        self.selector.matchers.matchers.iter().any(|found| found.to_string() == matcher)
    }

    /// Every label in its matchers.
    pub(crate) fn labels(&self) -> impl Iterator<Item = &str> {
        self.selector.matchers.matchers.iter().map(|matcher| matcher.name.as_str())
    }
}

/// All series that an expression reads.
pub(crate) fn reads(expression: &Expr) -> Vec<Read<'_>> {
    let mut reads = Vec::new();
    collect(expression, None, &mut reads);
    reads
}

fn collect<'a>(expression: &'a Expr, function: Option<&'a str>, into: &mut Vec<Read<'a>>) {
    match expression {
        Expr::VectorSelector(selector) => into.push(Read { selector, range: None, function }),
        Expr::MatrixSelector(matrix) => {
            into.push(Read { selector: &matrix.vs, range: Some(matrix.range), function });
        }
        _ => {
            let function = if let Expr::Call(call) = expression { Some(call.func.name) } else { None };
            for part in parts(expression) {
                collect(part, function, into);
            }
        }
    }
}

/// Every label in `by`, `without`, `on`, `ignoring`, `group_left` or `group_right`.
pub(crate) fn sorted_by(expression: &Expr) -> Vec<&str> {
    let (modifier, added) = match expression {
        Expr::Aggregate(aggregate) => (aggregate.modifier.as_ref(), None),
        Expr::Binary(binary) => binary
            .modifier
            .as_ref()
            .map_or((None, None), |modifier| (modifier.matching.as_ref(), modifier.card.labels())),
        _ => (None, None),
    };
    let labels = modifier.map(LabelModifier::labels).into_iter().chain(added);
    let labels = labels.flat_map(|labels| labels.labels.iter().map(String::as_str));
    labels.chain(parts(expression).into_iter().flat_map(sorted_by)).collect()
}

fn parts(expression: &Expr) -> Vec<&Expr> {
    match expression {
        Expr::Aggregate(aggregate) => aggregate.param.iter().chain([&aggregate.expr]).map(|part| &**part).collect(),
        Expr::Binary(binary) => vec![&binary.lhs, &binary.rhs],
        Expr::Call(call) => call.args.args.iter().map(|part| &**part).collect(),
        Expr::Paren(inner) => vec![&inner.expr],
        Expr::Subquery(inner) => vec![&inner.expr],
        Expr::Unary(inner) => vec![&inner.expr],
        _ => Vec::new(),
    }
}
