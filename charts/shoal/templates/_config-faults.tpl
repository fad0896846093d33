{{/* Knobs outside of their bounds, in the words of the part that would refuse them. Arguments: root, facts. */}}
{{- define "shoal.knobFaults" -}}
{{- $given := . -}}
{{- range $part, $of := .facts.parts -}}
{{- range $knob, $bounds := $of.quantities -}}
{{- $arguments := merge (dict "part" $part "knob" $knob) $given -}}
{{- with include "shoal.knobText" $arguments -}}
{{- $amount := include "shoal.knobAmount" $arguments | float64 -}}
{{- if or (lt $amount $bounds.minimum) (gt $amount $bounds.maximum) (not (trim .)) }}
{{ printf "%s.config.%s is %s: %s is allowed" $part $knob (toRawJson .) $bounds.allowed }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Knobs that a part would not take together. Arguments: root, facts. */}}
{{- define "shoal.configFaults" -}}
{{- $values := .root.Values -}}
{{- $interval := merge (dict "part" "tracker" "knob" "announceInterval") . -}}
{{- $timeout := merge (dict "part" "tracker" "knob" "memberTimeout") . -}}
{{- if lt (include "shoal.knobAmount" $timeout | float64) (mulf 2 (include "shoal.knobAmount" $interval)) }}
{{ printf "tracker.config.memberTimeout is %s, but announceInterval is %s: a memberTimeout of at least twice that is allowed" (include "shoal.knobText" $timeout) (include "shoal.knobText" $interval) }}
{{- end }}
{{- $listen := dig "strangers" "listen" "" $values.tracker.config -}}
{{- if regexMatch ":0*(29510|29511)?$" $listen }}
{{ printf "tracker.config.strangers.listen is %q: another port than 0 and the tracker's own, 29510 and 29511, is allowed, such as 0.0.0.0:29512" $listen }}
{{- end }}
{{- if regexMatch "^(127\\.|localhost:|\\[::1\\])" $listen }}
{{ printf "tracker.config.strangers.listen is %q, which nobody outside of the pod reaches: another address is allowed, such as 0.0.0.0:29512" $listen }}
{{- end }}
{{- $names := list -}}
{{- range $part, $of := .facts.parts -}}
{{- $names = append $names (dig "mtls" "name" (get $of.texts "mtls.name") (index $values $part).config) -}}
{{- end -}}
{{- if and $values.mtls.secret (gt (len (uniq $names)) 1) }}
{{ printf "agent.config.mtls.name, origin.config.mtls.name and tracker.config.mtls.name are %s: parts of one name let each other in" (toRawJson $names) }}
{{- end }}
{{- if and $values.origin.config.strangers (not $values.origin.config.strangerRepositories) }}
origin.config.strangerRepositories is empty although origin.config.strangers is true: name the repositories that anybody may read, or "*"
{{- end }}
{{- $quota := merge (dict "part" "origin" "knob" "store.quota") . -}}
{{- $persistence := $values.origin.persistence -}}
{{- $size := include "shoal.quantity" (dict "value" $persistence.size "facts" .facts) | float64 -}}
{{- if and $persistence.enabled (lt $size (include "shoal.knobAmount" $quota | float64)) }}
{{ printf "origin.persistence.size is %s, but origin.config.store.quota is %s: a volume at least as large is allowed. Where claims of that size exist, lower origin.config.store.quota, for Kubernetes changes no StatefulSet's claims" $persistence.size (include "shoal.knobText" $quota) }}
{{- end }}
{{- range $part := list "agent" "origin" -}}
{{- include "shoal.hostFaults" (dict "part" $part "of" (index $values $part)) }}
{{- end -}}
{{- end -}}

{{/* Upstream hosts that a part would not start with. No endpoint is shown: there may be a password in it. Arguments: part, of. */}}
{{- define "shoal.hostFaults" -}}
{{- $part := .part -}}
{{- $mounts := list "/etc/ssl/" -}}
{{- range .of.extraVolumeMounts -}}
{{- $mounts = append $mounts (clean .mountPath) -}}
{{- end -}}
{{- range $name, $host := dig "upstreams" "hosts" dict .of.config -}}
{{- $path := printf "%s.config.upstreams.hosts[%q]" $part $name -}}
{{- if not (regexMatch "^(\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)(:[0-9]{1,5})?$" $name) }}
{{ $path }} is no host: a host name, an IPv4 or a bracketed IPv6 address is allowed, with :port where needed
{{- end }}
{{- with $host.endpoint -}}
{{- if not (regexMatch "^https?://[^/?#@\\s]+(/[^?#\\s]*)?$" .) }}
{{ $path }}.endpoint is no base URL: http:// or https:// with a host, a port and a path only is allowed
{{- else if and (hasPrefix "http:" .) (not $host.plainHttp) }}
{{ $path }}.endpoint is an http:// URL, but plainHttp is not true: https://, or both, is allowed
{{- end }}
{{- end }}
{{- with $host.ca -}}
{{- $ca := . -}}
{{- $mounted := false -}}
{{- range $mounts -}}
{{- $mounted = or $mounted (eq $ca .) (hasPrefix (printf "%s/" (trimSuffix "/" .)) $ca) -}}
{{- end -}}
{{- if not $mounted }}
{{ printf "%s.ca is %q: a file in one of %s.extraVolumeMounts is allowed" $path . $part }}
{{- end }}
{{- end }}
{{- end -}}
{{- end -}}
