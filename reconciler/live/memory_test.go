package live

import (
	"fmt"
	"runtime"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/reconciler/manifest"
)

// BenchmarkObject measures what an object costs in memory: 1,000 environments of 12 objects each must
// fit in a budget that they share with everything else.
func BenchmarkObject(b *testing.B) {
	const environments, objects = 1000, 12
	for b.Loop() {
		w := New(Config{})
		k := newKind(w, place{GroupKind: configMaps.GroupKind()})
		k.gvk = configMaps
		w.kinds[k.place] = k
		before := heap()
		for e := range environments {
			for o := range objects {
				k.put(k.reduce(large(fmt.Sprintf("posts-feature-%04d", e), fmt.Sprintf("settings-%d", o), e*objects+o)))
			}
		}
		b.ReportMetric(float64(heap()-before)/environments/objects, "bytes/object")
		runtime.KeepAlive(w)
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC() // what the first one found to be unreachable is freed by the second
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// large returns the metadata of an object as a watch brings it, with far more than is kept.
func large(namespace, name string, number int) *metav1.PartialObjectMetadata {
	obj := &metav1.PartialObjectMetadata{}
	obj.Namespace, obj.Name = namespace, name
	obj.UID = types.UID(fmt.Sprintf("00000000-0000-0000-0000-%012d", number))
	obj.ResourceVersion = fmt.Sprint(1000000 + number)
	obj.Labels = map[string]string{manifest.LabelEnvironment: "abcdefghij." + manifest.Digest(namespace)}
	obj.Annotations = map[string]string{
		manifest.AnnotationDigest: "1:" + manifest.Digest(name),
		"other":                   fmt.Sprintf("%01000d", number),
	}
	obj.ManagedFields = []metav1.ManagedFieldsEntry{{
		Manager: manifest.FieldManager, Operation: metav1.ManagedFieldsOperationApply,
		FieldsV1: metav1.NewFieldsV1(fmt.Sprintf(`{"f:data": {"f:%01000d": {}}}`, number)),
	}}
	return obj
}
