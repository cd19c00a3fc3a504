{{- /*
Workloads. A service file includes "maasloop.deployment" or "maasloop.statefulset"; both hold the same pod. The settings
are a file from the ConfigMap, whose checksum rolls the pods when it changes; the connection string comes from the
Secret. Certificates and credentials of NATS are mounted whole, never by subPath, so that renewed ones arrive while the
process runs. A process ends within twice drain_s and 10 s, so a pod gets 5 s more than that.
*/ -}}

{{- define "maasloop.deployment" -}}
{{- $values := index .root.Values .key -}}
{{- if $values.enabled -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "maasloop.metadata" . | nindent 2 }}
spec:
  {{- if not (include "maasloop.autoscaled" .) }}
  replicas: {{ $values.replicas }}
  {{- end }}
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxUnavailable: 0
      maxSurge: 1
  {{- include "maasloop.pods" . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "maasloop.statefulset" -}}
{{- $values := index .root.Values .key -}}
{{- if $values.enabled -}}
apiVersion: apps/v1
kind: StatefulSet
metadata:
  {{- include "maasloop.metadata" . | nindent 2 }}
spec:
  replicas: {{ $values.replicas }}
  serviceName: {{ include "maasloop.name" . }}
  podManagementPolicy: Parallel
  {{- include "maasloop.pods" . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "maasloop.pods" -}}
{{- $values := index .root.Values .key -}}
selector:
  matchLabels:
    {{- include "maasloop.selector" . | nindent 4 }}
template:
  metadata:
    annotations:
      maasloop.io/settings-checksum: {{ include "maasloop.settings" . | sha256sum }}
      {{- with $values.podAnnotations }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    labels:
      {{- include "maasloop.labels" . | nindent 6 }}
      {{- with include "maasloop.access" . | trim }}{{ . | nindent 6 }}{{ end }}
  spec:
    serviceAccountName: {{ include "maasloop.name" . }}
    terminationGracePeriodSeconds: {{ include "maasloop.setting" (merge (dict "setting" "drain_s") .) | float64 | mulf 2 | addf 15 | ceil | int }}
    {{- with include "maasloop.priority" . }}
    priorityClassName: {{ . }}
    {{- end }}
    {{- include "maasloop.podSecurity" .root | nindent 4 }}
    containers:
      - name: {{ include "maasloop.component" . }}
        {{- include "maasloop.container" . | nindent 8 }}
    volumes:
      - name: settings
        configMap:
          name: {{ include "maasloop.name" . }}
      - name: tls
        secret:
          secretName: {{ $values.tlsSecret }}
          defaultMode: 0440
      - name: nats
        secret:
          secretName: {{ $values.natsSecret }}
          defaultMode: 0440
      - name: keys
        secret:
          secretName: {{ $values.keysSecret }}
          defaultMode: 0440
      {{- with include "maasloop.accessVolumes" . | trim }}{{ . | nindent 6 }}{{ end }}
      {{- include "maasloop.temporaryFiles" . | nindent 6 }}
    {{- range $name := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" }}
    {{- with index $values $name }}
    {{ $name }}:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- end }}
{{- end -}}

{{- define "maasloop.container" -}}
{{- $values := index .root.Values .key -}}
image: {{ include "maasloop.image" (dict "root" .root "image" $values.image) }}
imagePullPolicy: {{ $values.image.pullPolicy }}
command: ["python", "-m", {{ include "maasloop.module" . | quote }}]
{{ include "maasloop.containerSecurity" . }}
env:
  - name: {{ include "maasloop.variable" . }}SETTINGS_FILE
    value: /etc/maasloop/settings.json
  {{- include "maasloop.postgresVariable" . | nindent 2 }}
  {{- with include "maasloop.partitionVariable" . }}{{ . | nindent 2 }}{{ end }}
  {{- with include "maasloop.extraVariables" . | trim }}{{ . | nindent 2 }}{{ end }}
ports:
  {{- range $name, $port := include "maasloop.ports" . | fromJson }}
  - name: {{ $name }}
    containerPort: {{ $port }}
  {{- end }}
{{- range $probe, $path := dict "startup" "startup" "liveness" "live" "readiness" "ready" }}
{{ $probe }}Probe:
  httpGet:
    path: /health/{{ $path }}
    port: health
  {{- toYaml (index $values.probes $probe) | nindent 2 }}
{{- end }}
resources:
  {{- toYaml $values.resources | nindent 2 }}
volumeMounts:
  - name: settings
    mountPath: /etc/maasloop
    readOnly: true
  - name: tls
    mountPath: /run/maasloop/tls
    readOnly: true
  - name: nats
    mountPath: /run/maasloop/nats
    readOnly: true
  - name: keys
    mountPath: /run/maasloop/keys
    readOnly: true
  {{- $access := .root.Values.access }}
  {{- range $folder, $source := dict "tokens" $access.tokensSecret "grants" $access.grantsConfigMap "provider" $access.providerCaConfigMap }}
  {{- if $source }}
  - name: {{ $folder }}
    mountPath: /run/maasloop/{{ $folder }}
    readOnly: true
  {{- end }}
  {{- end }}
  - name: tmp
    mountPath: /tmp
{{- end -}}

{{- /* What a service needs to know people and programs by. Only the service that signs tokens sees the private key. */ -}}
{{- define "maasloop.accessVolumes" -}}
{{- with .root.Values.access.tokensSecret }}
- name: tokens
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items:
      - {key: keys.json, path: keys.json}
      {{- if include "maasloop.signsTokens" $ }}
      - {key: signing-key.json, path: signing-key.json}
      {{- end }}
{{- end }}
{{- with .root.Values.access.grantsConfigMap }}
- name: grants
  configMap:
    name: {{ . }}
{{- end }}
{{- with .root.Values.access.providerCaConfigMap }}
- name: provider
  configMap:
    name: {{ . }}
{{- end }}
{{- end -}}
