{{/* The node's directory for blobs as it is meant: without what is there twice or at the end. Empty: none. */}}
{{- define "shoal.storePath" -}}
{{- with .Values.agent.store.hostPath -}}
{{- clean . -}}
{{- end -}}
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

{{/* "true" where a path is one of the directories, or in one of those that are known to be in it. Arguments: path, known (patterns of names by directory). */}}
{{- define "shoal.isKnown" -}}
{{- $path := .path -}}
{{- range $directory, $names := .known -}}
{{- if regexMatch (printf "^%s(/(%s)(/.*)?)?$" $directory $names) $path -}}
true
{{- end -}}
{{- end -}}
{{- end -}}

{{/* "true" for a path on the node that the agent must not have for itself: the system's, those shared by many, and what runtimes, kubelet and etcd keep. */}}
{{- define "shoal.isNodes" -}}
{{- $system := list "/bin" "/boot" "/dev" "/etc" "/lib" "/lib32" "/lib64" "/proc" "/run" "/sbin" "/sys" "/usr" "/var/run" "/var/log/containers" "/var/log/pods" "/var/lib/dpkg" "/var/lib/rpm" "/var/lib/systemd" -}}
{{- $shared := list "/home" "/media" "/mnt" "/opt" "/root" "/srv" "/tmp" "/var" "/var/cache" "/var/lib" "/var/log" "/var/mnt" "/var/spool" "/var/tmp" -}}
{{- $known := dict
  "/opt/cni" "bin"
  "/var/lib/cni" "bin|cache|networks|results"
  "/var/lib/containerd" "io[.]containerd[.].+|opt|tmpmounts"
  "/var/lib/containers" "cache|sigstore|storage"
  "/var/lib/crio" "clean[.].+|version"
  "/var/lib/docker" "aufs|btrfs|buildkit|containerd|containers|devicemapper|fuse-overlayfs|image|network|overlay|overlay2|plugins|runtimes|swarm|tmp|trust|vfs|volumes|zfs"
  "/var/lib/etcd" "data|member"
  "/var/lib/k0s" "bin|containerd|etcd|images|kine|konnectivity.*|kubelet|manifests|pki|run"
  "/var/lib/kubelet" "checkpoints|device-plugins|pki|plugins|plugins_registry|pod-resources|pods|seccomp"
  "/var/lib/rancher" "k3s|rke2"
-}}
{{- if or (has . $shared) (include "shoal.isBelow" (dict "path" . "directories" $system)) (include "shoal.isKnown" (dict "path" . "known" $known)) -}}
true
{{- end -}}
{{- end -}}

{{/* "true" for a path in the container where something else is: the image's programs, the chart's own volumes. */}}
{{- define "shoal.isContainers" -}}
{{- $whole := list "/bin" "/dev" "/lib64" "/opt/shoal" "/proc" "/run/shoal" "/sys" "/usr/bin" "/usr/lib64" -}}
{{- $itself := list "/" "/etc" "/opt" "/run" "/usr" "/var" "/var/lib" -}}
{{- $known := dict
  "/etc/shoal" "cluster|config|mtls|origin"
  "/lib" ".+-linux-gnu"
  "/usr/lib" ".+-linux-gnu"
  "/var/lib/shoal" "agent|origin"
-}}
{{- if or (has . $itself) (include "shoal.isBelow" (dict "path" . "directories" $whole)) (include "shoal.isKnown" (dict "path" . "known" $known)) -}}
true
{{- end -}}
{{- end -}}
