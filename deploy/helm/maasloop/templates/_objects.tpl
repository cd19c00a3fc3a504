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
      appProtocol: {{ eq $name "health" | ternary "http" "https" }}
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
{{- $pods := $values.autoscaling.enabled | ternary $values.autoscaling.min $values.replicas | int -}}
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
