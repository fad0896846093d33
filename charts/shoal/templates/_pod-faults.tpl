{{/* What is wrong with what pods are given. Arguments: root, facts. */}}
{{- define "shoal.podFaults" -}}
{{- $given := . -}}
{{- range $part := list "agent" "origin" "tracker" -}}
{{- $of := index $given.root.Values $part -}}
{{- $arguments := merge (dict "part" $part "of" $of "component" $part) $given -}}
{{- include "shoal.environmentFaults" $arguments -}}
{{- include "shoal.tolerationFaults" $arguments -}}
{{- include "shoal.volumeFaults" $arguments -}}
{{- $labels := include "shoal.labels" $arguments | fromYaml -}}
{{- range $name, $_ := $of.podLabels -}}
{{- if hasKey $labels $name }}
{{ printf "%s.podLabels has %s, which is the chart's: other labels are allowed" $part $name }}
{{- end }}
{{- end -}}
{{- range $name, $_ := $of.podAnnotations -}}
{{- if hasPrefix "checksum/" $name }}
{{ printf "%s.podAnnotations has %s, which is the chart's: other annotations are allowed" $part $name }}
{{- end }}
{{- end -}}
{{- include "shoal.resourceFaults" (dict "path" (print $part ".resources") "resources" $of.resources "memory" "128Mi" "facts" $given.facts) -}}
{{- end -}}
{{- include "shoal.resourceFaults" (dict "path" "mirror.resources" "resources" .root.Values.mirror.resources "memory" "64Mi" "facts" .facts) -}}
{{- end -}}

{{/* Arguments: root, facts, part, of, component. */}}
{{- define "shoal.environmentFaults" -}}
{{- $part := .part -}}
{{- $knobs := index .facts.parts $part "variables" -}}
{{- range .of.extraEnv -}}
{{- $knob := get $knobs .name -}}
{{- if and (hasKey . "value") (hasKey . "valueFrom") }}
{{ printf "%s.extraEnv gives %s a value and a valueFrom: one of them is allowed" $part .name }}
{{- else if and $knob (hasKey . "value") }}
{{ printf "%s.extraEnv gives %s a value: that is said by %s.config.%s" $part .name $part $knob }}
{{- else if and (hasPrefix "SHOAL_" .name) (not $knob) (ne .name "SHOAL_DEBUG") }}
{{ printf "%s.extraEnv has %s, which is no knob of the %s, or one that the chart sets" $part .name $part }}
{{- end }}
{{- /* There may be a password in it. */}}
{{- if and (has (upper .name) (list "HTTP_PROXY" "HTTPS_PROXY")) (not (regexMatch "^((https?://)?[^/\\s]+/?)?$" (default "" .value))) }}
{{ printf "%s.extraEnv gives %s a value that is no proxy: http://host:port or https://host:port is allowed" $part .name }}
{{- end }}
{{- end -}}
{{- $own := list -}}
{{- range include "shoal.ownEnv" . | fromYamlArray -}}
{{- $own = append $own .name -}}
{{- end -}}
{{- range .of.extraEnv -}}
{{- if has .name $own }}
{{ printf "%s.extraEnv has %s, which is the chart's to set" $part .name }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Arguments: part, of. */}}
{{- define "shoal.tolerationFaults" -}}
{{- $part := .part -}}
{{- range .of.tolerations -}}
{{- if and (not .key) (ne (default "" .operator) "Exists") }}
{{ printf "%s.tolerations has one without key: that goes with operator Exists" $part }}
{{- end }}
{{- if and .value (eq (default "" .operator) "Exists") }}
{{ printf "%s.tolerations has one with operator Exists and a value: that goes with Equal" $part }}
{{- end }}
{{- if and (hasKey . "tolerationSeconds") (ne (default "" .effect) "NoExecute") }}
{{ printf "%s.tolerations has one with tolerationSeconds: that goes with effect NoExecute" $part }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Arguments: root, facts, part, of, component. */}}
{{- define "shoal.volumeFaults" -}}
{{- $part := .part -}}
{{- $volumes := list "store" "signing" "reports" -}}
{{- range include "shoal.volumes" . | fromYamlArray -}}
{{- if or (has .name $volumes) (hasPrefix "runtime-" .name) }}
{{ printf "%s.extraVolumes has %s, which is the chart's name for one of its own, or there twice" $part .name }}
{{- end }}
{{- $volumes = append $volumes .name -}}
{{- end -}}
{{- $paths := list -}}
{{- range .of.extraVolumeMounts -}}
{{- if not (has .name $volumes) }}
{{ printf "%s.extraVolumeMounts names %s, which is not in %s.extraVolumes" $part .name $part }}
{{- end }}
{{- $path := clean .mountPath -}}
{{- if or (has $path $paths) (include "shoal.isContainers" $path) }}
{{ printf "%s.extraVolumeMounts has %q, where something else of the container is: another mountPath is allowed, such as /etc/ssl/private" $part .mountPath }}
{{- end }}
{{- $paths = append $paths $path -}}
{{- end -}}
{{- end -}}

{{/* Arguments: path, resources, memory (the least that starts), facts. */}}
{{- define "shoal.resourceFaults" -}}
{{- $given := . -}}
{{- $limits := .resources.limits | default dict -}}
{{- range $name, $least := dict "memory" .memory "cpu" "50m" -}}
{{- with get $limits $name -}}
{{- $limit := include "shoal.quantity" (dict "value" . "facts" $given.facts) | float64 -}}
{{- if lt $limit (include "shoal.quantity" (dict "value" $least "facts" $given.facts) | float64) }}
{{ printf "%s.limits.%s is %v: at least %s is allowed, with less it does not start" $given.path $name . $least }}
{{- end }}
{{- end }}
{{- end -}}
{{- range $name, $request := .resources.requests -}}
{{- with get $limits $name -}}
{{- if gt (include "shoal.quantity" (dict "value" $request "facts" $given.facts) | float64) (include "shoal.quantity" (dict "value" . "facts" $given.facts) | float64) }}
{{ printf "%s.requests.%s is %v, but limits.%s is %v: a limit at least as large as the request is allowed" $given.path $name $request $name . }}
{{- end }}
{{- end }}
{{- end -}}
{{- end -}}
