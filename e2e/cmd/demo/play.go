package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"berth.dev/berth/api/v1alpha1"
	"berth.dev/berth/e2e/world"
)

// branch is the feature branch whose life the demo shows.
const branch = "feature/login"

// A story is the state that the steps of the demo share.
type story struct {
	*teller
	stage      *stage
	clone      *clone
	posts      *world.Repository
	production *world.Environment
	preview    *world.Environment
	// main is the commit of production. untouched holds production's objects as they are at that commit.
	main      string
	untouched world.Contents
	// image is the image of the frontend in Git; broken is one that does not exist.
	image, broken string
	// merge is the number of the branch's merge request.
	merge int
}

// play runs the steps, and stops at the first unexpected result.
func play(s *stage, t *teller) (err error) {
	p := &story{teller: t, stage: s}
	defer func() {
		switch cause := recover().(type) {
		case nil:
		case failure:
			t.line("SAW", cause.reason)
			if p.posts != nil && t.ctx.Err() == nil {
				p.posts.Explain()
			}
			err = fmt.Errorf("step %d was not as expected", t.steps)
		default:
			panic(cause)
		}
	}()
	p.mainBecomesProduction()
	p.aBranchBecomesAPreview()
	p.codeChanges()
	p.readmeChanges()
	p.aManifestGoes()
	p.somebodyScales()
	p.anImageIsBroken()
	p.theFixSupersedes()
	p.productionsSecretIsCopied()
	p.theBranchGoes()
	return t.ctx.Err()
}

func (p *story) mainBecomesProduction() {
	p.step("main becomes production",
		"copies examples/posts into a new repository; git push origin main; creates the Secrets with the keys that decrypt its files, "+
			"and the Repository of berth/repository.yaml, in a hurry: it polls every second, and a branch is gone after two",
		"an Environment for main that is Healthy, in the namespace posts")
	p.clone = newClone(p, p.stage.path("posts"), p.stage.url, example)
	p.image, p.broken = "posts-frontend:${TREE:frontend}", "posts-frontend:broken"
	if p.stage.own != nil {
		p.image, p.broken = standIn, "nginxinc/nginx-unprivileged:broken"
		if err := useStandIns(p.clone.dir); err != nil {
			p.Fatalf("cannot adapt the example: %v", err)
		}
		p.line("note", "the example's images are not built, so all its containers run "+standIn)
	}
	p.main = p.clone.push("main", "Begin")
	repository, err := p.stage.repository()
	if err != nil {
		p.Fatalf("%v", err)
	}
	for _, entry := range []string{"production", "review"} {
		key, err := os.ReadFile(filepath.Join(example, "berth", "demo-keys", entry+".agekey"))
		if err != nil {
			p.Fatalf("%v", err)
		}
		p.stage.world.SetSecret(p, "posts-keys-"+entry, map[string]string{"age.agekey": string(key)})
	}
	p.stage.world.SetSecret(p, forgeSecret, map[string]string{"token": forgeToken})
	p.posts = p.stage.world.Follow(p, repository)
	p.production = p.posts.Environment("main")
	environment := p.production.Becomes("Healthy", p.main)
	p.expect("namespace", environment.Spec.Namespace, production)
	p.untouched = p.production.Contents()
	p.saw("%s, at %.8s; %d objects, api with %s replicas", p.state(environment), p.main, len(p.untouched),
		p.production.Object("Deployment/api").Field("spec.replicas"))
}

func (p *story) aBranchBecomesAPreview() {
	p.step(branch+" becomes a preview beside it",
		"git checkout -b "+branch+"; changes the frontend; git push origin "+branch+"; opens a merge request",
		"a second Environment, in a namespace and at a host of its own; production as it was; the merge request says so")
	p.clone.git("checkout", "--quiet", "-b", branch)
	p.clone.write("frontend/index.html", "<h1>Posts</h1>", "<h1>Posts</h1>\n<p>Log in</p>")
	p.merge = p.stage.openMergeRequest(p, "Add a login") // before the push, because no webhook announces it here
	commit := p.clone.push(branch, "Add a login")
	p.preview = p.posts.Environment(branch)
	environment := p.preview.Becomes("Healthy", commit)
	p.expect("host", "https://"+p.host(), environment.Status.Link)
	p.productionIsUntouched()
	note := p.noted("success", "✅ Healthy", commit[:8])
	p.saw("%s, in %s, at %s", p.state(environment), environment.Spec.Namespace, environment.Status.Link)
	p.show()
	p.shown("curl "+p.stage.mergeRequest(p.merge), note)
}

