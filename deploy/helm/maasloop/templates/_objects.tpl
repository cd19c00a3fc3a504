{{- /*
The smaller objects of a service. Each is empty where the service, or what the object is for, is switched off.
*/ -}}

{{- define "maasloop.service" -}}
{{- if (index .root.Values .key).enabled -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "maasloop.metadata" . | nindent 2 }}
spec:
  {{- if include "maasloop.stateful" . }}
  clusterIP: None
  {{- end }}
  selector:
    {{- include "maasloop.selector" . | nindent 4 }}
  ports:
    {{- range $name, $port := include "maasloop.ports" . | fromJson }}
    - name: {{ $name }}
      port: {{ $port }}
      targetPort: {{ $name }}
      appProtocol: {{ get (dict "health" "http" "rsmp" "tcp") $name | default "https" }}
    {{- end }}
{{- end }}
{{- end -}}

{{- define "maasloop.configmap" -}}
{{- if (index .root.Values .key).enabled -}}
apiVersion: v1
kind: ConfigMap
metadata:
  {{- include "maasloop.metadata" . | nindent 2 }}
data:
  settings.json: |
    {{- include "maasloop.settings" . | fromJson | toPrettyJson | nindent 4 }}
{{- end }}
{{- end -}}

{{- define "maasloop.serviceaccount" -}}
{{- if (index .root.Values .key).enabled -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "maasloop.metadata" . | nindent 2 }}
automountServiceAccountToken: false
{{- end }}
{{- end -}}

{{- define "maasloop.pdb" -}}
{{- $values := index .root.Values .key -}}
{{- $pods := eq (include "maasloop.autoscaled" .) "true" | ternary $values.autoscaling.min $values.replicas | int -}}
{{- if and $values.enabled $values.pdb.enabled (gt $pods 1) -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "maasloop.metadata" . | nindent 2 }}
spec:
  {{- range $name := list "minAvailable" "maxUnavailable" }}
  {{- with index $values.pdb $name | toString }}
  {{ $name }}: {{ . }}
  {{- end }}
  {{- end }}
  selector:
    matchLabels:
      {{- include "maasloop.selector" . | nindent 6 }}
{{- end }}
{{- end -}}

{{- define "maasloop.autoscaling" -}}
{{- $values := index .root.Values .key -}}
{{- if and $values.enabled $values.autoscaling.enabled -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "maasloop.metadata" . | nindent 2 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ include "maasloop.name" . }}
  minReplicas: {{ $values.autoscaling.min }}
  maxReplicas: {{ $values.autoscaling.max }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {{ $values.autoscaling.targetCPU }}
{{- end }}
{{- end -}}

{{- /* By the messages that wait for a durable: KEDA reads them from the monitoring page of NATS. */ -}}
{{- define "maasloop.scaledobject" -}}
{{- $values := index .root.Values .key -}}
{{- if and $values.enabled $values.autoscaling.lag.enabled -}}
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  {{- include "maasloop.metadata" . | nindent 2 }}
spec:
  scaleTargetRef:
    name: {{ include "maasloop.name" . }}
  minReplicaCount: {{ $values.autoscaling.min }}
  maxReplicaCount: {{ $values.autoscaling.max }}
  triggers:
    - type: nats-jetstream
      metadata:
        natsServerMonitoringEndpoint: {{ .root.Values.nats.monitoringEndpoint | quote }}
        account: {{ .root.Values.nats.account | quote }}
        stream: {{ $values.autoscaling.lag.stream | quote }}
        consumer: {{ $values.autoscaling.lag.consumer | quote }}
        lagThreshold: {{ $values.autoscaling.lag.threshold | quote }}
{{- end }}
{{- end -}}

{{- /* Actuation stands above all: where nodes are short of room, the others go before it. */ -}}
{{- define "maasloop.priorityclass" -}}
{{- if and (index .root.Values .key).enabled .root.Values.priorityClasses.enabled -}}
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata:
  name: {{ include "maasloop.priorityClass" . }}
  labels:
    {{- include "maasloop.labels" . | nindent 4 }}
value: {{ eq .key "actuation" | ternary .root.Values.priorityClasses.actuation .root.Values.priorityClasses.others | int }}
description: {{ printf "Pods of %s in %s" (include "maasloop.component" .) .root.Release.Namespace | quote }}
{{- end }}
{{- end -}}

{{- /* By cert-manager: who a service is, and the names under which it answers (README.md). */ -}}
{{- define "maasloop.certificate" -}}
{{- $values := index .root.Values .key -}}
{{- $by := .root.Values.certManager -}}
{{- if and $values.enabled $by.enabled -}}
apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  {{- include "maasloop.metadata" . | nindent 2 }}
spec:
  secretName: {{ $values.tlsSecret }}
  duration: 24h
  renewBefore: 8h
  privateKey: {algorithm: ECDSA, size: 256, rotationPolicy: Always}
  usages: ["digital signature", "server auth", "client auth"]
  uris: [{{ printf "spiffe://%s/service/%s" $by.trustDomain (include "maasloop.component" .) | quote }}]
  dnsNames:
    - {{ include "maasloop.component" . }}.{{ $by.trustDomain }}
    - {{ include "maasloop.name" . }}
    - {{ include "maasloop.name" . }}.{{ .root.Release.Namespace }}.svc
  issuerRef: {{ toJson $by.issuerRef }}
{{- end }}
{{- end -}}

{{- define "maasloop.servicemonitor" -}}
{{- $values := index .root.Values .key -}}
{{- if and $values.enabled $values.serviceMonitor.enabled -}}
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  {{- include "maasloop.metadata" . | nindent 2 }}
    {{- with $values.serviceMonitor.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  selector:
    matchLabels:
      {{- include "maasloop.selector" . | nindent 6 }}
  endpoints:
    - port: health
      path: /metrics
      interval: {{ $values.serviceMonitor.interval }}
{{- end }}
{{- end -}}
