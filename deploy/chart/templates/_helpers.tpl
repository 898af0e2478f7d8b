{{- /* The agent's image. */}}
{{- define "berth.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- /* What distinguishes the ClusterRoleBindings of installations outside the namespace berth. */}}
{{- define "berth.suffix" -}}
{{- if ne .Release.Namespace "berth" -}}
-{{ .Release.Namespace }}
{{- end -}}
{{- end -}}
