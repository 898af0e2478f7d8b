//go:build !unix

package buildtest

import "errors"

// lock fails, so that tests on other systems say why they cannot run.
func lock(string) (unlock func(), err error) {
	return nil, errors.New("the tests build programs only on Linux and other Unix systems")
}
