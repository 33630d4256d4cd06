// Validates objects of the Prometheus operator against schemas of its types: names, types, values, formats. Reads a JSON
// array from standard input and prints one error per line.
import { readFileSync } from "node:fs";
import { PodMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PodMonitor";
import { PrometheusRule } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule";
import { ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor";

const kinds = { PodMonitor, PrometheusRule, ServiceMonitor };
for (const object of JSON.parse(readFileSync(0, "utf8"))) {
  try {
    new kinds[object.kind](object).validate();
  } catch (error) {
    console.log(`${object.kind}: ${error.message}`);
  }
}
