{{/* What all pods have. Takes (dict "root" $ "component" "proxy" "of" .Values.proxy). */}}
{{- define "fprs.pod" -}}
serviceAccountName: {{ include "fprs.name" .root }}-{{ .component }}
{{- if and (eq .component "control") .root.Values.pods.enabled }}
# It makes the pods of servers with an image.
automountServiceAccountToken: true
{{- else }}
# Nothing here talks to Kubernetes.
automountServiceAccountToken: false
{{- end }}
# Their variables begin with FPRS_ too.
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .of.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .of.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "fprs.selector" $ | nindent 8 }}
  {{- end }}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "fprs.selector" . | nindent 14 }}
{{- end -}}

{{- define "fprs.confined" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{/* A container of the plane's own image. */}}
{{- define "fprs.own-image" -}}
image: {{ include "fprs.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{ include "fprs.confined" . }}
{{- end -}}

{{- define "fprs.environment" -}}
env:
  - name: FPRS_ADMIN_TOKEN
    valueFrom:
      secretKeyRef:
        name: {{ .Values.adminToken.existingSecret }}
        key: {{ .Values.adminToken.key }}
  - name: POD_IP
    valueFrom:
      fieldRef:
        fieldPath: status.podIP
{{- end -}}

{{/* Alive and ready by the admin port; a table of a million servers may take a while to arrive. */}}
{{- define "fprs.probes" -}}
startupProbe:
  httpGet: { path: /livez, port: admin }
  periodSeconds: 1
  failureThreshold: 120
livenessProbe:
  httpGet: { path: /livez, port: admin }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: { path: /readyz, port: admin }
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
{{- end -}}

{{/* Takes (dict "root" $ "component" "proxy" "of" .Values.proxy). */}}
{{- define "fprs.autoscaling" -}}
{{- if .of.autoscaling.enabled }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ include "fprs.name" .root }}-{{ .component }}
  labels:
    {{- include "fprs.labels" . | nindent 4 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ include "fprs.name" .root }}-{{ .component }}
  minReplicas: {{ .of.autoscaling.minReplicas }}
  maxReplicas: {{ .of.autoscaling.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {{ .of.autoscaling.targetCPU }}
  behavior:
    scaleUp:
      stabilizationWindowSeconds: 0
    scaleDown:
      stabilizationWindowSeconds: {{ .of.autoscaling.scaleDownSeconds }}
      policies:
        - type: Pods
          value: 1
          periodSeconds: 60
{{- end }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "fprs.name" .root }}-{{ .component }}
  labels:
    {{- include "fprs.labels" . | nindent 4 }}
spec:
  maxUnavailable: {{ .of.podDisruptionBudget.maxUnavailable }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "fprs.selector" . | nindent 6 }}
{{- end -}}
