package main

// sources are the manifests in the chart. Those of components are conditional.
var sources = []source{
	{from: "crds/berth.dev_environments.yaml", to: "crds/environments.yaml", when: ".Values.crds.create"},
	{from: "crds/berth.dev_repositories.yaml", to: "crds/repositories.yaml", when: ".Values.crds.create"},
	{from: "namespace.yaml", to: "namespace.yaml", when: ".Values.namespace.create", edits: []edit{
		{line: "  name: berth", with: "  name: {{ .Release.Namespace }}\n"},
	}},
	{from: "service_account.yaml", to: "service_account.yaml", edits: []edit{
		{line: "    app.kubernetes.io/part-of: berth", with: `
    app.kubernetes.io/part-of: berth
  {{- with .Values.serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
`},
	}},
	{from: "rbac/agent.yaml", to: "rbac/agent.yaml"},
	{from: "rbac/environment.yaml", to: "rbac/environment.yaml"},
	{from: "rbac/people.yaml", to: "rbac/people.yaml"},
	{from: "policies.yaml", to: "policies.yaml"},
	{from: "service.yaml", to: "service.yaml"},
	{from: "deployment.yaml", to: "deployment.yaml", edits: deployment},
	{from: "components/cluster-scope/cluster_role.yaml", to: "components/cluster_scope.yaml", when: ".Values.clusterScope.create"},
	{from: "components/metrics-authorization/cluster_role_binding.yaml", to: "components/metrics_authorization.yaml", when: ".Values.metricsAuthorization.enabled"},
	{from: "components/monitoring/rules.yaml", to: "components/prometheus_rule.yaml", when: ".Values.prometheusRule.create", edits: []edit{
		{line: "    app.kubernetes.io/part-of: berth", with: `
    app.kubernetes.io/part-of: berth
    {{- with .Values.prometheusRule.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
`},
	}},
	{from: "components/page/roles.yaml", to: "components/page_roles.yaml", when: ".Values.page.enabled"},
	{from: "components/page/service.yaml", to: "components/page_service.yaml", when: ".Values.page.enabled"},
	{from: "components/watch-secrets/cluster_role.yaml", to: "components/watch_secrets.yaml", when: `eq .Values.watchSecrets "cluster"`},
	{from: "components/webhook-ingress/ingress.yaml", to: "components/webhook_ingress.yaml", when: ".Values.webhookIngress.create", edits: ingress},
}

var deployment = []edit{
	{line: "  replicas: *", with: "  replicas: {{ .Values.replicas }}\n"},
	{line: "    spec:", with: `
        {{- with .Values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with .Values.podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      {{- with .Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 6 }}
      {{- end }}
      {{- with .Values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- with .Values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 6 }}
      {{- end }}
      {{- with .Values.topologySpreadConstraints }}
      topologySpreadConstraints:
        {{- toYaml . | nindent 6 }}
      {{- end }}
`},
	{line: "      affinity:", block: true, with: `
      {{- with .Values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
`},
	{line: "        # Built from the Dockerfile. Set your registry with `images:` in your overlay.", with: ""},
	{line: "        image: *", with: `
        image: {{ include "berth.image" . }}
        {{- with .Values.image.pullPolicy }}
        imagePullPolicy: {{ . }}
        {{- end }}
`},
	{line: "        - --git-store-bytes=*", with: "        - --git-store-bytes={{ .Values.store.gitStoreBytes }}\n"},
	{line: "        - --log-format=json", with: `
        - --log-format=json
        {{- if .Values.metricsAuthorization.enabled }}
        - --metrics-authorization
        {{- end }}
        {{- if ne .Values.watchSecrets "namespaces" }}
        - --watch-secrets={{ .Values.watchSecrets }}
        {{- end }}
        {{- with .Values.agentName }}
        - --agent-name={{ . }}
        {{- end }}
        {{- with .Values.page }}
        {{- if .enabled }}
        - --page-address=:8090
        {{- with .url }}
        - {{ printf "--page-url=%s" . | quote }}
        {{- end }}
        {{- with .issuer }}
        - {{ printf "--page-issuer=%s" . | quote }}
        {{- end }}
        {{- with .clientID }}
        - {{ printf "--page-client-id=%s" . | quote }}
        {{- end }}
        {{- if ne .secret "berth-page" }}
        - --page-secret={{ .secret }}
        {{- end }}
        {{- end }}
        {{- end }}
        {{- range .Values.extraArgs }}
        - {{ . | quote }}
        {{- end }}
`},
	{line: "          value: *", with: `
          value: {{ .Values.goMemoryLimit }}
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
`},
	{line: "          containerPort: 9292", with: `
          containerPort: 9292
        {{- if .Values.page.enabled }}
        - name: page
          containerPort: 8090
        {{- end }}
`},
	{line: "        resources:", block: true, with: `
        resources:
          {{- toYaml .Values.resources | nindent 10 }}
`},
	{line: "          mountPath: /var/lib/berth", with: `
          mountPath: /var/lib/berth
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
`},
	{line: "          sizeLimit: *", with: `
          sizeLimit: {{ .Values.store.sizeLimit }}
      {{- with .Values.extraVolumes }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
`},
}

var ingress = []edit{
	{line: "  annotations:", block: true, with: `
  {{- with .Values.webhookIngress.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
`},
	{line: "  tls:", with: `
  {{- with .Values.webhookIngress.className }}
  ingressClassName: {{ . }}
  {{- end }}
  tls:
`},
	{line: "  - hosts: [berth.example.com]", with: "  - hosts: [{{ required \"webhookIngress.host is the host name of the webhooks\" .Values.webhookIngress.host }}]\n"},
	{line: "    secretName: berth-webhooks-tls", with: "    secretName: {{ .Values.webhookIngress.tlsSecret }}\n"},
	{line: "  - host: berth.example.com", with: "  - host: {{ .Values.webhookIngress.host }}\n"},
}
