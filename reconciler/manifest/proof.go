package manifest

import (
	"crypto/hmac"
	"crypto/sha256"
	"io"
	"strings"
)

// Prover makes and checks the proofs in AnnotationDigest: that this installation made an object, for an
// environment, under just this identity. Labels and annotations can be written by anybody with rights in a
// namespace, and copied with the object; a proof can be neither forged nor used for another object.
//
// The zero value makes no proofs and takes none for true.
type Prover struct {
	key       []byte
	credulous bool
}

// NewProver returns the Prover of an installation. The key must not be empty.
func NewProver(key []byte) Prover { return Prover{key: key} }

// Credulous returns a Prover that takes every proof for true. It is for programs that only show what the agent
// would do and do not have the installation's key.
func Credulous() Prover { return Prover{credulous: true} }

// proofVersion is part of every proof, so that a change of what is proved is seen as such.
const proofVersion = "berth.dev/digest proof 1"

// proofSeparator separates the digest from the proof. Neither contains it.
const proofSeparator = "."

// Proves says whether the Prover makes proofs.
func (p Prover) Proves() bool { return len(p.key) > 0 }

// Mark returns the value of AnnotationDigest: the digest of what an object is made from, and the proof.
func (p Prover) Mark(environment string, k Key, digest string) string {
	if !p.Proves() {
		return digest
	}
	return digest + proofSeparator + p.proof(environment, k, digest)
}

// ReadMark returns the digest and the proof in a value of AnnotationDigest. The proof is empty in objects that
// were written before there were proofs.
func ReadMark(mark string) (digest, proof string) {
	digest, proof, _ = strings.Cut(mark, proofSeparator)
	return digest, proof
}

// Made says whether a proof is that of an object of an environment with this identity and digest.
func (p Prover) Made(environment string, k Key, digest, proof string) bool {
	switch {
	case proof == "":
		return false
	case p.credulous:
		return true
	}
	return p.Proves() && hmac.Equal([]byte(proof), []byte(p.proof(environment, k, digest)))
}

// proof is keyed with the key of Secrets' digests. Those sum JSON, which begins with a brace: no content of an
// object has the digest that is a proof.
func (p Prover) proof(environment string, k Key, digest string) string {
	sum := hmac.New(sha256.New, p.key)
	for _, part := range []string{proofVersion, environment, k.Group, k.Kind, k.Namespace, k.Name, digest} {
		_, _ = io.WriteString(sum, part+"\x00") // a hash takes everything
	}
	return Short(sum.Sum(nil))
}
