package manifest

import (
	"crypto/hmac"
	"crypto/sha256"
	"io"
	"strings"
)

// Prover makes and checks the proofs in AnnotationDigest: that this installation made an object, of one environment,
// with exactly this identity. Everyone with rights in a namespace can write labels and annotations, or copy them with
// the object. A proof can be neither forged nor used for another object.
//
// The zero value makes no proofs and accepts none.
type Prover struct {
	key       []byte
	credulous bool
}

// NewProver returns the Prover of an installation. The key must not be empty.
func NewProver(key []byte) Prover { return Prover{key: key} }

// Credulous returns a Prover that accepts every proof. It is for programs that only show what the agent would do and
// do not have the installation's key.
func Credulous() Prover { return Prover{credulous: true} }

// proofVersion is part of every proof, so that a change of the proved content invalidates old proofs.
const proofVersion = "berth.dev/digest proof 1"

// proofSeparator separates the digest from the proof. Neither contains it.
const proofSeparator = "."

// Proves reports whether the Prover makes proofs.
func (p Prover) Proves() bool { return len(p.key) > 0 }

// Mark returns the value of AnnotationDigest: the digest of an object's source, and the proof.
func (p Prover) Mark(environment string, k Key, digest string) string {
	if !p.Proves() {
		return digest
	}
	return digest + proofSeparator + p.proof(environment, k, digest)
}

// ReadMark returns the digest and the proof in a value of AnnotationDigest. The proof is empty in objects that were
// written before proofs existed.
func ReadMark(mark string) (digest, proof string) {
	digest, proof, _ = strings.Cut(mark, proofSeparator)
	return digest, proof
}

// Made reports whether the proof is valid for an object of an environment with this identity and digest.
func (p Prover) Made(environment string, k Key, digest, proof string) bool {
	switch {
	case proof == "":
		return false
	case p.credulous:
		return true
	}
	return p.Proves() && hmac.Equal([]byte(proof), []byte(p.proof(environment, k, digest)))
}

// proof is keyed with the key of Secrets' digests. Those sum JSON, which begins with a brace, so no object's digest
// can equal a proof.
func (p Prover) proof(environment string, k Key, digest string) string {
	sum := hmac.New(sha256.New, p.key)
	for _, part := range []string{proofVersion, environment, k.Group, k.Kind, k.Namespace, k.Name, digest} {
		_, _ = io.WriteString(sum, part+"\x00") // writing to a hash never fails
	}
	return Short(sum.Sum(nil))
}
