package v1alpha1_test

import (
	"maps"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	goodRepository = `
apiVersion: berth.dev/v1alpha1
kind: Repository
metadata: {name: posts, namespace: default}
spec:
  url: https://gitlab.example.com/acme/posts.git
  secretRef: {name: posts-git}
  poll: "@every 1m"
  timeZone: Europe/Amsterdam
  webhook: {secretRef: {name: posts-webhook}}
  goneAfter: 5m
  limits: {fetchBytes: 1Gi, fileBytes: 10Mi, files: 10000, fetchTimeout: 5m}
  suspend: false
`
	goodEntry = `
name: review
branches: ["**", "!main", "!renovate/**"]
path: infra/k8s
namespace: "posts-${BRANCH_SLUG}"
variables: {HOST: "${BRANCH_SLUG}.review.example.com", REPLICAS: 3}
link: "https://${HOST}"
decryption: {secretRef: {name: posts-keys-review}, kinds: [ConfigMap, Certificate.cert-manager.io], allow: ["https://vault.example.com/v1/transit"]}
copySecrets: [{name: registry-pull}]
expireAfter: 72h
limit: 20
`
)

// production is what an entry needs to have another one's rights over the cluster.
const production = `name: production, branches: [main], namespace: posts, expireAfter: null, `

func TestRepositoryEntries(t *testing.T) {
	cases := map[string]struct {
		entry   string // merged into goodEntry
		refused string // part of the message; empty if the entry is fine
	}{
		"as the design has it":           {entry: `{}`},
		"production":                     {entry: `{` + production + `scope: Cluster, serviceAccountName: posts-deployer, onRemoval: Orphan, health: {timeout: 10m, onFailure: Rollback, imagePullGrace: 10m}}`},
		"name with capitals":             {entry: `{name: Review}`, refused: `spec.environments[0].name`},
		"name with a dot":                {entry: `{name: re.view}`, refused: `spec.environments[0].name`},
		"an agent":                       {entry: `{agent: eu-west_1.a}`},
		"an agent without a name":        {entry: `{agent: ""}`},
		"an agent with a space":          {entry: `{agent: "eu west"}`, refused: `agent must consist of letters`},
		"an agent that ends with a dash": {entry: `{agent: eu-}`, refused: `agent must consist of letters`},
		"an agent with a slash":          {entry: `{agent: eu/west}`, refused: `agent must consist of letters`},
		"an agent with a long name":      {entry: `{agent: ` + strings.Repeat("a", 64) + `}`, refused: `spec.environments[0].agent`},
		"a cluster":                      {entry: `{cluster: {secretRef: {name: staging.eu}}}`},
		"a cluster and an agent":         {entry: `{agent: west, cluster: {secretRef: {name: staging}}}`},
		"a cluster without a Secret":     {entry: `{cluster: {}}`, refused: `spec.environments[0].cluster.secretRef`},
		"a cluster with a slash":         {entry: `{cluster: {secretRef: {name: berth/staging}}}`, refused: `spec.environments[0].cluster.secretRef.name`},
		"a cluster's kubeconfig as keys": {entry: `{cluster: {secretRef: {name: posts-keys-review}}}`, refused: `cluster and decryption must name different Secrets`},
		"a copied kubeconfig":            {entry: `{cluster: {secretRef: {name: registry-pull}}}`, refused: `copySecrets must not copy the kubeconfig of a cluster`},
		"no branches":                    {entry: `{branches: []}`, refused: `spec.environments[0].branches`},
		"empty branch":                   {entry: `{branches: ["**", ""]}`, refused: `spec.environments[0].branches[1]`},
		"negation first":                 {entry: `{branches: ["!main", "**"]}`, refused: `the first of branches must not be a negation`},
		"negation of nothing":            {entry: `{branches: ["**", "!"]}`, refused: `a branch must be a name or a pattern`},
		"double negation":                {entry: `{branches: ["**", "!!main"]}`, refused: `a branch must be a name or a pattern`},
		"exclamation mark inside":        {entry: `{branches: ["**", "fix!now"]}`},
		"branch in other letters":        {entry: `{branches: ["功能/**"]}`},
		"character class":                {entry: `{branches: ["v[0-9]"]}`, refused: `a branch must be a name or a pattern`},
		"alternatives":                   {entry: `{branches: ["{main,next}"]}`, refused: `a branch must be a name or a pattern`},
		"space in a branch":              {entry: `{branches: ["my branch"]}`, refused: `a branch must be a name or a pattern`},
		"absolute path":                  {entry: `{path: /infra}`, refused: `path must be relative`},
		"path upwards":                   {entry: `{path: infra/../..}`, refused: `path must be relative`},
		"path with dots in a name":       {entry: `{path: infra/..k8s}`},
		"path with backslashes":          {entry: `{path: 'infra\k8s'}`, refused: `path must be relative`},
		"empty path":                     {entry: `{path: ""}`, refused: `spec.environments[0].path`},
		"namespace with capitals":        {entry: `{namespace: "Posts-${BRANCH_SLUG}"}`, refused: `namespace must consist of`},
		"namespace of a slug alone":      {entry: `{namespace: "${BRANCH_SLUG}"}`},
		"namespace with a slug inside":   {entry: `{namespace: "a-${BRANCH_SLUG}-b"}`},
		"namespace ends in a dash":       {entry: `{namespace: "${BRANCH_SLUG}-"}`, refused: `namespace must consist of`},
		"namespace with two slugs":       {entry: `{namespace: "${BRANCH_SLUG}${BRANCH_SLUG}"}`, refused: `namespace must consist of`},
		"namespace with another name":    {entry: `{namespace: "${CI_COMMIT_REF_SLUG}-${BRANCH_SLUG}"}`, refused: `namespace must consist of`},
		"namespace with 63 characters":   {entry: `{namespace: "` + strings.Repeat("a", 23) + `${BRANCH_SLUG}"}`},
		"namespace with 64 characters":   {entry: `{namespace: "` + strings.Repeat("a", 24) + `${BRANCH_SLUG}"}`, refused: `namespace must fit 63 characters`},
		"pattern without a slug":         {entry: `{namespace: posts}`, refused: `namespace must contain ${BRANCH_SLUG}`},
		"two branches without a slug":    {entry: `{branches: [main, next], namespace: posts}`, refused: `namespace must contain ${BRANCH_SLUG}`},
		"one branch without a slug":      {entry: `{branches: [main], namespace: posts, expireAfter: null}`},
		"unknown scope":                  {entry: `{scope: World}`, refused: `spec.environments[0].scope`},
		"cluster without an account":     {entry: `{` + production + `scope: Cluster}`, refused: `scope Cluster needs a serviceAccountName`},
		"cluster with a pattern":         {entry: `{scope: Cluster, serviceAccountName: deployer}`, refused: `scope Cluster needs branches by name`},
		"account with a bad name":        {entry: `{serviceAccountName: "a:b"}`, refused: `spec.environments[0].serviceAccountName`},
		"account of the agent's own":     {entry: `{serviceAccountName: berth-apply}`, refused: `berth-apply is the account that is used without serviceAccountName`},
		"a template":                     {entry: `{namespaceTemplate: {labels: {pod-security.kubernetes.io/enforce: restricted}, annotations: {example.com/owner: "posts, 2nd floor"}, resourceQuota: {hard: {pods: "20", requests.cpu: 2}}, limitRange: {limits: [{type: Container, defaultRequest: {cpu: 50m}}]}, networkPolicies: [{name: own, spec: {podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}}]}}`},
		"a template with Berth's label":  {entry: `{namespaceTemplate: {labels: {berth.dev/environment: mine}}}`, refused: `a label must not be one that Berth or Kubernetes itself sets`},
		"a template with Berth's mark":   {entry: `{namespaceTemplate: {annotations: {berth.dev/branch: main}}}`, refused: `an annotation must not be one that Berth itself sets`},
		"a label with a long value":      {entry: `{namespaceTemplate: {labels: {team: ` + strings.Repeat("a", 64) + `}}}`, refused: `spec.environments[0].namespaceTemplate.labels.team`},
		"a label with a bad name":        {entry: `{namespaceTemplate: {labels: {"a b": c}}}`, refused: `a label's name must consist of`},
		"a quota of nothing":             {entry: `{namespaceTemplate: {resourceQuota: {hard: {pods: many}}}}`, refused: `spec.environments[0].namespaceTemplate.resourceQuota.hard.pods`},
		"two policies of one name":       {entry: `{namespaceTemplate: {networkPolicies: [{name: a, spec: {podSelector: {}}}, {name: a, spec: {podSelector: {}}}]}}`, refused: `Duplicate value`},
		"a policy without a spec":        {entry: `{namespaceTemplate: {networkPolicies: [{name: a}]}}`, refused: `spec.environments[0].namespaceTemplate.networkPolicies[0].spec`},
		"decryption without a Secret":    {entry: `{decryption: {allow: ["https://vault.example.com/v1/transit"]}}`},
		"decryption with nothing":        {entry: `{decryption: {kinds: [ConfigMap], allow: []}}`, refused: `decryption must name the Secret with the keys in secretRef, or in allow`},
		"decryption into no kind":        {entry: `{decryption: {secretRef: {name: keys}, kinds: [configmaps]}}`, refused: `spec.environments[0].decryption.kinds[0]`},
		"variable with a dash":           {entry: `{variables: {my-host: x}}`, refused: `a variable's name must consist of`},
		"variable begins with a digit":   {entry: `{variables: {"1ST": x}}`, refused: `a variable's name must consist of`},
		"variable begins with _":         {entry: `{variables: {_first: x}}`},
		"built-in variable":              {entry: `{variables: {NAMESPACE: x}}`, refused: `a variable must not have the name of a built-in one`},
		"GitLab's variable":              {entry: `{variables: {CI_COMMIT_SHA: x}}`, refused: `a variable must not have the name of a built-in one`},
		"GitLab's, but not ours":         {entry: `{variables: {CI_REGISTRY_IMAGE: x}}`},
		"variable of 33 bits":            {entry: `{variables: {N: 4294967296}}`, refused: `a variable's value must be`},
		"very long variable":             {entry: `{variables: {N: ` + strings.Repeat("x", 4097) + `}}`, refused: `a variable's value must be`},
		"boolean variable":               {entry: `{variables: {N: true}}`, refused: `must be of type`},
		"list as variable":               {entry: `{variables: {N: [a]}}`, refused: `must be of type`},
		"allowed hosts":                  {entry: `{allowedHosts: ["posts.example.com", "*.review.example.com", "${HOST}", "*.${BRANCH_SLUG}.x", "*"]}`},
		"an empty list of hosts":         {entry: `{allowedHosts: []}`, refused: `spec.environments[0].allowedHosts`},
		"a host with a scheme":           {entry: `{allowedHosts: ["https://x"]}`, refused: `an allowed host must be a name`},
		"a host with a star inside":      {entry: `{allowedHosts: ["a.*.b"]}`, refused: `an allowed host must be a name`},
		"allowed types of Services":      {entry: `{allowedServiceTypes: [ClusterIP, NodePort]}`},
		"an unknown type of Services":    {entry: `{allowedServiceTypes: [Headless]}`, refused: `spec.environments[0].allowedServiceTypes[0]`},
		"no type of Services":            {entry: `{allowedServiceTypes: []}`, refused: `spec.environments[0].allowedServiceTypes`},
		"allowed claims":                 {entry: `{allowedClaims: [Snippets, ExternalIPs, ForeignServices, AccountTokens]}`},
		"no claims":                      {entry: `{allowedClaims: []}`},
		"an unknown claim":               {entry: `{allowedClaims: [Everything]}`, refused: `spec.environments[0].allowedClaims[0]`},
		"link that runs a script":        {entry: `{link: "javascript:alert(1)"}`, refused: `link must begin with https://`},
		"secret copied twice":            {entry: `{copySecrets: [{name: a}, {name: a}]}`, refused: `Duplicate value`},
		"timeout without a unit":         {entry: `{health: {timeout: "10"}}`, refused: `spec.environments[0].health.timeout`},
		"negative grace":                 {entry: `{health: {imagePullGrace: -1m}}`, refused: `spec.environments[0].health.imagePullGrace`},
		"a wait for images":              {entry: `{waitForImages: 15m}`},
		"a wait of a word":               {entry: `{waitForImages: soon}`, refused: `spec.environments[0].waitForImages: Invalid value: "soon": waitForImages must be between 1s and 24h: 15m is usual; to wait for nothing, leave it out`},
		"a wait of nothing":              {entry: `{waitForImages: 0s}`, refused: `waitForImages must be between 1s and 24h: 15m is usual; to wait for nothing, leave it out`},
		"a wait of days":                 {entry: `{waitForImages: 48h}`, refused: `waitForImages must be between 1s and 24h: 15m is usual; to wait for nothing, leave it out`},
		"unknown policy":                 {entry: `{health: {onFailure: Panic}}`, refused: `spec.environments[0].health.onFailure`},
		"unknown removal":                {entry: `{onRemoval: Keep}`, refused: `spec.environments[0].onRemoval`},
		"expiry that no integer holds":   {entry: `{expireAfter: 99999999h}`, refused: `spec.environments[0].expireAfter`},
		"expiry of what stays":           {entry: `{expireAfter: 72h, onRemoval: Orphan}`, refused: `expireAfter deletes what runs`},
		"expiry of a branch by name":     {entry: `{branches: [main], expireAfter: 72h}`, refused: `set onRemoval to Delete`},
		"expiry of one that may go":      {entry: `{branches: [main], expireAfter: 72h, onRemoval: Delete}`},
		"limit of none":                  {entry: `{limit: 0}`, refused: `spec.environments[0].limit`},
		"names that just fit":            {entry: `{name: ` + strings.Repeat("a", 16) + `}`},
		"names that do not fit":          {entry: `{name: ` + strings.Repeat("a", 17) + `}`, refused: `must fit 63 characters`},
		"a literal branch leaves room":   {entry: `{branches: [main], expireAfter: null, name: ` + strings.Repeat("a", 45) + `}`},
		"but not for everything":         {entry: `{branches: [main], name: ` + strings.Repeat("a", 46) + `}`, refused: `must fit 63 characters`},
		"a long branch leaves as a glob": {entry: `{branches: [` + strings.Repeat("b", 34) + `], name: ` + strings.Repeat("a", 17) + `}`, refused: `must fit 63 characters`},
	}
	api := connect(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			repository := parse(t, goodRepository)
			entry := merged(t, goodEntry, c.entry)
			set(t, repository, []any{entry}, "spec", "environments")
			expect(t, api.Create(t.Context(), repository, client.DryRunAll), c.refused)
		})
	}
}

