//! The TypeScript compiler checks the dashboards against the published types of Grafana.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::dashboards::Dashboard;
use crate::support::grafana_schema;

const TYPES: &str = include_str!("../../resources/dashboards/types.ts");

/// A place in the overview, its invalid value, and the error of the compiler.
#[rustfmt::skip]
const MISTAKES: [(&str, &str, &str, &str); 8] = [
    ("", "__inputs", "[]", "'\"__inputs\"' does not exist"),
    ("", "schemaVersion", "\"38\"", "not assignable to type 'number'"),
    ("/templating/list/1", "multiple", "true", "'\"multiple\"' does not exist"),
    ("/panels/0", "type", "\"stats\"", "Type '\"stats\"' is not assignable"),
    ("/panels/0/options", "colorMode", "\"backgrounds\"", "Type '\"backgrounds\"' is not assignable"),
    ("/panels/0/fieldConfig/defaults", "units", "\"none\"", "'\"units\"' does not exist"),
    ("/panels/0/targets/0", "format", "\"graph\"", "Type '\"graph\"' is not assignable"),
    ("/panels/9/options/legend", "displaymode", "\"list\"", "'\"displaymode\"' does not exist"),
];

#[test]
fn every_dashboard_has_grafanas_types() {
    let Some(schema) = grafana_schema() else { return };
    let files = Dashboard::all()
        .into_iter()
        .map(|dashboard| (dashboard.uid().to_owned(), dashboard.0));
    let errors = compiled(&schema, &files.collect::<Vec<_>>());
    assert!(errors.is_empty(), "{errors}");
}

#[test]
fn grafanas_types_reject_mistakes() {
    let Some(schema) = grafana_schema() else { return };
    let overview = Dashboard::all()
        .into_iter()
        .find(|dashboard| dashboard.uid() == "portprobe-overview")
        .unwrap();
    let files = MISTAKES.iter().enumerate().map(|(number, (place, key, value, _))| {
        let mut dashboard = overview.0.clone();
        dashboard.pointer_mut(place).unwrap()[key] = serde_json::from_str(value).unwrap();
        (format!("mistake-{number}"), dashboard)
    });
    let errors = compiled(&schema, &files.collect::<Vec<_>>());
    for (number, (place, key, _, error)) in MISTAKES.iter().enumerate() {
        let file = format!("mistake-{number}.ts(");
        let found = errors.lines().any(|line| line.contains(&file) && line.contains(error));
        assert!(found, "{place}/{key}: {error}: {errors}");
    }
}

/// The errors of the compiler for these dashboards, each in a file of its name; empty if they are valid.
fn compiled(schema: &Path, dashboards: &[(String, Value)]) -> String {
    let folder = tempfile::tempdir_in(schema).unwrap();
    fs::write(folder.path().join("types.ts"), TYPES).unwrap();
    for (name, dashboard) in dashboards {
        let literal = serde_json::to_string_pretty(dashboard).unwrap();
        let file = format!("import type {{ Dashboard }} from './types'; export const it: Dashboard =\n{literal};\n");
        fs::write(folder.path().join(format!("{name}.ts")), file).unwrap();
    }
    let options = json!({
        "compilerOptions": {
            "module": "esnext", "moduleResolution": "bundler", "noEmit": true, "skipLibCheck": true, "strict": true,
            "types": [],
        },
    });
    fs::write(folder.path().join("tsconfig.json"), options.to_string()).unwrap();
    let output = Command::new(schema.join("node_modules/.bin/tsc"))
        .current_dir(folder.path())
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.success(), errors.is_empty(), "{errors}{}", String::from_utf8_lossy(&output.stderr));
    errors
}
