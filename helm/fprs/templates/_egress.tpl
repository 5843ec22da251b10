{{/* The image with nft in it: the Dockerfile's target `egress`. */}}
{{- define "fprs.egressImage" -}}
{{- $image := .Values.egress.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{/*
One root process on each machine that is selected, in the machine's own network. Takes (dict "root" $
"component" "egress-gateway" "role" "gateway" "of" .Values.egress.gateways "state" "/var/lib/fprs-egress").
*/}}
{{- define "fprs.egressMachines" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "fprs.name" .root }}-{{ .component }}
  labels:
    {{- include "fprs.labels" . | nindent 4 }}
automountServiceAccountToken: false
---
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: {{ include "fprs.name" .root }}-{{ .component }}
  labels:
    {{- include "fprs.labels" . | nindent 4 }}
spec:
  # One machine after the other, each only when the one before has served for a while.
  minReadySeconds: 10
  updateStrategy:
    type: RollingUpdate
    rollingUpdate:
      maxUnavailable: 1
  selector:
    matchLabels:
      {{- include "fprs.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "fprs.labels" . | nindent 8 }}
      {{- with .of.podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ include "fprs.name" .root }}-{{ .component }}
      automountServiceAccountToken: false
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
      nodeSelector:
        {{- toYaml .of.nodeSelector | nindent 8 }}
      {{- with .of.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      # The machine's addresses, routes and rules are what this is about.
      hostNetwork: true
      dnsPolicy: ClusterFirstWithHostNet
      terminationGracePeriodSeconds: 15
      containers:
        - name: {{ .role }}
          image: {{ include "fprs.egressImage" .root }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          # Interfaces, routes and rules want NET_ADMIN; switches in /proc/sys and /dev/net/tun, which
          # containers don't get otherwise, want all of it.
          securityContext:
            privileged: true
            runAsUser: 0
            readOnlyRootFilesystem: true
          args:
            - egress
            - {{ .role }}
            - --ready-file=/run/fprs/ready
            - --log-format={{ .root.Values.logFormat }}
            {{- with .of.plane }}
            {{- if .control }}
            {{- range .control }}
            - --control={{ . }}
            {{- end }}
            - --token-file=/etc/fprs-egress/{{ .tokenFile }}
            {{- range .pools }}
            - --pool={{ . }}
            {{- end }}
            {{- end }}
            {{- end }}
            - /etc/fprs-egress/{{ .role }}.toml
          readinessProbe:
            exec:
              command: [test, -f, /run/fprs/ready]
            periodSeconds: 2
          resources:
            {{- toYaml .of.resources | nindent 12 }}
          volumeMounts:
            - name: settings
              mountPath: /etc/fprs-egress
              readOnly: true
            - name: state
              mountPath: {{ .state }}
            - name: run
              mountPath: /run/fprs
      volumes:
        # Keys and secrets of this machine alone: no other one gets to see them.
        - name: settings
          hostPath:
            path: {{ .of.directory }}
            type: Directory
        # Outlives the pod: connections find their way back by it.
        - name: state
          hostPath:
            path: {{ .state }}
            type: DirectoryOrCreate
        - name: run
          emptyDir:
            sizeLimit: 1Mi
{{- end -}}
