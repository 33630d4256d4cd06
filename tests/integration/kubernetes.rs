//! The Helm chart and the manifests of `deploy/` without a cluster: rendered by Helm, validated against the schemas of
//! Kubernetes and the Prometheus operator, and their commands and configurations run with the real binary.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::support::kubernetes_tools;

mod binary;
mod chart;
mod contents;
mod schemas;

/// The values of the chart: none, and those of each file under `ci`.
fn all_values(tools: &Tools) -> BTreeMap<String, Value> {
    let files = fs::read_dir(root("deploy/helm/portprobe/ci"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut texts: BTreeMap<_, _> = files.map(|file| (name(&file), fs::read_to_string(&file).unwrap())).collect();
    texts.insert("none".to_owned(), String::new());
    assert!(texts.len() > 5, "{texts:?}");
    serde_json::from_value(tools.run("values", &json!({ "texts": texts }))).unwrap()
}

/// The objects of each file under `deploy/kubernetes`.
fn manifests() -> BTreeMap<String, Vec<Value>> {
    let files = fs::read_dir(root("deploy/kubernetes"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files = files.filter(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    let all: BTreeMap<_, _> = files
        .map(|file| (name(&file), objects(&fs::read_to_string(&file).unwrap())))
        .collect();
    assert!(all.len() > 8, "{all:?}");
    all
}

/// All objects: the chart with each file of values, and the manifests.
fn everything(tools: &Tools) -> &'static BTreeMap<String, Vec<Value>> {
    static EVERYTHING: OnceLock<BTreeMap<String, Vec<Value>>> = OnceLock::new();
    EVERYTHING.get_or_init(|| {
        let (names, values): (Vec<_>, Vec<_>) = all_values(tools).into_iter().unzip();
        let rendered = tools
            .try_render_each("portprobe", &values)
            .into_iter()
            .map(|texts| all_objects(&texts.unwrap()));
        names.into_iter().zip(rendered).chain(manifests()).collect()
    })
}

/// The tools for Helm and Kubernetes.
struct Tools(PathBuf);

impl Tools {
    /// Finds them; a test that needs them is skipped without.
    fn find() -> Option<Self> {
        kubernetes_tools().map(Self)
    }

    /// The output of `tool.py`.
    fn run(&self, request: &str, of: &Value) -> Value {
        let mut python = Command::new("python3");
        python
            .arg(root("tests/resources/kubernetes/tool.py"))
            .arg(request)
            .env("PYTHONPATH", self.0.join("python"));
        serde_json::from_str(&output(python, of)).unwrap()
    }

    /// For each of these values, the text of each rendered template, or the error.
    fn try_render_each(&self, name: &str, values: &[Value]) -> Vec<Result<Texts, String>> {
        let request = json!({ "chart": root("deploy/helm/portprobe"), "name": name, "values": values });
        let results: Vec<Value> = serde_json::from_value(self.run("render", &request)).unwrap();
        let parsed = |mut result: Value| match result.get("error") {
            Some(error) => Err(error.as_str().unwrap().to_owned()),
            None => Ok(serde_json::from_value(result["rendered"].take()).unwrap()),
        };
        results.into_iter().map(parsed).collect()
    }

    /// As [`Self::try_render_each`], for one set of values.
    fn try_render(&self, name: &str, values: &Value) -> Result<Texts, String> {
        self.try_render_each(name, std::slice::from_ref(values)).remove(0)
    }

    /// The objects of the rendered chart.
    fn rendered(&self, values: &Value) -> Vec<Value> {
        all_objects(
            &self
                .try_render("portprobe", values)
                .unwrap_or_else(|error| panic!("{values}: {error}")),
        )
    }

    /// The only object of this kind in the rendered chart.
    fn one(&self, kind: &str, values: &Value) -> Value {
        let mut of_kind = of_kind(&self.rendered(values), kind);
        assert_eq!(of_kind.len(), 1, "{kind}: {values}");
        of_kind.remove(0)
    }
}

/// The output of a program with this input.
fn output(mut program: Command, request: &Value) -> String {
    let mut running = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    running.stdin.take().unwrap().write_all(request.to_string().as_bytes()).unwrap();
    let output = running.wait_with_output().unwrap();
    assert!(output.status.success(), "{program:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The rendered templates, by name.
type Texts = BTreeMap<String, String>;

/// The objects in these texts, without those of NOTES.txt.
fn all_objects(texts: &Texts) -> Vec<Value> {
    texts
        .iter()
        .filter(|(file, _)| !file.ends_with("NOTES.txt"))
        .flat_map(|(_, text)| objects(text))
        .collect()
}

/// The objects in a YAML text.
fn objects(text: &str) -> Vec<Value> {
    let documents = serde_yaml::Deserializer::from_str(text).map(|document| Value::deserialize(document).unwrap());
    documents.filter(|document| !document.is_null()).collect()
}

fn of_kind(objects: &[Value], kind: &str) -> Vec<Value> {
    objects.iter().filter(|object| object["kind"] == kind).cloned().collect()
}

/// The elements of a list; empty if there is none.
fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The specifications of all pods of these objects.
fn pods(objects: &[Value]) -> Vec<&Value> {
    let pod = |object: &&Value| object["kind"] == "Pod";
    let single = objects.iter().filter(pod).map(|pod| &pod["spec"]);
    let made = objects
        .iter()
        .map(|object| &object["spec"]["template"]["spec"])
        .filter(|spec| spec.is_object());
    single.chain(made).collect()
}

/// The containers of these objects that run portprobe, with any command.
fn containers(objects: &[Value]) -> Vec<&Value> {
    let runs = |container: &&Value| container["image"].as_str().unwrap().contains("portprobe");
    let all = pods(objects)
        .into_iter()
        .flat_map(|pod| list(&pod["initContainers"]).chain(list(&pod["containers"])));
    all.filter(runs).collect()
}

/// The arguments of a container.
fn arguments(container: &Value) -> Vec<&str> {
    list(&container["args"]).map(|argument| argument.as_str().unwrap()).collect()
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The name of a file.
fn name(file: &Path) -> String {
    file.file_name().unwrap().to_str().unwrap().to_owned()
}
