{{- /*
Settings. files/settings/<component>.schema.json is exported from the code and says which settings a service has.
"maasloop.settings" returns those that the chart gives it, as JSON: what follows from the chart (addresses of NATS, of
listeners, of neighbours), over it what all services are told, over it the service's own. A default of the code is left
to the code. "maasloop.setting" returns one value, of the code where the chart gives none: the chart needs some of them
itself, for ports and for the time a pod gets to end. JSON and not YAML, because Helm writes large numbers of YAML in a
way that other readers take for text.
*/ -}}

{{- define "maasloop.schema" -}}
{{- .root.Files.Get (printf "files/settings/%s.schema.json" (include "maasloop.component" .)) -}}
{{- end -}}

{{- /* Keys of the services that this one calls: those for which it has an address setting. */ -}}
{{- define "maasloop.neighbours" -}}
{{- $properties := (include "maasloop.schema" . | fromJson).properties -}}
{{- $neighbours := list -}}
{{- range $key := include "maasloop.services" . | fromJsonArray -}}
{{- if hasKey $properties (printf "%s_address" (snakecase $key)) }}{{ $neighbours = append $neighbours $key }}{{ end -}}
{{- end -}}
{{- $neighbours | toJson -}}
{{- end -}}

{{- define "maasloop.settings" -}}
{{- $properties := (include "maasloop.schema" . | fromJson).properties -}}
{{- $values := index .root.Values .key -}}
{{- $settings := dict "nats_url" (include "maasloop.natsUrl" .root) "migrate_at_start" (not .root.Values.migrate.enabled) -}}
{{- range $setting, $port := dict "grpc_address" 50051 "health_address" 8080 "http_address" 8081 -}}
{{- if hasKey $properties $setting }}{{ $_ := set $settings $setting (printf "0.0.0.0:%d" $port) }}{{ end -}}
{{- end -}}
{{- range $setting, $file := dict "tls_certificate_file" "tls.crt" "tls_key_file" "tls.key" "tls_ca_file" "ca.crt" -}}
{{- $_ := set $settings $setting (printf "/run/maasloop/tls/%s" $file) -}}
{{- end -}}
{{- $natsFiles := dict "nats_credentials_file" "user.creds" "nats_ca_file" "ca.crt" "downlink_credentials_file" "downlink.creds" "callout_directory" "" -}}
{{- range $setting, $file := $natsFiles -}}
{{- if hasKey $properties $setting }}{{ $_ := set $settings $setting (printf "/run/maasloop/nats/%s" $file | trimSuffix "/") }}{{ end -}}
{{- end -}}
{{- $keyFiles := dict "audit_keys_directory" "" "command_key_file" "command.key" "command_keys_file" "verification-keys.json" "webhook_key_file" "webhook.key" -}}
{{- range $setting, $file := $keyFiles -}}
{{- if hasKey $properties $setting }}{{ $_ := set $settings $setting (printf "/run/maasloop/keys/%s" $file | trimSuffix "/") }}{{ end -}}
{{- end -}}
{{- range $neighbour := include "maasloop.neighbours" . | fromJsonArray -}}
{{- $there := dict "root" $.root "key" $neighbour -}}
{{- $listens := (index $.root.Values $neighbour).settings.grpc_address | default "0.0.0.0:50051" -}}
{{- $address := printf "%s:%s" (include "maasloop.name" $there) (include "maasloop.portOf" $listens) -}}
{{- $_ := set $settings (printf "%s_address" (snakecase $neighbour)) $address -}}
{{- end -}}
{{- if include "maasloop.partitioned" . }}{{ $_ := set $settings "partitions" (int $values.replicas) }}{{ end -}}
{{- if and .root.Values.access.tokensSecret (include "maasloop.signsTokens" .) -}}
{{- $_ := set $settings "token_signing_key_file" "/run/maasloop/tokens/signing-key.json" -}}
{{- end -}}
{{- range $setting, $value := .root.Values.settings }}{{ $_ := set $settings $setting $value }}{{ end -}}
{{- range $setting, $value := $values.settings }}{{ $_ := set $settings $setting $value }}{{ end -}}
{{- with include "maasloop.accessSettings" . | fromJson }}{{ $_ := set $settings "access" . }}{{ end -}}
{{- $settings | toRawJson -}}
{{- end -}}

{{- /* The nested settings of access, of which each may be told in another place. */ -}}
{{- define "maasloop.accessSettings" -}}
{{- $access := dict -}}
{{- if .root.Values.access.tokensSecret }}{{ $_ := set $access "program_keys_file" "/run/maasloop/tokens/keys.json" }}{{ end -}}
{{- if .root.Values.access.grantsConfigMap }}{{ $_ := set $access "grants_file" "/run/maasloop/grants/grants.toml" }}{{ end -}}
{{- if .root.Values.access.providerCaConfigMap }}{{ $_ := set $access "provider_ca_file" "/run/maasloop/provider/ca.crt" }}{{ end -}}
{{- range list .root.Values.settings (index .root.Values .key).settings -}}
{{- $access = mergeOverwrite $access (deepCopy (.access | default dict)) -}}
{{- end -}}
{{- $access | toRawJson -}}
{{- end -}}

{{- /* The service that exchanges keys of programs for tokens. */ -}}
{{- define "maasloop.signsTokens" -}}
{{- hasKey (include "maasloop.schema" . | fromJson).properties "token_signing_key_file" | ternary "true" "" -}}
{{- end -}}

{{- define "maasloop.setting" -}}
{{- $settings := include "maasloop.settings" . | fromJson -}}
{{- if hasKey $settings .setting -}}
{{- index $settings .setting -}}
{{- else -}}
{{- (index (include "maasloop.schema" . | fromJson).properties .setting).default -}}
{{- end -}}
{{- end -}}

{{- /* The port of host:port. */ -}}
{{- define "maasloop.portOf" -}}
{{- regexFind "[0-9]+$" . -}}
{{- end -}}

{{- /* The listeners of a service as JSON: name of the port → number. */ -}}
{{- define "maasloop.ports" -}}
{{- $settings := include "maasloop.settings" . | fromJson -}}
{{- $ports := dict -}}
{{- range $name := list "grpc" "public-grpc" "health" "http" "rsmp" -}}
{{- with index $settings (printf "%s_address" (snakecase $name)) }}{{ $_ := set $ports $name (include "maasloop.portOf" . | int) }}{{ end -}}
{{- end -}}
{{- $ports | toJson -}}
{{- end -}}

{{- /* Ports of NATS in a list of addresses, as a JSON list. */ -}}
{{- define "maasloop.natsPorts" -}}
{{- $ports := list -}}
{{- range splitList "," . }}{{ $ports = append $ports (regexFind ":[0-9]+$" (trim . | trimSuffix "/") | trimPrefix ":" | default "4222" | int) }}{{ end -}}
{{- $ports | uniq | toJson -}}
{{- end -}}
