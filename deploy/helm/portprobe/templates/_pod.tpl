{{/* The pod, the same for each kind. It does not depend on the content of the configuration, because portprobe reloads it. */}}
{{- define "portprobe.podTemplate" -}}
metadata:
  labels:
    {{- $labels := include "portprobe.labels" . | fromYaml }}
    {{- /* Without the labels of versions, so that a new chart version does not restart pods. */}}
    {{- $labels = omit $labels "helm.sh/chart" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" }}
    {{- toYaml (merge dict (default dict (.Values.pod).labels) $labels) | nindent 4 }}
  {{- with .Values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "portprobe.serviceAccountName" . | quote }}
  automountServiceAccountToken: {{ .Values.automountServiceAccountToken }}
  # Variables of services named portprobe-.. could be taken for flags.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . | quote }}
    {{- end }}
  {{- end }}
  {{- if .Values.hostNetwork }}
  hostNetwork: true
  {{- end }}
  {{- with .Values.dnsPolicy | default (ternary "ClusterFirstWithHostNet" "" .Values.hostNetwork) }}
  dnsPolicy: {{ . }}
  {{- end }}
  {{- range $key := list "dnsConfig" "hostAliases" "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" }}
  {{- with get $.Values $key }}
  {{ $key }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  {{- with .Values.extraInitContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: portprobe
      image: {{ include "portprobe.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        - --config.file=/etc/portprobe/portprobe.yaml
        - --web.listen-address=:{{ .Values.containerPort }}
        {{- if include "portprobe.webSecret" . }}
        - --web.config.file=/etc/portprobe-web/web.yml
        {{- end }}
        {{- with .Values.externalUrl }}
        - {{ printf "--web.external-url=%s" . | quote }}
        {{- end }}
        {{- if eq .Values.kind "StatefulSet" }}
        - --shard=$(POD_INDEX)/{{ .Values.replicas }}
        {{- end }}
        {{- if include "portprobe.isPersistent" . }}
        - --storage.path=/var/lib/portprobe
        {{- end }}
        {{- with .Values.extraArgs }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      env:
        - name: NODE_NAME
          valueFrom: { fieldRef: { fieldPath: spec.nodeName } }
        - name: POD_NAME
          valueFrom: { fieldRef: { fieldPath: metadata.name } }
        - name: POD_NAMESPACE
          valueFrom: { fieldRef: { fieldPath: metadata.namespace } }
        - name: POD_IP
          valueFrom: { fieldRef: { fieldPath: status.podIP } }
        {{- if eq .Values.kind "StatefulSet" }}
        - name: POD_INDEX
          valueFrom: { fieldRef: { fieldPath: "metadata.labels['apps.kubernetes.io/pod-index']" } }
        {{- end }}
        {{- range $name, $value := .Values.extraEnv }}
        - name: {{ $name | quote }}
          value: {{ ternary $value (toJson $value) (kindIs "string" $value) | quote }}
        {{- end }}
      {{- with .Values.extraEnvFromSecret }}
      envFrom:
        {{- range . }}
        - secretRef:
            name: {{ . | quote }}
        {{- end }}
      {{- end }}
      ports:
        - name: http
          containerPort: {{ .Values.containerPort }}
          {{- with .Values.hostPort }}
          hostPort: {{ . }}
          {{- end }}
      {{- range $key := list "livenessProbe" "readinessProbe" "startupProbe" }}
      {{- with get $.Values $key }}
      {{- $probe := deepCopy . }}
      {{- with $probe.httpGet }}
      {{- $_ := set . "path" (printf "%s%s" (include "portprobe.urlPrefix" $) (default "/" .path)) }}
      {{- end }}
      {{- if and $probe.httpGet (include "portprobe.webTls" $) }}
      {{- $_ := set $probe "httpGet" (merge $probe.httpGet (dict "scheme" "HTTPS")) }}
      {{- end }}
      {{ $key }}:
        {{- toYaml $probe | nindent 8 }}
      {{- end }}
      {{- end }}
      {{- range $key := list "resources" "securityContext" }}
      {{- with get $.Values $key }}
      {{ $key }}:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- end }}
      volumeMounts:
        # The whole directory, because Kubernetes does not update subPath mounts.
        - name: config
          mountPath: /etc/portprobe
          readOnly: true
        {{- if include "portprobe.webSecret" . }}
        - name: web-config
          mountPath: /etc/portprobe-web
          readOnly: true
        {{- end }}
        {{- if include "portprobe.isPersistent" . }}
        - name: storage
          mountPath: /var/lib/portprobe
        {{- end }}
        {{- range concat (default list .Values.extraConfigmapMounts) (default list .Values.extraSecretMounts) }}
        - name: {{ .name | quote }}
          mountPath: {{ .mountPath | quote }}
          readOnly: true
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- with .Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    - name: config
      {{- if or .Values.secretConfig .Values.configExistingSecretName }}
      secret:
        secretName: {{ .Values.configExistingSecretName | default (include "portprobe.fullname" .) | quote }}
      {{- else }}
      configMap:
        name: {{ .Values.configExistingConfigMapName | default (include "portprobe.fullname" .) | quote }}
      {{- end }}
    {{- with include "portprobe.webSecret" . }}
    - name: web-config
      secret:
        secretName: {{ . | quote }}
    {{- end }}
    {{- range .Values.extraConfigmapMounts }}
    - name: {{ .name | quote }}
      configMap:
        name: {{ .configMap | quote }}
        {{- with .defaultMode }}
        defaultMode: {{ . }}
        {{- end }}
    {{- end }}
    {{- range .Values.extraSecretMounts }}
    - name: {{ .name | quote }}
      secret:
        secretName: {{ .secretName | quote }}
        {{- with .defaultMode }}
        defaultMode: {{ . }}
        {{- end }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
