{{/* One of Envoy's own secrets, of a certificate that Kubernetes may replace. */}}
{{- define "fprs.certificate" -}}
resources:
  - "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
    name: {{ .name }}
    tls_certificate:
      certificate_chain:
        filename: /etc/fprs/certificates/{{ .path }}/tls.crt
      private_key:
        filename: /etc/fprs/certificates/{{ .path }}/tls.key
      watched_directory:
        path: /etc/fprs/certificates/{{ .path }}
{{- end -}}

{{/* 80 % of an amount of memory in Mi or Gi, in bytes. */}}
{{- define "fprs.heapBytes" -}}
{{- if hasSuffix "Gi" . -}}
{{- div (mul (trimSuffix "Gi" . | int64) 1073741824 4) 5 -}}
{{- else -}}
{{- div (mul (trimSuffix "Mi" . | int64) 1048576 4) 5 -}}
{{- end -}}
{{- end -}}