func (p *story) codeChanges() {
	p.step("a change of the application's code migrates, then rolls out",
		"changes app/console.php on "+branch+"; git push",
		"migrate runs again, once; api, worker and scheduler get the new image; nothing else is touched, here or in production")
	before, migration := p.preview.Contents(), p.preview.Object("Job/migrate").GetUID()
	p.clone.write("app/console.php", "<?php", "<?php // with logins")
	commit := p.clone.push(branch, "Check passwords")
	environment := p.preview.Becomes("Healthy", commit)
	p.expectChanges(before, "CronJob/scheduler", "Deployment/api", "Deployment/worker", "Job/migrate")
	again := p.preview.Object("Job/migrate").GetUID()
	if again == migration {
		p.Fatalf("the Job migrate is still that of the commit before")
	}
	p.productionIsUntouched()
	p.saw("%s; changed: scheduler, api, worker, and migrate, which is another Job than before (UID %.8s, was %.8s); %d objects as they were",
		p.state(environment), again, migration, len(before)-4)
}

func (p *story) readmeChanges() {
	p.step("a commit to the README touches nothing",
		"changes README.md on "+branch+"; git push",
		"the Environment is at the new commit, and no other object has another resourceVersion")
	before := p.preview.Contents()
	p.clone.write("README.md", "# posts", "# posts, with logins")
	commit := p.clone.push(branch, "Document logins")
	environment := p.preview.Becomes("Healthy", commit)
	p.expectChanges(before)
	p.productionIsUntouched()
	p.saw("%s at %.8s; all %d objects as they were", p.state(environment), environment.Status.HealthyCommit, len(before))
}

func (p *story) aManifestGoes() {
	p.step("a manifest that is removed is pruned",
		"git rm infra/k8s/worker.yaml on "+branch+", and removes it from the kustomization; git push",
		"the Deployment worker is gone from the preview, and from nowhere else")
	before := p.preview.Contents()
	p.clone.git("rm", "--quiet", "infra/k8s/worker.yaml")
	p.clone.write("infra/k8s/kustomization.yaml", "- worker.yaml\n", "")
	environment := p.preview.Becomes("Healthy", p.clone.push(branch, "Do without the worker"))
	p.preview.AwaitGone("Deployment/worker")
	p.expectChanges(before, "Deployment/worker")
	p.productionIsUntouched()
	p.saw("%s; Deployment/worker is gone, %d objects are as they were", p.state(environment), len(before)-1)
}

func (p *story) somebodyScales() {
	p.step("changes by hand are reverted",
		"scales the Deployment api in production to 7 replicas by hand",
		"2 replicas again, as the Repository says")
	p.production.Patch("Deployment/api", `{"spec":{"replicas":7}}`)
	back := p.production.AwaitObject("Deployment/api", "has 2 replicas again", func(o world.Object) bool {
		return o.Field("spec.replicas") == "2"
	})
	p.saw("Deployment/api has %s replicas", back.Field("spec.replicas"))
	p.production.Becomes("Healthy", p.main)
	p.untouched = p.production.Contents()
}

func (p *story) anImageIsBroken() {
	p.step("a broken image fails where it is, and says why",
		"names an image of the frontend that does not exist on "+branch+"; git push",
		"the preview Failed, with the reason, also in the merge request; production Healthy")
	p.clone.write("infra/k8s/frontend.yaml", p.image, p.broken)
	commit := p.clone.push(branch, "Break the frontend")
	environment := p.preview.Becomes("Failed", commit, "Deployment/frontend", p.broken)
	p.productionIsUntouched()
	note := p.noted("failed", "❌ Failed", commit[:8], p.broken)
	p.saw("%s: %s; production is Healthy", p.state(environment), world.Ready(environment).Message)
	p.show()
	p.shown("curl "+p.stage.mergeRequest(p.merge), note)
}

