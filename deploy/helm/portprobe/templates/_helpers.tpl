{{- define "portprobe.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 50 characters, because a StatefulSet appends a hash to it in a label. */}}
{{- define "portprobe.fullname" -}}
{{- $name := include "portprobe.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "portprobe.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{- define "portprobe.selectorLabels" -}}
app.kubernetes.io/name: {{ include "portprobe.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "portprobe.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "portprobe.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Name, namespace and labels of an object. Takes root and optionally suffix, namespace and labels. */}}
{{- define "portprobe.metadata" -}}
name: "{{ include "portprobe.fullname" .root }}{{ with .suffix }}-{{ . }}{{ end }}"
namespace: {{ .namespace | default (include "portprobe.namespace" .root) | quote }}
labels:
  {{- $own := include "portprobe.labels" .root | fromYaml }}
  {{- $release := ternary (dict "release" .root.Release.Name) dict (and .root.Values.releaseLabel (default false .selected)) }}
  {{- toYaml (merge dict (default dict .labels) $release $own) | nindent 2 }}
{{- end -}}

{{- define "portprobe.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "portprobe.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* IP families of the services; empty for the default of the cluster. */}}
{{- define "portprobe.ipFamilies" -}}
{{- if (.Values.service.ipDualStack).enabled -}}
ipFamilies:
  {{- toYaml .Values.service.ipDualStack.ipFamilies | nindent 2 }}
ipFamilyPolicy: {{ .Values.service.ipDualStack.ipFamilyPolicy }}
{{- end -}}
{{- end -}}

{{- define "portprobe.image" -}}
{{- with .Values.image -}}
{{- with .registry }}{{ . }}/{{ end }}{{ .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end -}}

{{/* The configuration as text. */}}
{{- define "portprobe.config" -}}
{{- $config := deepCopy (default dict .Values.config) -}}
{{- if not (or $config.targets $config.discovery) -}}
{{- $_ := set $config "targets" (list "tcp://kubernetes.default:443") -}}
{{- end -}}
{{- if eq .Values.kind "DaemonSet" -}}
{{- $_ := set $config "labels" (merge (default dict $config.labels) (dict "node" "${NODE_NAME}")) -}}
{{- end -}}
{{- $text := toYaml $config -}}
{{- if gt (len $text) 1000000 -}}
{{- fail "config: larger than 1 MiB, the limit of a ConfigMap or Secret; discover the targets by HTTP or DNS" -}}
{{- end -}}
{{- $text -}}
{{- end -}}

{{/* Name of the Secret with the web configuration; empty without one. */}}
{{- define "portprobe.webSecret" -}}
{{- with .Values.webConfig -}}
{{- if .existingSecret -}}
{{- .existingSecret -}}
{{- else if .config -}}
{{- printf "%s-web" (include "portprobe.fullname" $) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Whether the port has TLS. */}}
{{- define "portprobe.webTls" -}}
{{- with .Values.webConfig -}}
{{- if ternary .tls (hasKey (default dict .config) "tls_server_config") (not (empty .existingSecret)) }}true{{ end -}}
{{- end -}}
{{- end -}}

{{/* The path before every route, without a slash at the end. */}}
{{- define "portprobe.urlPrefix" -}}
{{- with .Values.externalUrl -}}
{{- (urlParse .).path | trimSuffix "/" -}}
{{- end -}}
{{- end -}}

{{/* The web configuration as text. The kubelet has no password and no certificate. */}}
{{- define "portprobe.webConfig" -}}
{{- $config := deepCopy .Values.webConfig.config -}}
{{- if or $config.basic_auth_users ($config.tls_server_config).client_auth_type -}}
{{- $prefix := include "portprobe.urlPrefix" . -}}
{{- $paths := concat (default list $config.auth_excluded_paths) (list (printf "%s/-/healthy" $prefix) (printf "%s/-/ready" $prefix)) -}}
{{- $_ := set $config "auth_excluded_paths" (uniq $paths) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* Whether the chart creates the object with the configuration. */}}
{{- define "portprobe.ownConfig" -}}
{{- if not (or .Values.configExistingSecretName .Values.configExistingConfigMapName) }}true{{ end -}}
{{- end -}}

{{/* Endpoint of a monitor. Takes root and monitor. */}}
{{- define "portprobe.endpoint" -}}
port: http
path: {{ include "portprobe.urlPrefix" .root }}/metrics
{{- if include "portprobe.webTls" .root }}
scheme: https
{{- end }}
{{- with .monitor.tlsConfig }}
tlsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .monitor.basicAuth }}
basicAuth:
  {{- toYaml . | nindent 2 }}
{{- end }}
interval: {{ .monitor.interval }}
{{- with .monitor.scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
honorLabels: {{ .monitor.honorLabels }}
{{- $own := list }}
{{- $name := get (dict "StatefulSet" "__meta_kubernetes_pod_name" "DaemonSet" "__meta_kubernetes_pod_node_name") .root.Values.kind }}
{{- if $name }}
{{- $own = list (dict "sourceLabels" (list "__meta_kubernetes_namespace" $name) "separator" "/" "targetLabel" "instance") }}
{{- end }}
{{- if eq .root.Values.kind "DaemonSet" }}
{{- $own = append $own (dict "action" "labeldrop" "regex" "pod") }}
{{- end }}
{{- with concat $own (default list .monitor.relabelings) }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .monitor.metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Errors for values that exclude each other. */}}
{{- define "portprobe.refusals" -}}
{{- $values := .Values -}}
{{- if and $values.configExistingSecretName $values.configExistingConfigMapName -}}
{{- fail "configExistingSecretName: conflicts with configExistingConfigMapName; remove one" -}}
{{- end -}}
{{- if and $values.secretConfig (not (include "portprobe.ownConfig" .)) -}}
{{- fail "secretConfig: has no effect with an existing configuration; remove one" -}}
{{- end -}}
{{- if and ($values.serviceMonitor).enabled ($values.podMonitor).enabled -}}
{{- fail "serviceMonitor: conflicts with podMonitor, because both would scrape every pod; enable one" -}}
{{- end -}}
{{- if and $values.podDisruptionBudget (eq $values.kind "DaemonSet") -}}
{{- fail "podDisruptionBudget: has no effect on a DaemonSet, whose pods a drain does not evict; remove it" -}}
{{- end -}}
{{- if and (eq $values.kind "StatefulSet") (lt (int $values.replicas) 1) -}}
{{- fail "replicas: must be at least 1 in a StatefulSet, which distributes the targets to them" -}}
{{- end -}}
{{- if and $values.hostNetwork $values.hostPort (ne (int $values.hostPort) (int $values.containerPort)) -}}
{{- fail "hostPort: must equal containerPort with hostNetwork; set containerPort" -}}
{{- end -}}
{{- if and ($values.webConfig).config ($values.webConfig).existingSecret -}}
{{- fail "webConfig.config: conflicts with webConfig.existingSecret; remove one" -}}
{{- end -}}
{{- if (default dict ($values.webConfig).config).rate_limit -}}
{{- fail "webConfig.config.rate_limit: would refuse the probes of the kubelet, which restarts the pod; remove it, and restrict clients with networkPolicy" -}}
{{- end -}}
{{- $webSecret := include "portprobe.webSecret" . -}}
{{- range $values.extraArgs -}}
{{- if and $webSecret (hasPrefix "--web.config.file" .) -}}
{{- fail (printf "extraArgs: %s is set by the chart; use webConfig only" .) -}}
{{- end -}}
{{- if hasPrefix "--web.external-url" . -}}
{{- fail (printf "extraArgs: %s would move the paths of probes and monitors; set externalUrl instead" .) -}}
{{- end -}}
{{- if and (hasPrefix "--storage.path" .) (include "portprobe.isPersistent" $) -}}
{{- fail (printf "extraArgs: %s is set by the chart; use persistence only" .) -}}
{{- end -}}
{{- if or (hasPrefix "--config.file" .) (hasPrefix "--web.listen-address" .) (and (hasPrefix "--shard" .) (eq $values.kind "StatefulSet")) -}}
{{- fail (printf "extraArgs: %s is set by the chart; set config, containerPort or replicas instead" .) -}}
{{- end -}}
{{- end -}}
{{- $selecting := include "portprobe.selectorLabels" . | fromYaml -}}
{{- range $key, $labels := dict "commonLabels" $values.commonLabels "pod.labels" ($values.pod).labels "service.labels" $values.service.labels -}}
{{- range $label, $_ := $labels -}}
{{- if hasKey $selecting $label -}}
{{- fail (printf "%s: %s is reserved, because the chart selects pods by it; set nameOverride or rename the release" $key $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $key := list "extraVolumes" "extraConfigmapMounts" "extraSecretMounts" -}}
{{- range index $values $key -}}
{{- if has (toString .name) (list "config" "storage" "web-config") -}}
{{- fail (printf "%s: the name `%s` is reserved for a volume of the chart; choose another name" $key .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $flags := dict "PORTPROBE_CONFIG_FILE" "config" "PORTPROBE_WEB_LISTEN_ADDRESS" "containerPort" -}}
{{- if hasKey (default dict $values.extraEnv) "PORTPROBE_WEB_EXTERNAL_URL" -}}
{{- fail "extraEnv: PORTPROBE_WEB_EXTERNAL_URL would move the paths of probes and monitors; set externalUrl instead" -}}
{{- end -}}
{{- if $webSecret -}}
{{- $flags = set $flags "PORTPROBE_WEB_CONFIG_FILE" "webConfig" -}}
{{- end -}}
{{- $given := list "NODE_NAME" "POD_NAME" "POD_NAMESPACE" "POD_IP" -}}
{{- if eq $values.kind "StatefulSet" -}}
{{- $flags = set $flags "PORTPROBE_SHARD" "replicas" -}}
{{- $given = append $given "POD_INDEX" -}}
{{- end -}}
{{- if include "portprobe.isPersistent" . -}}
{{- $flags = set $flags "PORTPROBE_STORAGE_PATH" "persistence" -}}
{{- end -}}
{{- range $name, $_ := $values.extraEnv -}}
{{- if hasKey $flags $name -}}
{{- fail (printf "extraEnv: %s has no effect, because the chart sets the flag; set %s instead" $name (get $flags $name)) -}}
{{- end -}}
{{- if has $name $given -}}
{{- fail (printf "extraEnv: %s is set by the chart; choose another name" $name) -}}
{{- end -}}
{{- end -}}
{{- if and ($values.networkPolicy).enabled $values.hostNetwork -}}
{{- fail "networkPolicy: Kubernetes does not apply it to pods with hostNetwork; disable one" -}}
{{- end -}}
{{- range ($values.prometheusRule).files -}}
{{- if not ($.Files.Get (printf "rules/%s.yaml" .)) -}}
{{- fail (printf "prometheusRule.files: unknown file %s; expected a file in alerts/rules without .yaml" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Not empty if states and history are on a volume. */}}
{{- define "portprobe.isPersistent" -}}
{{- if and (eq .Values.kind "StatefulSet") .Values.persistence.enabled }}true{{ end -}}
{{- end -}}
