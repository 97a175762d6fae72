{{/* Prefix of all names: the release's name, with the chart's name appended unless it contains it. */}}
{{- define "podbook.fullname" -}}
{{- if contains "podbook" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-podbook" (.Release.Name | trunc 32 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{- define "podbook.runsNamespace" -}}
{{- .Values.runs.namespace | default (printf "%s-runs" .Release.Name) -}}
{{- end -}}

{{/* Labels of a component: include "podbook.labels" (list . "api") */}}
{{- define "podbook.labels" -}}
{{- $root := index . 0 -}}
{{ include "podbook.selectorLabels" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: podbook
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end -}}

{{- define "podbook.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: podbook
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* An image of the project: include "podbook.image" (list . "api") */}}
{{- define "podbook.image" -}}
{{- $root := index . 0 -}}
{{- with $root.Values.image.registry }}{{ trimSuffix "/" . }}/{{ end -}}
podbook-{{ index . 1 }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}
{{- with get $root.Values.image.digests (index . 1) }}@{{ . }}{{ end }}
{{- end -}}

{{- define "podbook.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* The `restricted` Pod Security Standard, for pods of the chart and their containers. */}}
{{- define "podbook.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "podbook.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Pods leave a lost node after 30 seconds instead of the default 5 minutes. */}}
{{- define "podbook.tolerations" -}}
- key: node.kubernetes.io/not-ready
  operator: Exists
  effect: NoExecute
  tolerationSeconds: 30
- key: node.kubernetes.io/unreachable
  operator: Exists
  effect: NoExecute
  tolerationSeconds: 30
{{- with . }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "podbook.s3Endpoint" -}}
{{- if .Values.minio.enabled -}}
http://{{ include "podbook.fullname" . }}-minio.{{ .Release.Namespace }}:9000
{{- else -}}
{{- .Values.s3.endpoint -}}
{{- end -}}
{{- end -}}

{{/* The Secret with accessKey and secretKey; empty where the pods' own identity is used. */}}
{{- define "podbook.s3Secret" -}}
{{- if .Values.minio.enabled -}}
{{ include "podbook.fullname" . }}-minio
{{- else if .Values.s3.existingSecret -}}
{{ .Values.s3.existingSecret }}
{{- else if .Values.s3.accessKey -}}
{{ include "podbook.fullname" . }}-s3
{{- end -}}
{{- end -}}

{{/* Settings that operator and API share. */}}
{{- define "podbook.sharedEnv" -}}
- name: PODBOOK_NAMESPACE
  value: {{ include "podbook.runsNamespace" . }}
- name: PODBOOK_PROFILES_FILE
  value: /etc/podbook/profiles/profiles.json
- name: PODBOOK_S3__BUCKET
  value: {{ .Values.s3.bucket | quote }}
- name: PODBOOK_S3__REGION
  value: {{ .Values.s3.region | quote }}
{{- with include "podbook.s3Endpoint" . }}
- name: PODBOOK_S3__ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- with include "podbook.s3Secret" . }}
- name: PODBOOK_S3__ACCESS_KEY
  valueFrom:
    secretKeyRef: {name: {{ . }}, key: accessKey}
- name: PODBOOK_S3__SECRET_KEY
  valueFrom:
    secretKeyRef: {name: {{ . }}, key: secretKey}
{{- end }}
{{- end -}}

{{/* Settings set by name in the values. A list is written as JSON; a large integer must not be written as 1e+06. */}}
{{- define "podbook.settings" -}}
{{- range $name, $value := . }}
{{- if kindIs "slice" $value }}
{{- $value = toJson $value }}
{{- else if kindIs "float64" $value }}
{{- $value = int64 $value }}
{{- end }}
- name: PODBOOK_{{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{/* Restarts pods when configuration that they read only at start has changed. */}}
{{- define "podbook.checksums" -}}
checksum/profiles: {{ include (print $.Template.BasePath "/profiles.yaml") . | sha256sum }}
checksum/s3: {{ .Values.s3 | toJson | sha256sum }}
{{- end -}}

{{/* The Secret with a plain API key that may do everything. */}}
{{- define "podbook.firstKeySecret" -}}
{{ include "podbook.fullname" . }}-first-key
{{- end -}}

{{- define "podbook.keysSecret" -}}
{{ .Values.keys.existingSecret | default (printf "%s-keys" (include "podbook.fullname" .)) }}
{{- end -}}

{{- define "podbook.linksSecret" -}}
{{ .Values.links.existingSecret | default (printf "%s-links" (include "podbook.fullname" .)) }}
{{- end -}}

{{/* Egress rules: names, then the object store. */}}
{{- define "podbook.dnsEgress" -}}
- to:
    {{- range .Values.networkPolicy.dnsNamespaces }}
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: {{ . }}
    {{- end }}
    - ipBlock: {cidr: 169.254.20.10/32} # node-local DNS
  ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
    - {protocol: UDP, port: 5353}
    - {protocol: TCP, port: 5353}
{{- end -}}

{{- define "podbook.storeEgress" -}}
{{- if .Values.minio.enabled }}
- to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: {{ .Release.Namespace }}
      podSelector:
        matchLabels:
          {{- include "podbook.selectorLabels" (list . "minio") | nindent 10 }}
  ports:
    - {protocol: TCP, port: 9000}
{{- else }}
- to:
    {{- range .Values.s3.cidrs }}
    - ipBlock:
        cidr: {{ . }}
        {{- if eq . "0.0.0.0/0" }}
        except: [169.254.0.0/16]
        {{- else if eq . "::/0" }}
        except: ["fd00:ec2::254/128"]
        {{- end }}
    {{- end }}
  ports:
    {{- range include "podbook.storePorts" . | splitList "," }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end }}
{{- end -}}

{{/* Ports of an external object store, joined by commas. */}}
{{- define "podbook.storePorts" -}}
{{- $ports := list -}}
{{- range compact (list .Values.s3.endpoint .Values.s3.podEndpoint) -}}
{{- $ports = append $ports (include "podbook.portOfUrl" .) -}}
{{- end -}}
{{- join "," (uniq $ports | default (list "443")) -}}
{{- end -}}

{{- define "podbook.portOfUrl" -}}
{{- $url := urlParse . -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $port | default (ternary "80" "443" (eq $url.scheme "http")) -}}
{{- end -}}
