{{- /*
Servers of its own, for a laptop and for tests: one NATS and one PostgreSQL with TimescaleDB, each a StatefulSet of one pod. A
city takes its servers from their own operators or charts, which know how to run three of them. With one of these the jobs
cannot run before the release, because their servers are part of it: then they are plain jobs of it, named by its revision.
*/ -}}

{{- define "maasloop.embedded" -}}
{{- or .Values.nats.embedded.enabled .Values.postgres.embedded.enabled | ternary "true" "" -}}
{{- end -}}

{{- define "maasloop.natsUrl" -}}
{{- .Values.nats.embedded.enabled | ternary (printf "nats://%s-nats:4222" (include "maasloop.fullname" .)) .Values.nats.url -}}
{{- end -}}

{{- define "maasloop.mqttUrl" -}}
{{- .Values.nats.embedded.enabled | ternary (printf "mqtt://%s-nats:1883" (include "maasloop.fullname" .)) .Values.nats.mqttUrl -}}
{{- end -}}

{{- /* For (dict "root" $ "key" "nats"): key and component are alike. */ -}}
{{- define "maasloop.embeddedServer" -}}
{{- $server := (index .root.Values .key).embedded -}}
apiVersion: apps/v1
kind: StatefulSet
metadata:
  {{- include "maasloop.metadata" . | nindent 2 }}
spec:
  replicas: {{ $server.replicas }}
  serviceName: {{ include "maasloop.name" . }}
  selector:
    matchLabels:
      {{- include "maasloop.selector" . | nindent 6 }}
  template:
    metadata:
      annotations:
        maasloop.io/settings-checksum: {{ include (printf "maasloop.%sFiles" .key) .root | sha256sum }}
      labels:
        {{- include "maasloop.labels" . | nindent 8 }}
    spec:
      terminationGracePeriodSeconds: 60
      {{- include "maasloop.podSecurity" .root | nindent 6 }}
      containers:
        - name: {{ .key }}
          image: {{ include "maasloop.image" (dict "root" .root "image" $server.image) }}
          imagePullPolicy: {{ $server.image.pullPolicy }}
          {{- include "maasloop.containerSecurity" . | nindent 10 }}
          {{- include (printf "maasloop.%sProcess" .key) .root | nindent 10 }}
          resources:
            {{- toYaml $server.resources | nindent 12 }}
          volumeMounts:
            - {name: settings, mountPath: /etc/{{ .key }}, readOnly: true}
            - {name: secret, mountPath: /run/maasloop/{{ .key }}, readOnly: true}
            - {name: data, mountPath: /data}
            - {name: tmp, mountPath: /tmp}
      volumes:
        - name: settings
          configMap:
            name: {{ include "maasloop.name" . }}
        - name: secret
          secret:
            secretName: {{ $server.secret }}
            defaultMode: 0440
        {{- if not $server.storage }}
        - name: data
          emptyDir: {}
        {{- end }}
        {{- include "maasloop.temporaryFiles" . | nindent 8 }}
  {{- with $server.storage }}
  volumeClaimTemplates:
    - metadata:
        name: data
      spec:
        accessModes: ["ReadWriteOnce"]
        resources:
          requests:
            storage: {{ . }}
  {{- end }}
{{- end -}}

{{- define "maasloop.embeddedConfigMap" -}}
apiVersion: v1
kind: ConfigMap
metadata:
  {{- include "maasloop.metadata" . | nindent 2 }}
data:
  {{- include (printf "maasloop.%sFiles" .key) .root | nindent 2 }}
{{- end -}}

{{- /* With "ports": name → number. */ -}}
{{- define "maasloop.embeddedService" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "maasloop.metadata" . | nindent 2 }}
spec:
  clusterIP: None
  selector:
    {{- include "maasloop.selector" . | nindent 4 }}
  ports:
    {{- range $name, $port := .ports }}
    - {name: {{ $name }}, port: {{ $port }}, targetPort: {{ $name }}}
    {{- end }}
{{- end -}}

{{- /* In come pods of this release, on the ports of clients; out goes nothing but names. */ -}}
{{- define "maasloop.embeddedNetworkPolicy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "maasloop.metadata" . | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "maasloop.selector" . | nindent 6 }}
  policyTypes: ["Ingress", "Egress"]
  ingress:
    - from:
        - podSelector:
            matchLabels:
              app.kubernetes.io/name: {{ .root.Chart.Name }}
              app.kubernetes.io/instance: {{ .root.Release.Name }}
      ports:
        {{- range $name, $_ := .ports }}
        - port: {{ $name }}
        {{- end }}
  egress:
    - ports:
        - {port: 53, protocol: UDP}
        - {port: 53, protocol: TCP}
{{- end -}}
