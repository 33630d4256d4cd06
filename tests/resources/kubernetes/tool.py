"""What the tests ask of Helm and of the schemas of Kubernetes: one question as JSON on standard input, one answer."""

import json
import sys

import kubernetes_validate
from helm_python import chart
from helm_python.errors import HelmError


def lint(question):
    """What the linter finds beyond hints with each of these values, under its strict rules."""
    reports = [chart.lint(question["chart"], values, strict=True) for values in question["values"]]
    messages = [message["error"] for report in reports for message in report["messages"] if message["severity"] > 1]
    return messages + [error for report in reports for error in report["errors"]]


def render(question):
    """For each of these values the text that each template becomes, or why none does."""
    with chart.Chart.load(question["chart"]) as loaded:
        return [render_one(loaded, question["name"], values) for values in question["values"]]


def render_one(loaded, name, values):
    try:
        return {"rendered": loaded.render(values, name=name, namespace="here")}
    except HelmError as error:
        return {"refused": str(error)}


def values(question):
    """Each of these files of values as helm reads it."""
    return {name: chart.values_from_yaml(text) for name, text in question["texts"].items()}


def validate(question):
    """What this version of Kubernetes, by its strict schema, finds in each of these objects."""
    return [fault for one in question["objects"] for fault in faults(one, question["version"])]


def faults(one, version):
    try:
        kubernetes_validate.validate(one, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{one['kind']}: {'.'.join(map(str, error.path))}: {error.message}"


QUESTIONS = {question.__name__: question for question in [lint, render, validate, values]}

if __name__ == "__main__":
    json.dump(QUESTIONS[sys.argv[1]](json.load(sys.stdin)), sys.stdout)
