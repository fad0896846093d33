{{/* What is wrong with values beside knobs, and no schema can say: each template gives a line for each fault. Arguments: root, facts. */}}

{{- define "shoal.nameFaults" -}}
{{- with .root -}}
{{- $name := include "shoal.fullname" . -}}
{{- if not (regexMatch "^[a-z]([a-z0-9-]*[a-z0-9])?$" $name) }}
{{ printf "objects would be called %q and what comes after it, but a Service's name begins with a letter and has no dot: set fullnameOverride, or choose another name for the release" $name }}
{{- end }}
{{- if and .Values.keys.clusterSecret (not .Values.keys.originSecret) }}
keys.clusterSecret is set, but keys.originSecret is not: both are yours or both are made by the chart
{{- end }}
{{- if and .Values.keys.originSecret (not .Values.keys.clusterSecret) }}
keys.originSecret is set, but keys.clusterSecret is not: both are yours or both are made by the chart
{{- end }}
{{- if and .Values.keys.trustedOriginKeys .Values.keys.clusterSecret }}
keys.trustedOriginKeys is set, but so is keys.clusterSecret: where that Secret is yours, all public keys are in its origin.pub, with a comma between
{{- end }}
{{- if and .Values.startupTaint.enabled (not .Values.rbac.create) }}
startupTaint.enabled is true, but rbac.create is false: without its rights the tracker lifts no taint, and nodes that have it get no pods
{{- end }}
{{- if and .Values.preheat.pullSecrets (not .Values.rbac.create) }}
preheat.pullSecrets is set, but rbac.create is false: without its rights the tracker reads no Secret
{{- end }}
{{- range list (include "shoal.clusterSecret" .) (include "shoal.originSecret" .) -}}
{{- if has . $.root.Values.preheat.pullSecrets }}
{{ printf "preheat.pullSecrets names %q, which holds keys of Shoal: Secrets of registries' logins are allowed" . }}
{{- end }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* What the agent would do to its node. */}}
{{- define "shoal.nodeFaults" -}}
{{- $values := .root.Values -}}
{{- $taken := dict "2379" "etcd" "2380" "etcd" "2381" "etcd" "6443" "the API server" "10248" "the kubelet" "10249" "kube-proxy" "10250" "the kubelet" "10255" "the kubelet" "10256" "kube-proxy" "10257" "the controller manager" "10259" "the scheduler" -}}
{{- range $name, $port := $values.agent.ports -}}
{{- with get $taken (toString $port) }}
{{ printf "agent.ports.%s is %v, the port of %s: another is allowed" $name $port . }}
{{- end }}
{{- $_ := set $taken (toString $port) (printf "agent.ports.%s" $name) -}}
{{- end -}}
{{- with $values.agent.store.hostPath -}}
{{- $system := list "/bin" "/boot" "/dev" "/etc" "/lib" "/lib32" "/lib64" "/proc" "/run" "/sbin" "/sys" "/usr" "/var/run" "/var/log/containers" "/var/log/pods" "/opt/cni" "/var/lib/cni" "/var/lib/containerd" "/var/lib/containers" "/var/lib/crio" "/var/lib/docker" "/var/lib/dpkg" "/var/lib/etcd" "/var/lib/kubelet" "/var/lib/rancher" "/var/lib/rpm" "/var/lib/systemd" -}}
{{- $shared := list "/home" "/media" "/mnt" "/opt" "/root" "/srv" "/tmp" "/var" "/var/cache" "/var/lib" "/var/log" "/var/mnt" "/var/spool" "/var/tmp" -}}
{{- if or (has . $shared) (include "shoal.isBelow" (dict "path" . "directories" $system)) }}
{{ printf "agent.store.hostPath is %q, which the node needs itself: it would become the agent's alone. A directory of Shoal's own is allowed, such as /var/lib/shoal/agent" . }}
{{- end }}
{{- end -}}
{{- $kind := index (.root.Files.Get "files/nodes.json" | fromJson) $values.mirror.node -}}
{{- with $values.mirror.configPath -}}
{{- if ne $kind.runtime "containerd" }}
{{ printf "mirror.configPath is %q, but mirror.node is %s, which has no containerd: leave it empty" . $values.mirror.node }}
{{- else if not (include "shoal.isBelow" (dict "path" . "directories" $kind.directories)) }}
{{ printf "mirror.configPath is %q: on %s a directory in %s is allowed, the only place of the node that is written to" . $values.mirror.node (join ", " $kind.directories) }}
{{- end }}
{{- end -}}
{{- range $values.mirror.registries -}}
{{- if has . (dig "upstreams" "deny" list $values.agent.config) }}
{{ printf "mirror.registries has %s, but so has agent.config.upstreams.deny: it can be in one of them" . }}
{{- end }}
{{- end -}}
{{- if and (has "_default" $values.mirror.registries) (ne $kind.runtime "containerd") }}
{{ printf "mirror.registries has _default, but mirror.node is %s: its runtime has no entry for all registries, name each" $values.mirror.node }}
{{- end }}
{{- end -}}

{{/* "true" where a path is one of the directories or in one. Arguments: path, directories. */}}
{{- define "shoal.isBelow" -}}
{{- $path := printf "%s/" .path -}}
{{- range .directories -}}
{{- if hasPrefix (printf "%s/" .) $path -}}
true
{{- end -}}
{{- end -}}
{{- end -}}

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
{{- $seen := dict -}}
{{- range include "shoal.env" . | fromYamlArray -}}
{{- if hasKey $seen .name }}
{{ printf "%s.extraEnv has %s, which is the chart's to set, or there twice" $part .name }}
{{- end }}
{{- $_ := set $seen .name true -}}
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
{{- $path := trimSuffix "/" .mountPath -}}
{{- if or (has $path $paths) (include "shoal.isBelow" (dict "path" $path "directories" (list "/bin" "/dev" "/etc/shoal" "/lib" "/lib64" "/opt/shoal" "/proc" "/run/shoal" "/sys" "/usr/bin" "/usr/lib" "/var/lib/shoal"))) (has $path (list "" "/etc" "/opt" "/run" "/usr" "/var" "/var/lib")) }}
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

{{- define "shoal.metricsFaults" -}}
{{- $metrics := .root.Values.metrics -}}
{{- $interval := $metrics.serviceMonitor.interval -}}
{{- $amount := include "shoal.amount" (dict "text" $interval "units" .facts.units.ms) | float64 -}}
{{- if or (lt $amount 1000.0) (gt $amount 120000.0) }}
{{ printf "metrics.serviceMonitor.interval is %q: from 1s to 2m is allowed, as alerts look back five minutes" $interval }}
{{- end }}
{{- $own := include "shoal.labels" (dict "root" .root) | fromYaml -}}
{{- range $name := list "serviceMonitor" "prometheusRule" "dashboards" -}}
{{- range $label, $_ := (index $metrics $name).labels -}}
{{- if hasKey $own $label }}
{{ printf "metrics.%s.labels has %s, which is the chart's: other labels are allowed" $name $label }}
{{- end }}
{{- end -}}
{{- end -}}
{{- end -}}
