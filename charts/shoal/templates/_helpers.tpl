{{- define "shoal.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Of what lies outside the release's namespace: releases of one name in two namespaces have no object in common. */}}
{{- define "shoal.clusterName" -}}
{{- $name := include "shoal.fullname" . -}}
{{- if ne $name .Release.Namespace -}}
{{- $name = printf "%s-%s" .Release.Namespace $name -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{/* Labels by which a component's pods are selected: never change at an upgrade. */}}
{{- define "shoal.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- define "shoal.labels" -}}
{{ include "shoal.selector" . }}
app.kubernetes.io/part-of: shoal
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "shoal.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "shoal.clusterSecret" -}}
{{- default (printf "%s-cluster" (include "shoal.fullname" .)) .Values.keys.clusterSecret -}}
{{- end -}}

{{- define "shoal.originSecret" -}}
{{- default (printf "%s-origin" (include "shoal.fullname" .)) .Values.keys.originSecret -}}
{{- end -}}

{{- define "shoal.priorityClass" -}}
{{- if .Values.priorityClass.name -}}
{{ .Values.priorityClass.name }}
{{- else if .Values.priorityClass.create -}}
{{ include "shoal.clusterName" . }}
{{- end -}}
{{- end -}}

{{/* A headless Service's name in full: the same from every namespace and for pods on the host's network. */}}
{{- define "shoal.serviceName" -}}
{{ include "shoal.fullname" .root }}-{{ .component }}.{{ .root.Release.Namespace }}.svc.{{ .root.Values.clusterDomain }}
{{- end -}}

{{/* The raw public key in an Ed25519 PEM, as base64: a certificate made with the key has it in clear (RFC 8410). */}}
{{- define "shoal.publicKey" -}}
{{- $certificate := (genSelfSignedCertWithKey "shoal" (list) (list) 1 .).Cert -}}
{{- $body := $certificate | replace "-----BEGIN CERTIFICATE-----" "" | replace "-----END CERTIFICATE-----" "" | nospace -}}
{{- $after := index (splitList "\x06\x03\x2b\x65\x70\x03\x21\x00" (b64dec $body)) 1 -}}
{{- substr 0 32 $after | b64enc -}}
{{- end -}}

{{/* What changes when the origins' public keys do. The chart's own first key is not in it: it is there only after the install. */}}
{{- define "shoal.originKeys" -}}
{{- if .Values.keys.clusterSecret -}}
{{- $secret := lookup "v1" "Secret" .Release.Namespace .Values.keys.clusterSecret -}}
{{- dig "data" "origin.pub" "" $secret -}}
{{- else -}}
{{- join "," .Values.keys.trustedOriginKeys -}}
{{- end -}}
{{- end -}}

{{/* What every pod has. Arguments: root, component. */}}
{{- define "shoal.pod" -}}
{{- $part := index .root.Values .component -}}
{{- $stop := (.root.Files.Get "files/knobs.json" | fromJson).stopSeconds -}}
serviceAccountName: {{ include "shoal.fullname" .root }}-{{ .component }}
automountServiceAccountToken: {{ .token }}
enableServiceLinks: false
terminationGracePeriodSeconds: {{ max $part.terminationGracePeriodSeconds $stop }}
{{- with include "shoal.priorityClass" .root }}
priorityClassName: {{ quote . }}
{{- end }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
tolerations:
  - key: node.shoal.dev/agent-not-ready
    operator: Exists
{{- with $part.tolerations }}
{{ toYaml . | indent 2 }}
{{- end }}
{{- end -}}

{{/*
  A restart when the configuration changes, or the public keys that are read at the start: those that the values name, or
  what a Secret of one's own holds, where Helm can read it. Other keys are read again while a part runs.
*/}}
{{- define "shoal.podMetadata" -}}
{{- $part := index .root.Values .component -}}
labels: {{- include "shoal.labels" . | nindent 2 }}
{{- with $part.podLabels }}
{{ toYaml . | indent 2 }}
{{- end }}
annotations:
  checksum/config: {{ include (print .root.Template.BasePath "/" .component "-config.yaml") .root | sha256sum }}
  {{- if .peerPort }}
  checksum/origin-keys: {{ include "shoal.originKeys" .root | sha256sum }}
  {{- end }}
{{- with $part.podAnnotations }}
{{ toYaml . | indent 2 }}
{{- end }}
{{- end -}}

{{- define "shoal.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "shoal.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Where a part is, and its addresses: brackets serve IPv4 and IPv6. Arguments: root, component, statusPort, peerPort, listenPort. */}}
{{- define "shoal.ownEnv" -}}
- name: NODE_NAME
  valueFrom: { fieldRef: { fieldPath: spec.nodeName } }
- name: POD_NAME
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
- name: POD_NAMESPACE
  valueFrom: { fieldRef: { fieldPath: metadata.namespace } }
- name: POD_IP
  valueFrom: { fieldRef: { fieldPath: status.podIP } }
- name: SHOAL_STATUS_LISTEN
  value: '[$(POD_IP)]:{{ .statusPort }}'
{{- with .listenPort }}
- name: SHOAL_LISTEN
  value: '[$(POD_IP)]:{{ . }}'
{{- end }}
{{- with .peerPort }}
- name: SHOAL_PEER_LISTEN
  value: '[$(POD_IP)]:{{ . }}'
- name: SHOAL_PEER_ADVERTISE
  value: '[$(POD_IP)]:{{ . }}'
- name: SHOAL_NODE_NAME
  value: $(NODE_NAME)
- name: SHOAL_TRUSTED_ORIGIN_KEYS
  valueFrom: { secretKeyRef: { name: {{ include "shoal.clusterSecret" $.root | quote }}, key: origin.pub } }
{{- end }}
{{- end -}}

{{/* That, and what the operator gives. Kubernetes takes the last of one name. Arguments: the same. */}}
{{- define "shoal.env" -}}
{{ include "shoal.ownEnv" . }}
{{- with (index .root.Values .component).extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "shoal.probes" -}}
startupProbe:
  httpGet: { path: /healthz, port: status }
  periodSeconds: 2
  failureThreshold: 150
livenessProbe:
  httpGet: { path: /healthz, port: status }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: { path: /readyz, port: status }
  periodSeconds: 5
  timeoutSeconds: 5
{{- end -}}

{{- define "shoal.mounts" -}}
- name: config
  mountPath: /etc/shoal/config
  readOnly: true
- name: cluster
  mountPath: /etc/shoal/cluster
  readOnly: true
{{- if .root.Values.mtls.secret }}
- name: mtls
  mountPath: /etc/shoal/mtls
  readOnly: true
{{- end }}
{{- with (index .root.Values .component).extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "shoal.volumes" -}}
- name: config
  configMap:
    name: {{ include "shoal.fullname" .root }}-{{ .component }}
- name: cluster
  secret:
    secretName: {{ include "shoal.clusterSecret" .root | quote }}
    defaultMode: 0440
    items:
      {{- if not .root.Values.mtls.secret }}
      - { key: cluster.key, path: cluster.key }
      {{- end }}
      - { key: metrics.token, path: metrics.token }
{{- with .root.Values.mtls.secret }}
- name: mtls
  secret:
    secretName: {{ quote . }}
    defaultMode: 0440
{{- end }}
{{- with (index .root.Values .component).extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Knobs of every part. */}}
{{- define "shoal.common" -}}
{{- if .Values.mtls.secret }}
security: mtls
mtls:
  certFile: /etc/shoal/mtls/tls.crt
  keyFile: /etc/shoal/mtls/tls.key
  caFile: /etc/shoal/mtls/ca.crt
{{- else }}
security: cluster-key
clusterKeyFile: /etc/shoal/cluster/cluster.key
{{- end }}
status:
  metricsTokenFile: /etc/shoal/cluster/metrics.token
{{- end -}}

{{/* Who is asked for peers and content: what the headless Services' names stand for. */}}
{{- define "shoal.members" -}}
trackers: ['dns+{{ include "shoal.serviceName" (dict "root" . "component" "tracker") }}:29510']
origins: ['dnssrv+_http._tcp.{{ include "shoal.serviceName" (dict "root" . "component" "origin") }}']
{{- end -}}

{{/* Over zones and nodes, where there are several. */}}
{{- define "shoal.spread" -}}
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- include "shoal.selector" $ | nindent 6 }}
{{- end }}
{{- end -}}
