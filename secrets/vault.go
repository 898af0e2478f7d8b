package secrets

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
)

func parseVault(content []byte) (string, error) {
	token := strings.TrimSpace(string(content))
	if token == "" || printable(token) != token {
		return "", errors.New("it is not a token of Vault")
	}
	return token, nil
}

// openVault asks the transit engine of HashiCorp Vault, or of OpenBao.
// https://developer.hashicorp.com/vault/api-docs/secret/transit#decrypt-data
func (s *remoteService) openVault(r recipient) ([]byte, error) {
	if s.credentials.vaultToken == "" {
		return nil, errNoKey
	}
	body, err := json.Marshal(map[string]string{"ciphertext": r.dataKey})
	if err != nil {
		return nil, errBadDataKey
	}
	at := strings.LastIndex(r.remote.id, "/keys/")
	address := r.remote.id[:at] + "/decrypt/" + r.remote.id[at+len("/keys/"):]
	header := http.Header{"X-Vault-Token": {s.credentials.vaultToken}, "X-Vault-Request": {"true"}, "Content-Type": {"application/json"}}
	var answer struct {
		Data struct {
			Plaintext []byte `json:"plaintext"`
		} `json:"data"`
	}
	if err := s.post(address, header, body, &answer); err != nil {
		return nil, unreachable(r, err)
	}
	return answer.Data.Plaintext, nil
}