func TestRepository(t *testing.T) {
	cases := map[string]struct {
		spec    string // merged into goodRepository's spec
		refused string
	}{
		"as the design has it":       {spec: `{}`},
		"http":                       {spec: `{url: "http://127.0.0.1:3000/posts.git"}`},
		"ssh":                        {spec: `{url: "ssh://git@gitlab.example.com:2222/acme/posts.git"}`},
		"file":                       {spec: `{url: "file:///srv/git/posts.git"}`},
		"ssh without a scheme":       {spec: `{url: "git@gitlab.example.com:acme/posts.git"}`, refused: `write git@HOST:PATH as ssh://git@HOST/PATH`},
		"ftp":                        {spec: `{url: "ftp://example.com/posts.git"}`, refused: `url must be https://HOST/PATH`},
		"no host":                    {spec: `{url: "https:///posts.git"}`, refused: `url must be https://HOST/PATH`},
		"password in the url":        {spec: `{url: "https://me:secret@example.com/posts.git"}`, refused: `url must not hold credentials`},
		"token in the url":           {spec: `{url: "https://token@example.com/posts.git"}`, refused: `url must not hold credentials`},
		"password in an ssh url":     {spec: `{url: "ssh://git:secret@example.com/posts.git"}`, refused: `url must not hold credentials`},
		"feedback":                   {spec: `{feedback: {secretRef: {name: forge}}}`},
		"feedback of another host":   {spec: `{url: "ssh://git@git.example.com/posts.git", feedback: {secretRef: {name: forge}}}`, refused: `feedback needs a provider`},
		"feedback by a path":         {spec: `{url: "https://git.example.com/gitlab/posts.git", feedback: {secretRef: {name: forge}}}`, refused: `feedback needs a provider`},
		"feedback by its url":        {spec: `{url: "https://git.example.com/posts.git", feedback: {url: "https://gitea.example.com:3000/sub", secretRef: {name: forge}}}`},
		"feedback by its provider":   {spec: `{url: "https://git.example.com/posts.git", feedback: {provider: Gitea, statuses: Blocking, note: Never, secretRef: {name: forge}}}`},
		"feedback without a token":   {spec: `{feedback: {provider: GitLab}}`, refused: `spec.feedback.secretRef`},
		"feedback of nothing":        {spec: `{feedback: {statuses: Never, note: Never, secretRef: {name: forge}}}`, refused: `feedback reports nothing`},
		"feedback with plans":        {spec: `{feedback: {plan: {}, secretRef: {name: forge}}}`},
		"plans of forks":             {spec: `{feedback: {plan: {forks: true}, secretRef: {name: forge}}}`},
		"plans without a note":       {spec: `{feedback: {plan: {}, note: Never, secretRef: {name: forge}}}`, refused: `the plan is a part of the note`},
		"plans by a boolean":         {spec: `{feedback: {plan: true, secretRef: {name: forge}}}`, refused: `spec.feedback.plan`},
		"feedback of deployments":    {spec: `{feedback: {statuses: Never, note: Never, deployments: Recorded, secretRef: {name: forge}}}`},
		"deployments of Gitea":       {spec: `{feedback: {provider: Gitea, deployments: Recorded, secretRef: {name: forge}}}`, refused: `Gitea and Forgejo have no deployments`},
		"feedback with credentials":  {spec: `{feedback: {url: "https://a:b@gitlab.example.com", secretRef: {name: forge}}}`, refused: `url must be https://HOST`},
		"feedback with a query":      {spec: `{feedback: {url: "https://gitlab.example.com?token=x", secretRef: {name: forge}}}`, refused: `url must be https://HOST`},
		"feedback of a folder":       {spec: `{url: "file:///srv/gitlab/posts.git", feedback: {provider: GitLab, secretRef: {name: forge}}}`, refused: `feedback needs a repository on a forge`},
		"feedback of an unknown API": {spec: `{feedback: {provider: Bitbucket, secretRef: {name: forge}}}`, refused: `spec.feedback.provider`},
		"cron":                       {spec: `{poll: "*/5 8-18 * * MON-FRI"}`},
		"cron with a list":           {spec: `{poll: "0,30 */2 1 JAN,JUL ?"}`},
		"descriptor":                 {spec: `{poll: "@hourly"}`},
		"every 1h30m":                {spec: `{poll: "@every 1h30m"}`},
		"every nothing":              {spec: `{poll: "@every 0s"}`, refused: `poll must be a cron expression`},
		"every 10ms":                 {spec: `{poll: "@every 10ms"}`, refused: `poll must be a cron expression`},
		"cron with seconds":          {spec: `{poll: "0 */5 * * * *"}`, refused: `poll must be a cron expression`},
		"cron with four fields":      {spec: `{poll: "*/5 * * *"}`, refused: `poll must be a cron expression`},
		"cron at its limits":         {spec: `{poll: "59 23 31 12 6"}`},
		"cron with minute 61":        {spec: `{poll: "0-61 * * * *"}`, refused: `poll has a number that is too large for its field`},
		"cron with hour 24":          {spec: `{poll: "* 8,24 * * *"}`, refused: `poll has a number that is too large for its field`},
		"cron with weekday 7":        {spec: `{poll: "* * * * 7"}`, refused: `poll has a number that is too large for its field`},
		"cron with a huge number":    {spec: `{poll: "* * 99999999999999999999 * *"}`, refused: `poll has a number that is too large for its field`},
		"reboot":                     {spec: `{poll: "@reboot"}`, refused: `poll must be a cron expression`},
		"no cron":                    {spec: `{poll: ""}`, refused: `poll must be a cron expression`},
		"zone in cron":               {spec: `{poll: "TZ=UTC 0 * * * *"}`, refused: `poll must not hold a time zone`},
		"zone in cron, long form":    {spec: `{poll: "CRON_TZ=Asia/Tokyo 0 * * * *"}`, refused: `poll must not hold a time zone`},
		"zone":                       {spec: `{timeZone: America/Argentina/Buenos_Aires}`},
		"zone with a sign":           {spec: `{timeZone: Etc/GMT+1}`},
		"zone of the machine":        {spec: `{timeZone: Local}`, refused: `timeZone must be an IANA name`},
		"zone outside the database":  {spec: `{timeZone: ../etc/passwd}`, refused: `timeZone must be an IANA name`},
		"secret without a name":      {spec: `{secretRef: {name: ""}}`, refused: `spec.secretRef.name`},
		"webhook without a secret":   {spec: `{webhook: {}}`, refused: `spec.webhook.secretRef`},
		"gone after a word":          {spec: `{goneAfter: soon}`, refused: `spec.goneAfter`},
		"fetch of nothing":           {spec: `{limits: {fetchBytes: 0}}`, refused: `fetchBytes must be more than 0`},
		"fetch of less than nothing": {spec: `{limits: {fetchBytes: -1Gi}}`, refused: `fetchBytes must be more than 0`},
		"fetch of a plain number":    {spec: `{limits: {fetchBytes: 1000000}}`},
		"files of nothing":           {spec: `{limits: {fileBytes: "0"}}`, refused: `fileBytes must be more than 0`},
		"no branches":                {spec: `{limits: {branches: 0}}`, refused: `spec.limits.branches`},
		"no environments":            {spec: `{limits: {environments: 0}}`, refused: `spec.limits.environments`},
		"too many environments":      {spec: `{limits: {environments: 1000000}}`, refused: `spec.limits.environments`},
		"a listing of nothing":       {spec: `{limits: {listingBytes: 0}}`, refused: `listingBytes must be more than 0`},
		"no files":                   {spec: `{limits: {files: 0}}`, refused: `spec.limits.files`},
		"fetch without an end":       {spec: `{limits: {fetchTimeout: ""}}`, refused: `spec.limits.fetchTimeout`},
		"no entries":                 {spec: `{environments: []}`, refused: `spec.environments`},
		"two entries of one name":    {spec: `{environments: [{name: a, branches: [a], namespace: a}, {name: a, branches: [b], namespace: b}]}`, refused: `Duplicate value`},
	}
	api := connect(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			repository := parse(t, goodRepository)
			set(t, repository, []any{merged(t, goodEntry, `{}`)}, "spec", "environments")
			spec := repository.Object["spec"].(map[string]any)
			maps.Copy(spec, values(t, c.spec))
			expect(t, api.Create(t.Context(), repository, client.DryRunAll), c.refused)
		})
	}
}

func TestRepositoryName(t *testing.T) {
	api := connect(t)
	repository := parse(t, goodRepository)
	set(t, repository, []any{merged(t, goodEntry, `{}`)}, "spec", "environments")
	repository.SetName("acme.posts")
	expect(t, api.Create(t.Context(), repository, client.DryRunAll), "metadata.name must not contain a dot")
}
