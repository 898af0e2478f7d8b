package secrets

// combine makes a secret whole from Shamir's shares of it over GF(2^8), as SOPS splits its data keys:
// the last byte of each share is its x, and the others are the y for each byte of the secret.
func combine(shares [][]byte) ([]byte, error) {
	size := len(shares[0])
	seen := map[byte]bool{}
	for _, share := range shares {
		if len(share) != size || size < 2 || share[size-1] == 0 || seen[share[size-1]] {
			return nil, tampered("the parts of its data key do not fit together")
		}
		seen[share[size-1]] = true
	}
	secret := make([]byte, size-1)
	for i, share := range shares {
		weight := lagrange(shares, i)
		for at := range secret {
			secret[at] ^= multiply(weight, share[at])
		}
	}
	return secret, nil
}

// lagrange returns what share i counts for at x = 0.
func lagrange(shares [][]byte, i int) byte {
	x := func(share []byte) byte { return share[len(share)-1] }
	weight := byte(1)
	for j, other := range shares {
		if i != j {
			weight = multiply(weight, multiply(x(other), inverse(x(other)^x(shares[i]))))
		}
	}
	return weight
}

// inverse returns a^254, which is 1/a.
func inverse(a byte) byte {
	result := byte(1)
	for range 254 {
		result = multiply(result, a)
	}
	return result
}

// multiply works modulo x^8+x^4+x^3+x+1, the polynomial of AES, in constant time.
func multiply(a, b byte) byte {
	var product byte
	for range 8 {
		product ^= -(b & 1) & a
		a = a<<1 ^ -(a>>7)&0x1b
		b >>= 1
	}
	return product
}
