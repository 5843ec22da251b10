{{/* Where spans go, as the plane's own processes are told. */}}
{{- define "fprs.collectorAddress" -}}
- --otlp-endpoint={{ .Values.tracing.endpoint }}
- --trace-sample={{ .Values.tracing.sample }}
{{- end -}}

{{/* The same for a process that has its files. */}}
{{- define "fprs.collectorArgs" -}}
{{ include "fprs.collectorAddress" . }}
{{- if .Values.tracing.caSecret }}
- --otlp-ca={{ include "fprs.collectorCa" . }}
{{- end }}
{{- if .Values.tracing.headersSecret }}
- --otlp-headers={{ include "fprs.collectorHeaders" . }}
{{- end }}
{{- end -}}

{{- define "fprs.collectorCa" -}}
/etc/fprs/collector-ca/{{ .Values.tracing.caKey }}
{{- end -}}

{{- define "fprs.collectorHeaders" -}}
/etc/fprs/collector-headers/{{ .Values.tracing.headersKey }}
{{- end -}}

{{/* Whether there are such files. */}}
{{- define "fprs.collectorFiles" -}}
{{- $tracing := .Values.tracing -}}
{{- if and $tracing.endpoint (or $tracing.caSecret $tracing.headersSecret) -}}yes{{- end -}}
{{- end -}}

{{- define "fprs.collectorMounts" -}}
{{- if .Values.tracing.caSecret }}
- name: collector-ca
  mountPath: /etc/fprs/collector-ca
  readOnly: true
{{- end }}
{{- if .Values.tracing.headersSecret }}
- name: collector-headers
  mountPath: /etc/fprs/collector-headers
  readOnly: true
{{- end }}
{{- end -}}

{{- define "fprs.collectorVolumes" -}}
{{- if .Values.tracing.caSecret }}
- name: collector-ca
  secret:
    secretName: {{ .Values.tracing.caSecret }}
    items: [{ key: {{ .Values.tracing.caKey | quote }}, path: {{ .Values.tracing.caKey | quote }} }]
{{- end }}
{{- if .Values.tracing.headersSecret }}
- name: collector-headers
  secret:
    secretName: {{ .Values.tracing.headersSecret }}
    items: [{ key: {{ .Values.tracing.headersKey | quote }}, path: {{ .Values.tracing.headersKey | quote }} }]
{{- end }}
{{- end -}}

{{/* The port of the collector. */}}
{{- define "fprs.collectorPort" -}}
{{- $host := (urlParse .Values.tracing.endpoint).host -}}
{{- regexFind "[0-9]+$" (regexFind ":[0-9]+$" $host) | default "4317" -}}
{{- end -}}

{{/* The same for an edge. */}}
{{- define "fprs.collectorTable" -}}
{{- $url := urlParse .Values.tracing.endpoint -}}
[tracing]
host = {{ $url.hostname | quote }}
port = {{ include "fprs.collectorPort" . }}
sample = {{ .Values.tracing.sample }}
{{- if eq $url.scheme "https" }}
tls = true
{{- if .Values.tracing.caSecret }}
ca = {{ include "fprs.collectorCa" . | quote }}
{{- end }}
{{- if .Values.tracing.headersSecret }}
headers = {{ include "fprs.collectorHeaders" . | quote }}
{{- end }}
{{- end }}
{{- end -}}
