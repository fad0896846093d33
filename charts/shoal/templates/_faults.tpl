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
{{- with include "shoal.storePath" .root -}}
{{- if include "shoal.isNodes" . }}
{{ printf "agent.store.hostPath is %q, which the node needs itself: it would become the agent's alone. A directory of Shoal's own is allowed, such as /var/lib/shoal/agent" . }}
{{- end }}
{{- end -}}
{{- $kind := index (.root.Files.Get "files/nodes.json" | fromJson) $values.mirror.node -}}
{{- with $values.mirror.configPath -}}
{{- if ne $kind.runtime "containerd" }}
{{ printf "mirror.configPath is %q, but mirror.node is %s, which has no containerd: leave it empty" . $values.mirror.node }}
{{- else if not (include "shoal.isBelow" (dict "path" (clean .) "directories" $kind.directories)) }}
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

{{- define "shoal.metricsFaults" -}}
{{- $metrics := .root.Values.metrics -}}
{{- $units := .facts.units.ms -}}
{{- with $metrics.serviceMonitor.interval -}}
{{- $amount := include "shoal.amount" (dict "text" . "units" $units) | float64 -}}
{{- if or (lt $amount 1000.0) (gt $amount 120000.0) }}
{{ printf "metrics.serviceMonitor.interval is %q: from 1s to 2m is allowed, as alerts look back five minutes, or nothing for Prometheus' default" . }}
{{- end }}
{{- end -}}
{{- $own := include "shoal.labels" (dict "root" .root) | fromYaml -}}
{{- range $name := list "serviceMonitor" "prometheusRule" "dashboards" -}}
{{- range $label, $_ := (index $metrics $name).labels -}}
{{- if hasKey $own $label }}
{{ printf "metrics.%s.labels has %s, which is the chart's: other labels are allowed" $name $label }}
{{- end }}
{{- end -}}
{{- end -}}
{{- end -}}
