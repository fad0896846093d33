{{/* The number that a quantity with its unit stands for: the sum of its terms. Arguments: text, units (factor of each). */}}
{{- define "shoal.amount" -}}
{{- $sum := 0.0 -}}
{{- $units := .units -}}
{{- range regexFindAll "[0-9.]+ ?[A-Za-z]*" .text -1 -}}
{{- $sum = addf $sum (mulf (regexFind "[0-9.]+" . | float64) (get $units (regexFind "[A-Za-z]+" .))) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}

{{/* The same of a value for Kubernetes, which may be a bare number. Arguments: value, facts. */}}
{{- define "shoal.quantity" -}}
{{- $text := toString .value -}}
{{- $unit := regexFind "(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE])$" $text -}}
{{- mulf (trimSuffix $unit $text | float64) (get .facts.units.kubernetes $unit) -}}
{{- end -}}

{{/* A knob's value as it is written, or its default. Arguments: root, facts, part, knob. */}}
{{- define "shoal.knobText" -}}
{{- $value := (index .root.Values .part).config -}}
{{- range splitList "." .knob -}}
{{- $value = get ($value | default dict) . -}}
{{- end -}}
{{- if kindIs "string" $value -}}
{{- default (index .facts.parts .part "quantities" .knob "default") $value -}}
{{- else -}}
{{- printf "%.0f" (float64 $value) -}}
{{- end -}}
{{- end -}}

{{/* That in bytes, bytes per second or milliseconds; empty where it is not set. Arguments: the same. */}}
{{- define "shoal.knobAmount" -}}
{{- $units := index .facts.units (index .facts.parts .part "quantities" .knob "unit") -}}
{{- with include "shoal.knobText" . -}}
{{- round (include "shoal.amount" (dict "text" . "units" $units)) 0 -}}
{{- end -}}
{{- end -}}
