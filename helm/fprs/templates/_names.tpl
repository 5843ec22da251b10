{{- define "fprs.name" -}}
{{- if contains "fprs" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-fprs" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What selects the pods of a component: never changes. Takes (dict "root" $ "component" "proxy"). */}}
{{- define "fprs.selector" -}}
app.kubernetes.io/name: fprs
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "fprs.labels" -}}
{{ include "fprs.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: fprs
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "fprs.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "fprs.edgeImage" -}}
{{- $image := .Values.edge.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository $image.tag -}}
{{- end -}}
{{- end -}}

{{/* Every address of the pod. */}}
{{- define "fprs.any" -}}
{{- if eq .Values.network.family "IPv6" -}}[::]{{- else -}}0.0.0.0{{- end -}}
{{- end -}}

{{/* The pod's own address, which others are told. */}}
{{- define "fprs.own" -}}
{{- if eq .Values.network.family "IPv6" -}}[$(POD_IP)]{{- else -}}$(POD_IP){{- end -}}
{{- end -}}

{{/* The control processes one by one: followers go on at the next when one dies. */}}
{{- define "fprs.controls" -}}
{{- $controls := list -}}
{{- range $i := until (int .Values.control.replicas) -}}
{{- $host := printf "%s-control-%d.%s-control-peers" (include "fprs.name" $) $i (include "fprs.name" $) -}}
{{- $controls = append $controls (printf "%s.%s.svc.%s:9090" $host $.Release.Namespace $.Values.network.clusterDomain) -}}
{{- end -}}
{{- join "," $controls -}}
{{- end -}}

{{- define "fprs.store" -}}
{{- $store := .Values.store -}}
{{- if eq $store.kind "spanner" -}}
{{- printf "spanner://projects/%s/instances/%s/databases/%s" $store.spanner.project $store.spanner.instance $store.spanner.database -}}
{{- else if eq $store.kind "etcd" -}}
{{- printf "etcd://%s/%s" (join "," $store.etcd.endpoints) $store.etcd.prefix -}}
{{- else -}}
/var/lib/fprs/store.redb
{{- end -}}
{{- end -}}

{{- define "fprs.trustedEdges" -}}
{{- if .Values.proxy.trustedEdges -}}
{{- join "," .Values.proxy.trustedEdges -}}
{{- else if .Values.edge.enabled -}}
10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,fd00::/8
{{- end -}}
{{- end -}}

{{/* Where pods of servers with an image are. */}}
{{- define "fprs.podsNamespace" -}}
{{- default .Release.Namespace .Values.pods.namespace -}}
{{- end -}}

{{/* What selects them. */}}
{{- define "fprs.podsSelector" -}}
app.kubernetes.io/managed-by: fprs
fprs/plane: {{ .Values.zone }}
{{- end -}}
