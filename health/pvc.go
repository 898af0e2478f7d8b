package health

import "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

type claimStatus struct {
	Phase string `json:"phase"`
}

// persistentVolumeClaim waits only while a volume is being created. The volume controller writes the provisioner's name
// to the claim when it requests a volume: at once, or when the first pod that uses the claim has a node. A pending
// claim without that annotation waits until a pod uses it, or an administrator creates a volume or a default storage
// class. None of these comes by itself.
func persistentVolumeClaim(obj *unstructured.Unstructured) (Health, error) {
	v, err := read[none, claimStatus](obj)
	if err != nil {
		return Health{}, err
	}
	switch v.Status.Phase {
	case "Bound":
		return healthy()
	case "Lost":
		return failed("the volume it was bound to is gone")
	case "", "Pending":
		if by := provisioner(v.Metadata.Annotations); by != "" {
			return progressing("waiting for %s to make its volume", oneLine(by))
		}
		return healthy()
	}
	return Health{Unknown, "unknown phase " + oneLine(v.Status.Phase)}, nil
}

func provisioner(annotations map[string]string) string {
	if by := annotations["volume.kubernetes.io/storage-provisioner"]; by != "" {
		return by
	}
	return annotations["volume.beta.kubernetes.io/storage-provisioner"]
}
