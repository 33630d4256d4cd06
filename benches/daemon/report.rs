//! The report: a table of figures, each with its aim and whether it is met.

use std::fmt;
use std::fs;
use std::thread;

/// The report, printed as figures are measured. Counts the aims.
#[derive(Debug, Default)]
pub(crate) struct Report {
    section: String,
    met: usize,
    missed: Vec<String>,
    skipped: Vec<String>,
}

impl Report {
    /// Prints the title of the run.
    pub(crate) fn begin(quick: bool) -> Self {
        let cores = thread::available_parallelism().map_or(0, usize::from);
        println!("portprobe {}, {cores} cores of {}", env!("CARGO_PKG_VERSION"), processor());
        println!("Linux {}, load {} at the start", kernel(), load());
        if quick {
            println!("Quick run: single rounds, so the figures are rough");
        }
        Self::default()
    }

    /// Begins a table.
    pub(crate) fn section(&mut self, title: String) {
        println!("\n{title}");
        self.section = title;
        println!("  {:<NAME$} {:>MEASURED$} {:>ROUNDS$}   {:<AIM$} met", "", "median", "rounds", "aim");
    }

    /// Adds a row to the table.
    pub(crate) fn add(&mut self, figure: &Figure) {
        let (name, unit) = (figure.name.as_str(), figure.unit);
        let measured = unit.display(figure.median());
        let rounds = figure
            .range()
            .map_or_else(String::new, |(low, high)| format!("{} .. {}", unit.number(low), unit.number(high)));
        let (aim, met) = figure.aim.map_or_else(Default::default, |aim| {
            (aim.display(unit), if aim.is_met_by(figure.median()) { "yes" } else { "NO" })
        });
        println!(
            "{}",
            format!("  {name:<NAME$} {measured:>MEASURED$} {rounds:>ROUNDS$}   {aim:<AIM$} {met}").trim_end()
        );
        match met {
            "yes" => self.met += 1,
            "NO" => self.missed.push(format!("{}, {name}: {measured}, {aim}", self.section)),
            _ => {}
        }
    }

    /// Prints why a section is skipped.
    pub(crate) fn skipped(&mut self, reason: &str) {
        println!("  skipped: {reason}");
        self.skipped.push(format!("{}: {reason}", self.section));
    }

    /// Adds a table of figures without aims, several per row.
    pub(crate) fn table(&self, columns: &[&str], rows: &[(String, Vec<Figure>)]) {
        let cells = |cells: Vec<String>| {
            let padded: Vec<_> = cells.iter().map(|cell| format!(" {cell:>CELL$}")).collect();
            padded.concat()
        };
        println!("\n{}", self.section);
        println!("  {:<NAME$}{}", "", cells(columns.iter().map(ToString::to_string).collect()));
        for (name, figures) in rows {
            let medians = figures.iter().map(|figure| figure.unit.display(figure.median())).collect();
            println!("  {name:<NAME$}{}", cells(medians));
        }
    }

    /// Prints the summary.
    pub(crate) fn end(self) {
        println!("\n{} of {} aims met, load {} at the end", self.met, self.met + self.missed.len(), load());
        self.missed.iter().for_each(|missed| println!("  missed: {missed}"));
        self.skipped.iter().for_each(|table| println!("  skipped: {table}"));
    }
}

/// A figure, measured once or in several rounds.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    name: String,
    unit: Unit,
    /// Ascending; at least one.
    rounds: Vec<f64>,
    aim: Option<Aim>,
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, unit: Unit, rounds: impl IntoIterator<Item = f64>) -> Self {
        let mut rounds: Vec<_> = rounds.into_iter().collect();
        rounds.sort_by(f64::total_cmp);
        Self { name: name.into(), unit, rounds, aim: None }
    }

    /// The same with an aim.
    pub(crate) fn aim(self, aim: Aim) -> Self {
        Self { aim: Some(aim), ..self }
    }

    /// The median.
    pub(crate) fn median(&self) -> f64 {
        let middle = |half: usize| self.rounds.get(half).copied().unwrap_or(f64::NAN);
        f64::midpoint(middle((self.rounds.len() - 1) / 2), middle(self.rounds.len() / 2))
    }

    /// The range of several values.
    fn range(&self) -> Option<(f64, f64)> {
        let (first, last) = (self.rounds.first()?, self.rounds.last()?);
        (self.rounds.len() > 1).then_some((*first, *last))
    }
}

/// The aim of a figure, in its base unit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Aim {
    AtLeast(f64),
    AtMost(f64),
    Under(f64),
}

impl Aim {
    fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtLeast(limit) => value >= limit,
            Self::AtMost(limit) => value <= limit,
            Self::Under(limit) => value < limit,
        }
    }

    fn display(self, unit: Unit) -> String {
        match self {
            Self::AtLeast(limit) => format!("at least {}", unit.aimed(limit)),
            Self::AtMost(limit) => format!("at most {}", unit.aimed(limit)),
            Self::Under(limit) => format!("under {}", unit.aimed(limit)),
        }
    }
}

/// The unit of a figure. Values are in base units: seconds, bytes, probes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit {
    Bytes,
    Count,
    Megabytes,
    Microseconds,
    Milliseconds,
    Nanoseconds,
    PerSecond,
    Ratio,
    Seconds,
}

impl Unit {
    fn display(self, value: f64) -> String {
        format!("{}{}", self.number(value), self.symbol())
    }

    fn aimed(self, value: f64) -> String {
        format!("{}{}", value * self.scale(), self.symbol())
    }

    fn number(self, value: f64) -> impl fmt::Display {
        format!("{:.*}", self.decimals(), value * self.scale())
    }

    fn scale(self) -> f64 {
        match self {
            Self::Bytes | Self::Count | Self::PerSecond | Self::Ratio | Self::Seconds => 1.0,
            Self::Megabytes => 1e-6,
            Self::Microseconds => 1e6,
            Self::Milliseconds => 1e3,
            Self::Nanoseconds => 1e9,
        }
    }

    fn decimals(self) -> usize {
        match self {
            Self::Bytes | Self::Count | Self::Nanoseconds | Self::PerSecond => 0,
            Self::Megabytes | Self::Microseconds | Self::Milliseconds => 1,
            Self::Ratio | Self::Seconds => 2,
        }
    }

    fn symbol(self) -> &'static str {
        match self {
            Self::Bytes => " B",
            Self::Count | Self::Ratio => "",
            Self::Megabytes => " MB",
            Self::Microseconds => " µs",
            Self::Milliseconds => " ms",
            Self::Nanoseconds => " ns",
            Self::PerSecond => " /s",
            Self::Seconds => " s",
        }
    }
}

/// The model name of the processor.
fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split_once(": "));
    name.map_or("an unknown processor", |(_, name)| name).to_owned()
}

/// The load average of the last minute.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

const NAME: usize = 44;
const MEASURED: usize = 12;
const ROUNDS: usize = 20;
const AIM: usize = 15;
const CELL: usize = 16;
