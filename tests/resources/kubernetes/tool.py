"""Helm and the schemas of Kubernetes for the tests: the request is an argument with JSON on standard input."""

import json
import sys

import kubernetes_validate
from helm_python import chart
from helm_python.errors import HelmError


def lint(request):
    """Returns the errors and warnings of the strict linter for each of these values."""
    reports = [chart.lint(request["chart"], values, strict=True) for values in request["values"]]
    messages = [message["error"] for report in reports for message in report["messages"] if message["severity"] > 1]
    return messages + [error for report in reports for error in report["errors"]]


def render(request):
    """Returns the rendered templates, or the error, for each of these values."""
    with chart.Chart.load(request["chart"]) as loaded:
        return [render_one(loaded, request["name"], values) for values in request["values"]]


def render_one(loaded, name, values):
    try:
        return {"rendered": loaded.render(values, name=name, namespace="here")}
    except HelmError as error:
        return {"error": str(error)}


def values(request):
    """Parses files of values as Helm does."""
    return {name: chart.values_from_yaml(text) for name, text in request["texts"].items()}


def validate(request):
    """Returns the errors in these objects under the strict schema of this version of Kubernetes."""
    return [fault for one in request["objects"] for fault in faults(one, request["version"])]


def faults(one, version):
    try:
        kubernetes_validate.validate(one, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{one['kind']}: {'.'.join(map(str, error.path))}: {error.message}"


HANDLERS = {handler.__name__: handler for handler in [lint, render, validate, values]}

if __name__ == "__main__":
    json.dump(HANDLERS[sys.argv[1]](json.load(sys.stdin)), sys.stdout)
