package stores

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1alpha1"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// repository returns a Repository with changes.
func repository(change ...func(*v1alpha1.Repository)) *v1alpha1.Repository {
	repo := &v1alpha1.Repository{
		ObjectMeta: metav1.ObjectMeta{Name: "posts", Namespace: "berth"},
		Spec:       v1alpha1.RepositorySpec{URL: "https://git.example.com/acme/posts.git"},
	}
	for _, f := range change {
		f(repo)
	}
	return repo
}
