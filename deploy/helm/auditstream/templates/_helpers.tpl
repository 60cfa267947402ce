{{- define "auditstream.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels that choose pods never change: a StatefulSet refuses it. */}}
{{- define "auditstream.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "auditstream.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "auditstream.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "auditstream.configMap" -}}
{{ .Values.existingConfigMap | default (include "auditstream.fullname" .) }}
{{- end -}}

{{/* The configuration with what the chart has to say in it. What config says itself counts. */}}
{{- define "auditstream.config" -}}
{{- $own := dict "observe" (dict "listen" "0.0.0.0:8081") "delivery" (dict "instance_id" "hostname") -}}
{{- if .Values.admin.enabled -}}
{{- $_ := set $own "admin" (dict "listen" (printf "0.0.0.0:%d" (int .Values.admin.service.port))) -}}
{{- end -}}
{{- if .Values.gateway.enabled -}}
{{- $_ := set $own "gateway" (dict "listen" (printf "0.0.0.0:%d" (int .Values.gateway.service.port))) -}}
{{- end -}}
{{- with .Values.integrity -}}
{{- if and .oldKey (not .existingSecret) -}}
{{- fail "integrity.oldKey needs integrity.existingSecret, the Secret that has both keys" -}}
{{- end -}}
{{- if .existingSecret -}}
{{- $keys := dict "key" (dict "file" (printf "/run/secrets/auditstream-integrity/%s" .key)) -}}
{{- if .oldKey -}}
{{- $_ := set $keys "old_key" (dict "file" (printf "/run/secrets/auditstream-integrity/%s" .oldKey)) -}}
{{- end -}}
{{- $_ := set $own "integrity" $keys -}}
{{- end -}}
{{- end -}}
{{- mergeOverwrite $own (deepCopy .Values.config) | toYaml -}}
{{- end -}}

{{/* What all pods have in common. Takes root, component, args, port (of what the component serves beside metrics, or 0; it has the component's name), resources, signs (whether it gets the key that signs checkpoints); and where they differ grace (seconds to stop in) and pause (seconds before it is told to stop). */}}
{{- define "auditstream.pod" -}}
{{- $v := .root.Values -}}
metadata:
  labels:
    {{- include "auditstream.selector" (dict "root" .root "component" .component) | nindent 4 }}
    {{- with $v.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  annotations:
    {{- if not $v.existingConfigMap }}
    # A change of the configuration replaces the pods, one after the other.
    checksum/config: {{ include "auditstream.config" .root | sha256sum }}
    {{- end }}
    {{- if $v.metrics.annotations }}
    prometheus.io/scrape: "true"
    prometheus.io/port: "8081"
    {{- end }}
    {{- with $v.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  serviceAccountName: {{ include "auditstream.fullname" .root }}
  automountServiceAccountToken: {{ $v.serviceAccount.automount }}
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .grace | default $v.terminationGracePeriodSeconds }}
  {{- with $v.imagePullSecrets }}
  imagePullSecrets: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    seccompProfile: {type: RuntimeDefault}
  containers:
    - name: auditstream
      image: {{ include "auditstream.image" .root }}
      imagePullPolicy: {{ $v.image.pullPolicy }}
      args: {{ toJson .args }}
      {{- with $v.secrets.env }}
      envFrom:
        {{- range . }}
        - secretRef: {name: {{ . }}}
        {{- end }}
      {{- end }}
      {{- with $v.env }}
      env: {{ toYaml . | nindent 8 }}
      {{- end }}
      ports:
        {{- if .port }}
        - {name: {{ .component }}, containerPort: {{ .port }}}
        {{- end }}
        - {name: metrics, containerPort: 8081}
      {{- if and .pause (semverCompare ">=1.30-0" .root.Capabilities.KubeVersion.Version) }}
      # Proxies learn at the same moment as the pod that it is to end: until they have, it goes on.
      lifecycle:
        preStop: {sleep: {seconds: {{ .pause }}}}
      {{- end }}
      # Sound as long as the process answers; a Kafka that is away is no reason to restart.
      livenessProbe:
        httpGet: {path: /healthz, port: {{ ternary .component "metrics" (gt (int .port) 0) }}, scheme: {{ ternary "HTTPS" "HTTP" (and (gt (int .port) 0) (hasKey (dig .component dict $v.config) "tls")) }}}
        periodSeconds: 10
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /readyz, port: {{ ternary .component "metrics" (gt (int .port) 0) }}, scheme: {{ ternary "HTTPS" "HTTP" (and (gt (int .port) 0) (hasKey (dig .component dict $v.config) "tls")) }}}
        periodSeconds: 5
      resources: {{ toYaml .resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      volumeMounts:
        - {name: config, mountPath: /etc/auditstream, readOnly: true}
        {{- if and .signs $v.integrity.existingSecret }}
        - {name: integrity, mountPath: /run/secrets/auditstream-integrity, readOnly: true}
        {{- end }}
        {{- range $v.secrets.files }}
        - {name: secret-{{ . }}, mountPath: /run/secrets/{{ . }}, readOnly: true}
        {{- end }}
  volumes:
    - name: config
      configMap: {name: {{ include "auditstream.configMap" .root }}}
    {{- if and .signs $v.integrity.existingSecret }}
    - name: integrity
      secret:
        secretName: {{ $v.integrity.existingSecret }}
        defaultMode: 0440
        # A key that lacks keeps the pod from starting, as it would keep auditstream from it.
        items:
          - {key: {{ $v.integrity.key }}, path: {{ $v.integrity.key }}}
          {{- with $v.integrity.oldKey }}
          - {key: {{ . }}, path: {{ . }}}
          {{- end }}
    {{- end }}
    {{- range $v.secrets.files }}
    - name: secret-{{ . }}
      secret: {secretName: {{ . }}, defaultMode: 0440}
    {{- end }}
  {{- with $v.nodeSelector }}
  nodeSelector: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.tolerations }}
  tolerations: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.affinity }}
  affinity: {{ toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- if $v.topologySpreadConstraints }}
    {{- toYaml $v.topologySpreadConstraints | nindent 4 }}
    {{- else }}
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "auditstream.selector" (dict "root" $.root "component" $.component) | nindent 10 }}
    {{- end }}
    {{- end }}
{{- end -}}

{{/* The consumer group of a kind, as the program names it. */}}
{{- define "auditstream.group" -}}
{{- if eq .prefix "audit" -}}
auditstream.{{ .kind }}
{{- else -}}
auditstream.{{ .prefix }}.{{ .kind }}
{{- end -}}
{{- end -}}
