{{- /*
Names. Every template of a service is called with (dict "root" $ "key" "deviceRegistry"): the root of the chart and the
key of the service's block of values. The component ("device-registry") follows from the key, the name of its objects
("city-device-registry") from the release and the component. The part in front is cut so short that the longest name,
that of a migration job, still fits a label (63 characters).
*/ -}}

{{- define "maasloop.services" -}}
{{- list "ingest" "deviceRegistry" "timeseries" "actuation" "notification" "consent" | toJson -}}
{{- end -}}

{{- define "maasloop.enabledServices" -}}
{{- $enabled := list -}}
{{- range $key := include "maasloop.services" . | fromJsonArray -}}
{{- if (index $.Values $key).enabled }}{{ $enabled = append $enabled $key }}{{ end -}}
{{- end -}}
{{- $enabled | toJson -}}
{{- end -}}

{{- define "maasloop.fullname" -}}
{{- $name := .Values.fullnameOverride | default (contains .Chart.Name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name)) -}}
{{- $name | trunc 38 | trimSuffix "-" -}}
{{- end -}}

{{- define "maasloop.component" -}}
{{- kebabcase .key -}}
{{- end -}}

{{- define "maasloop.name" -}}
{{- printf "%s-%s" (include "maasloop.fullname" .root) (include "maasloop.component" .) -}}
{{- end -}}

{{- define "maasloop.module" -}}
{{- printf "maasloop.%s" (snakecase .key) -}}
{{- end -}}

{{- define "maasloop.variable" -}}
{{- printf "MAASLOOP_%s__" (snakecase .key | upper) -}}
{{- end -}}

{{- /* Services that run as a StatefulSet: each ordinal owns a partition. */ -}}
{{- define "maasloop.stateful" -}}
{{- has .key (list "timeseries" "actuation") | ternary "true" "" -}}
{{- end -}}

{{- /* Those of them that may have several partitions: as many as pods. */ -}}
{{- define "maasloop.partitioned" -}}
{{- hasKey (include "maasloop.schema" . | fromJson).properties "partitions" | ternary "true" "" -}}
{{- end -}}

{{- /* Whether something else than the chart decides on the number of pods. */ -}}
{{- define "maasloop.autoscaled" -}}
{{- $autoscaling := (index .root.Values .key).autoscaling -}}
{{- or $autoscaling.enabled $autoscaling.lag.enabled | ternary "true" "" -}}
{{- end -}}

{{- /* Priority classes belong to the cluster, so their names hold the namespace. */ -}}
{{- define "maasloop.priorityClass" -}}
{{- printf "%s-%s" (include "maasloop.name" .) .root.Release.Namespace | trimSuffix "-" -}}
{{- end -}}

{{- define "maasloop.priority" -}}
{{- (index .root.Values .key).priorityClassName | default (.root.Values.priorityClasses.enabled | ternary (include "maasloop.priorityClass" .) "") -}}
{{- end -}}

{{- /* The image of (dict "root" $ "image" …). */ -}}
{{- define "maasloop.image" -}}
{{- $name := .image.name -}}
{{- with .root.Values.global.imageRegistry }}{{ $name = printf "%s/%s" (trimSuffix "/" .) $name }}{{ end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