func (p *story) theFixSupersedes() {
	p.step("the fix supersedes it",
		"names the right image again; git push",
		"the preview Healthy, without anybody's help")
	p.clone.write("infra/k8s/frontend.yaml", p.broken, p.image)
	environment := p.preview.Becomes("Healthy", p.clone.push(branch, "Mend the frontend"))
	p.saw("%s at %.8s", p.state(environment), environment.Status.HealthyCommit)
}

func (p *story) productionsSecretIsCopied() {
	p.step("production's Secret, copied into a branch, stays shut",
		"cp infra/production/secret.yaml infra/review/secret.yaml on "+branch+"; git push; and takes it back",
		"the preview Failed, with who could decrypt the file and what to do; its Secret as it was; then Healthy")
	before := p.preview.Object("Secret/posts")
	p.clone.copy("infra/production/secret.yaml", "infra/review/secret.yaml")
	environment := p.preview.Becomes("Failed", p.clone.push(branch, "Take production's password"),
		"infra/review/secret.yaml", "no available key decrypts it", "sops updatekeys")
	message := world.Ready(environment).Message
	if after := p.preview.Object("Secret/posts"); after.GetResourceVersion() != before.GetResourceVersion() {
		p.Fatalf("the Secret of the preview changed")
	}
	p.productionIsUntouched()
	p.clone.git("revert", "--no-edit", "HEAD")
	p.clone.git("push", "--quiet", "origin", branch)
	environment = p.preview.Becomes("Healthy", p.clone.git("rev-parse", "HEAD"))
	p.saw("%s; before: %s", p.state(environment), message)
}

func (p *story) theBranchGoes() {
	p.step("the branch goes, and its environment with it",
		"git push origin --delete "+branch,
		"neither an Environment nor a namespace for it; production as it was")
	namespace := p.preview.Namespace()
	p.clone.git("checkout", "--quiet", "main")
	p.clone.git("push", "--quiet", "origin", "--delete", branch)
	p.preview.AwaitEnd()
	p.productionIsUntouched()
	p.saw("the namespace %s is gone; production is Healthy", namespace)
}

// productionIsUntouched checks that no object of production has changed, and that production is Healthy.
func (p *story) productionIsUntouched() {
	if changed := p.untouched.Changed(p.production.Contents()); len(changed) > 0 {
		p.Fatalf("in production, %s changed", strings.Join(changed, ", "))
	}
	if saw, is := p.production.Is("Healthy", p.main); !is {
		p.Fatalf("production is not as it was: %s", saw)
	}
}

// expectChanges checks that exactly the given objects of the preview have changed.
func (p *story) expectChanges(before world.Contents, want ...string) {
	if got := before.Changed(p.preview.Contents()); !slices.Equal(got, want) {
		p.Fatalf("changed are %q, and not %q", got, want)
	}
}

func (p *story) expect(what, got, want string) {
	if got != want {
		p.Fatalf("the %s is %q, and not %q", what, got, want)
	}
}

// host returns the host of the preview's Ingress.
func (p *story) host() string {
	rules, _ := p.preview.Object("Ingress/posts").Object["spec"].(map[string]any)["rules"].([]any)
	if len(rules) == 0 {
		p.Fatalf("the Ingress has no rules")
	}
	host, _ := rules[0].(map[string]any)["host"].(string)
	return host
}

func (p *story) state(environment v1alpha1.Environment) string {
	return environment.Name + " is " + world.Ready(environment).Reason
}

// noted waits until the merge request has texts, and returns what it shows.
func (p *story) noted(texts ...string) (page string) {
	world.Await(p, fmt.Sprintf("the merge request says %q", texts), func() (string, bool) {
		page = p.stage.readMergeRequest(p, p.merge)
		return page, !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(page, text) })
	})
	return page
}

// show prints the environments as users see them.
func (p *story) show() {
	output, err := p.stage.get(p.ctx)
	if err != nil {
		p.Fatalf("%v", err)
	}
	p.shown("berth get", output)
}
