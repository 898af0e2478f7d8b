package apply

const (
	front = `
apiVersion: v1
kind: Service
metadata: {name: front, namespace: NS}
spec:
  selector: {app: front}
  ports: [{name: http, port: 80}]
`
	// pods is a Deployment that uses every union of a pod.
	pods = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: pods, namespace: NS}
spec:
  selector: {matchLabels: {app: pods}}
  template:
    metadata: {labels: {app: pods}}
    spec:
      containers:
      - name: first
        image: "example.com/first:1"
        env: [{name: MODE, value: fast}, {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]
        ports: [{name: http, containerPort: 8080}]
        livenessProbe: {httpGet: {path: /live, port: 8080}}
        readinessProbe: {exec: {command: ["true"]}}
        startupProbe: {tcpSocket: {port: 8080}}
        lifecycle: {preStop: {exec: {command: [sleep, "1"]}}, postStart: {httpGet: {port: 8080}}}
        volumeMounts: [{name: scratch, mountPath: /scratch, subPath: a}]
      volumes:
      - {name: scratch, emptyDir: {}}
      - {name: config, configMap: {name: config}}
      - {name: host, hostPath: {path: /var}}
`
)

// edits are changes that users and other clients make to an object, as JSON patches.
var edits = []struct{ name, git, edit string }{
	{"a Service's port", front, `[{"op":"replace","path":"/spec/ports/0/port","value":83}]`},
	{"a Service's port without a name", with(front, "name: http, ", ""), `[{"op":"replace","path":"/spec/ports/0/port","value":83}]`},
	{"a Service's protocol", front, `[{"op":"replace","path":"/spec/ports/0/protocol","value":"UDP"}]`},
	{"a Service's type", with(front, "spec:", "spec:\n  type: ClusterIP"), `[{"op":"replace","path":"/spec/type","value":"NodePort"}]`},
	{"a Service's type, to a name", with(front, "spec:", "spec:\n  type: ClusterIP"), `[{"op":"replace","path":"/spec/type","value":"ExternalName"},{"op":"add","path":"/spec/externalName","value":"example.com"},{"op":"remove","path":"/spec/clusterIP"},{"op":"remove","path":"/spec/clusterIPs"}]`},
	{"a Service's affinity", with(front, "spec:", "spec:\n  sessionAffinity: None"), `[{"op":"replace","path":"/spec/sessionAffinity","value":"ClientIP"}]`},
	{"a variable's value", pods, `[{"op":"replace","path":"/spec/template/spec/containers/0/env/0","value":{"name":"MODE","valueFrom":{"configMapKeyRef":{"name":"a","key":"b"}}}}]`},
	{"where a variable comes from", pods, `[{"op":"replace","path":"/spec/template/spec/containers/0/env/1","value":{"name":"NODE","value":"one"}}]`},
	{"a variable's reference", pods, `[{"op":"replace","path":"/spec/template/spec/containers/0/env/1","value":{"name":"NODE","valueFrom":{"secretKeyRef":{"name":"a","key":"b"}}}}]`},
	{"two variables", pods, `[{"op":"replace","path":"/spec/template/spec/containers/0/env/0","value":{"name":"MODE","valueFrom":{"configMapKeyRef":{"name":"a","key":"b"}}}},{"op":"replace","path":"/spec/template/spec/containers/0/env/1","value":{"name":"NODE","value":"one"}}]`},
	{"a container's port", pods, `[{"op":"replace","path":"/spec/template/spec/containers/0/ports/0/containerPort","value":9090}]`},
	{"a probe, httpGet to tcpSocket", pods, `[{"op":"replace","path":"/spec/template/spec/containers/0/livenessProbe","value":{"tcpSocket":{"port":8080}}}]`},
	{"a probe, exec to grpc", pods, `[{"op":"replace","path":"/spec/template/spec/containers/0/readinessProbe","value":{"grpc":{"port":8080}}}]`},
	{"a probe, tcpSocket to exec", pods, `[{"op":"replace","path":"/spec/template/spec/containers/0/startupProbe","value":{"exec":{"command":["true"]}}}]`},
	{"preStop, exec to httpGet", pods, `[{"op":"replace","path":"/spec/template/spec/containers/0/lifecycle/preStop","value":{"httpGet":{"port":8080}}}]`},
	{"preStop, exec to sleep", pods, `[{"op":"replace","path":"/spec/template/spec/containers/0/lifecycle/preStop","value":{"sleep":{"seconds":1}}}]`},
	{"postStart", pods, `[{"op":"replace","path":"/spec/template/spec/containers/0/lifecycle/postStart","value":{"exec":{"command":["true"]}}}]`},
	{"a volume, emptyDir to hostPath", pods, `[{"op":"replace","path":"/spec/template/spec/volumes/0","value":{"name":"scratch","hostPath":{"path":"/x"}}}]`},
	{"a volume, configMap to secret", pods, `[{"op":"replace","path":"/spec/template/spec/volumes/1","value":{"name":"config","secret":{"secretName":"x"}}}]`},
	{"a volume, configMap to projected", pods, `[{"op":"replace","path":"/spec/template/spec/volumes/1","value":{"name":"config","projected":{"sources":[{"secret":{"name":"x"}}]}}}]`},
	{"a volume, hostPath to a claim", pods, `[{"op":"replace","path":"/spec/template/spec/volumes/2","value":{"name":"host","persistentVolumeClaim":{"claimName":"x"}}}]`},
	{"a volume, emptyDir to ephemeral", pods, `[{"op":"replace","path":"/spec/template/spec/volumes/0","value":{"name":"scratch","ephemeral":{"volumeClaimTemplate":{"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}}}}]`},
	{"subPath to subPathExpr", pods, `[{"op":"remove","path":"/spec/template/spec/containers/0/volumeMounts/0/subPath"},{"op":"add","path":"/spec/template/spec/containers/0/volumeMounts/0/subPathExpr","value":"$(MODE)"}]`},
	{"a seccomp profile", with(pods, "      containers:", "      securityContext: {seccompProfile: {type: RuntimeDefault}}\n      containers:"), `[{"op":"replace","path":"/spec/template/spec/securityContext/seccompProfile","value":{"type":"Localhost","localhostProfile":"x"}}]`},
	{"a strategy, Recreate to RollingUpdate", with(pods, "spec:\n  selector", "spec:\n  strategy: {type: Recreate}\n  selector"), `[{"op":"replace","path":"/spec/strategy","value":{"type":"RollingUpdate"}}]`},
	{"a StatefulSet's strategy", with(statefulSet, "serviceName: db,", "serviceName: db, updateStrategy: {type: OnDelete},"), `[{"op":"replace","path":"/spec/updateStrategy","value":{"type":"RollingUpdate"}}]`},
	{"a DaemonSet's strategy", with(daemonSet, "spec: {selector", "spec: {updateStrategy: {type: OnDelete}, selector"), `[{"op":"replace","path":"/spec/updateStrategy","value":{"type":"RollingUpdate"}}]`},
	{"data to binaryData", configMap, `[{"op":"remove","path":"/data"},{"op":"add","path":"/binaryData","value":{"mode":"AAEC"}}]`},
	{"minAvailable to maxUnavailable", "{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: api, namespace: NS}, spec: {minAvailable: 1, selector: {matchLabels: {app: api}}}}",
		`[{"op":"remove","path":"/spec/minAvailable"},{"op":"add","path":"/spec/maxUnavailable","value":1}]`},
	{"an Ingress's default backend", "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: api, namespace: NS}, spec: {defaultBackend: {service: {name: api, port: {number: 80}}}}}",
		`[{"op":"replace","path":"/spec/defaultBackend","value":{"resource":{"apiGroup":"example.com","kind":"Bucket","name":"x"}}}]`},
	{"the port of an Ingress's default backend", "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: api, namespace: NS}, spec: {defaultBackend: {service: {name: api, port: {number: 80}}}}}",
		`[{"op":"replace","path":"/spec/defaultBackend/service/port","value":{"name":"http"}}]`},
	{"where a webhook is", webhook, `[{"op":"replace","path":"/webhooks/0/clientConfig","value":{"url":"https://example.com/"}}]`},
	{"a CronJob's variable", cronJob, `[{"op":"replace","path":"/spec/jobTemplate/spec/template/spec/containers/0/env/0","value":{"name":"MODE","valueFrom":{"fieldRef":{"fieldPath":"spec.nodeName"}}}}]`},
	{"a priority level", level, `[{"op":"replace","path":"/spec/limited/limitResponse","value":{"type":"Queue","queuing":{"queues":64,"handSize":6,"queueLengthLimit":50}}}]`},
}

const (
	daemonSet = "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: db, namespace: NS}, spec: {selector: {matchLabels: {app: db}}, template: {metadata: {labels: {app: db}}, spec: {containers: [{name: a, image: b}]}}}}"
	cronJob   = "{apiVersion: batch/v1, kind: CronJob, metadata: {name: tidy, namespace: NS}, spec: {schedule: '@daily', jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: b, env: [{name: MODE, value: fast}]}]}}}}}}"
	level     = "{apiVersion: flowcontrol.apiserver.k8s.io/v1, kind: PriorityLevelConfiguration, metadata: {name: NS}, spec: {type: Limited, limited: {nominalConcurrencyShares: 1, limitResponse: {type: Reject}}}}"
	webhook   = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: NS}
webhooks:
- name: nobody.example.com
  clientConfig: {service: {name: nobody, namespace: NS}}
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: nowhere}}
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]
  sideEffects: None
  admissionReviewVersions: [v1]
`
)

// changes are an object in Git before and after a commit that chooses another member of a union.
var changes = []struct{ name, before, after string }{
	{"a Deployment's strategy", pods, with(pods, "spec:\n  selector", "spec:\n  strategy: {type: Recreate}\n  selector")},
	{"a Deployment's strategy, written out", with(pods, "spec:\n  selector", "spec:\n  strategy: {type: RollingUpdate}\n  selector"), with(pods, "spec:\n  selector", "spec:\n  strategy: {type: Recreate}\n  selector")},
	{"a Deployment's strategy, in parts", with(pods, "spec:\n  selector", "spec:\n  strategy: {rollingUpdate: {maxSurge: 1}}\n  selector"), with(pods, "spec:\n  selector", "spec:\n  strategy: {type: Recreate}\n  selector")},
	{"a Deployment's strategy, and back", with(pods, "spec:\n  selector", "spec:\n  strategy: {type: Recreate}\n  selector"), pods},
	{"a StatefulSet's strategy", statefulSet, with(statefulSet, "serviceName: db,", "serviceName: db, updateStrategy: {type: OnDelete},")},
	{"a StatefulSet's strategy, and back", with(statefulSet, "serviceName: db,", "serviceName: db, updateStrategy: {type: OnDelete},"), statefulSet},
	{"a DaemonSet's strategy", daemonSet, with(daemonSet, "spec: {selector", "spec: {updateStrategy: {type: OnDelete}, selector")},
	{"a DaemonSet's strategy, written out", with(daemonSet, "spec: {selector", "spec: {updateStrategy: {type: RollingUpdate}, selector"), with(daemonSet, "spec: {selector", "spec: {updateStrategy: {type: OnDelete}, selector")},
	{"a DaemonSet's strategy, and back", with(daemonSet, "spec: {selector", "spec: {updateStrategy: {type: OnDelete}, selector"), daemonSet},
	{"NodePort to ClusterIP", with(front, "spec:", "spec:\n  type: NodePort"), with(front, "spec:", "spec:\n  type: ClusterIP")},
	{"NodePort to nothing", with(front, "spec:", "spec:\n  type: NodePort"), front},
	{"ClusterIP to ExternalName", front, with(front, "spec:", "spec:\n  type: ExternalName\n  externalName: example.com")},
	{"ExternalName to ClusterIP", with(front, "spec:", "spec:\n  type: ExternalName\n  externalName: example.com"), front},
	{"LoadBalancer to ClusterIP", with(front, "spec:", "spec:\n  type: LoadBalancer\n  externalTrafficPolicy: Local\n  allocateLoadBalancerNodePorts: true\n  loadBalancerClass: example.com/lb"), with(front, "spec:", "spec:\n  type: ClusterIP")},
	{"LoadBalancer to NodePort", with(front, "spec:", "spec:\n  type: LoadBalancer\n  externalTrafficPolicy: Local"), with(front, "spec:", "spec:\n  type: NodePort")},
	{"LoadBalancer to ExternalName", with(front, "spec:", "spec:\n  type: LoadBalancer"), with(front, "spec:", "spec:\n  type: ExternalName\n  externalName: example.com")},
	{"another port of a NodePort", with(front, "spec:", "spec:\n  type: NodePort"), with(with(front, "spec:", "spec:\n  type: NodePort"), "port: 80", "port: 81")},
	{"a Service's affinity", with(front, "spec:", "spec:\n  sessionAffinity: ClientIP"), with(front, "spec:", "spec:\n  sessionAffinity: None")},
	{"a volume, emptyDir to configMap", pods, with(pods, "emptyDir: {}", "configMap: {name: x}")},
	{"a volume, configMap to secret", pods, with(pods, "configMap: {name: config}", "secret: {secretName: x}")},
	{"a volume, hostPath to emptyDir", pods, with(pods, "hostPath: {path: /var}", "emptyDir: {}")},
	{"a volume, hostPath to ephemeral", pods, with(pods, "hostPath: {path: /var}", "ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}}")},
	{"a volume, configMap to projected", pods, with(pods, "configMap: {name: config}", "projected: {sources: [{configMap: {name: config}}]}")},
	{"a volume, nothing to configMap", with(pods, "{name: scratch, emptyDir: {}}", "{name: scratch}"), with(pods, "{name: scratch, emptyDir: {}}", "{name: scratch, configMap: {name: x}}")},
	{"a probe, httpGet to tcpSocket", pods, with(pods, "httpGet: {path: /live, port: 8080}", "tcpSocket: {port: 8080}")},
	{"a probe, exec to grpc", pods, with(pods, "readinessProbe: {exec: {command: [\"true\"]}}", "readinessProbe: {grpc: {port: 8080}}")},
	{"preStop, exec to sleep", pods, with(pods, "preStop: {exec: {command: [sleep, \"1\"]}}", "preStop: {sleep: {seconds: 1}}")},
	{"a variable, value to valueFrom", pods, with(pods, "value: fast", "valueFrom: {fieldRef: {fieldPath: spec.nodeName}}")},
	{"a variable, valueFrom to value", pods, with(pods, "valueFrom: {fieldRef: {fieldPath: spec.nodeName}}", "value: one")},
	{"a variable, fieldRef to secretKeyRef", pods, with(pods, "fieldRef: {fieldPath: spec.nodeName}", "secretKeyRef: {name: a, key: b}")},
	{"the queue of a priority level", with(level, "type: Reject", "type: Queue, queuing: {queues: 8}"), level},
	{"where a webhook is", webhook, with(webhook, "service: {name: nobody, namespace: NS}", "url: 'https://example.com/'")},
	{"a CRD's conversion", crd, with(crd, "scope: Namespaced", "scope: Namespaced\n  conversion: {strategy: Webhook, webhook: {clientConfig: {url: 'https://example.com/'}, conversionReviewVersions: [v1]}}")},
	{"a CRD's conversion, and back", with(crd, "scope: Namespaced", "scope: Namespaced\n  conversion: {strategy: Webhook, webhook: {clientConfig: {url: 'https://example.com/'}, conversionReviewVersions: [v1]}}"), with(crd, "scope: Namespaced", "scope: Namespaced\n  conversion: {strategy: None}")},
	{"minAvailable to maxUnavailable", budget, with(budget, "minAvailable", "maxUnavailable")},
	{"an autoscaler's metric", hpa, with(hpa, "{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}", "{type: Pods, pods: {metric: {name: rps}, target: {type: AverageValue, averageValue: 10}}}")},
	{"an autoscaler's behaviour", hpa, with(hpa, "maxReplicas: 7,", "maxReplicas: 7, behavior: {scaleDown: {selectPolicy: Disabled}},")},
	{"data to binaryData", configMap, with(configMap, "data: {mode: fast}", "binaryData: {mode: AAEC}")},
	{"a seccomp profile", with(pods, "      containers:", "      securityContext: {seccompProfile: {type: Localhost, localhostProfile: x}}\n      containers:"), with(pods, "      containers:", "      securityContext: {seccompProfile: {type: RuntimeDefault}}\n      containers:")},
	{"hostNetwork that leaves", with(pods, "      containers:", "      hostNetwork: true\n      containers:"), pods},
	{"an account that leaves a Deployment", with(pods, "      containers:", "      serviceAccountName: api\n      containers:"), pods},
	{"an account that leaves under its deprecated name", with(pods, "      containers:", "      serviceAccount: api\n      containers:"), pods},
	{"an account of a Deployment", with(pods, "      containers:", "      serviceAccountName: api\n      containers:"), with(pods, "      containers:", "      serviceAccountName: web\n      containers:")},
	{"an account that leaves a StatefulSet", with(statefulSet, "containers:", "serviceAccountName: api, containers:"), statefulSet},
	{"an account that leaves a DaemonSet", with(daemonSet, "containers:", "serviceAccountName: api, containers:"), daemonSet},
	{"an account that leaves a CronJob", with(cronJob, "restartPolicy: Never,", "restartPolicy: Never, serviceAccountName: api,"), cronJob},
	{"egress that leaves a NetworkPolicy", with(network, "ingress: [{}]", "ingress: [{}], egress: [{}]"), network},
	{"egress that comes to a NetworkPolicy", network, with(network, "ingress: [{}]", "ingress: [{}], egress: [{}]")},
	{"an image that is no longer the latest", with(pods, "example.com/first:1", "example.com/first"), pods},
	{"an image that becomes the latest", pods, with(pods, "example.com/first:1", "example.com/first")},
	{"a scope that leaves a webhook", with(webhook, "resources: [configmaps]", "resources: [configmaps], scope: Namespaced"), webhook},
	{"a toleration's value", with(pods, "      containers:", "      tolerations: [{key: a, operator: Equal, value: b}]\n      containers:"), with(pods, "      containers:", "      tolerations: [{key: a, operator: Exists}]\n      containers:")},
	{"a port's target", with(front, "port: 80", "port: 80, targetPort: web"), front},
	{"a backend", ingress, with(ingress, "service: {name: api, port: {number: 80}}", "resource: {apiGroup: example.com, kind: Bucket, name: x}")},
}

const (
	network = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: api, namespace: NS}, spec: {podSelector: {}, ingress: [{}]}}"
	budget  = "{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: api, namespace: NS}, spec: {minAvailable: 1, selector: {matchLabels: {app: api}}}}"
	ingress = "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: api, namespace: NS}, spec: {defaultBackend: {service: {name: api, port: {number: 80}}}}}"
	hpa     = "{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: api, namespace: NS}, spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: api}, maxReplicas: 7, metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]}}"
	crd     = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.NS.example.com}
spec:
  group: NS.example.com
  scope: Namespaced
  names: {kind: Thing, plural: things}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
`
)
