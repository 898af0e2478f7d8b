package checkout

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// OpenCommit opens a commit of the repository around a folder, as Git stores it. It returns the commit's full id,
// and a function that removes the temporary copy.
func OpenCommit(dir, commit string) (tree *Tree, id string, remove func() error, err error) {
	temporary, err := os.MkdirTemp("", "berth-commit-")
	if err != nil {
		return nil, "", nil, err
	}
	tree, id, err = checkOut(dir, commit, temporary)
	if err != nil {
		return nil, "", nil, errors.Join(err, os.RemoveAll(temporary))
	}
	return tree, id, func() error { return errors.Join(tree.Close(), os.RemoveAll(temporary)) }, nil
}

func checkOut(dir, commit, to string) (*Tree, string, error) {
	dir, err := realPath(dir)
	if err != nil {
		return nil, "", err
	}
	top, _ := repositoryOf(dir) // in a folder below it, Git would omit all other files
	git := func(args ...string) (string, error) { return plainGit(top, filepath.Join(to, "index"), args...) }
	id, err := git("rev-parse", "--verify", "--quiet", "--end-of-options", commit+"^{commit}")
	if err != nil {
		return nil, "", fmt.Errorf("there is no Git repository at %s that has it", top)
	}
	files := filepath.Join(to, "files")
	if err := os.Mkdir(files, 0o700); err != nil {
		return nil, "", err
	}
	if _, err := git("read-tree", id); err != nil {
		return nil, "", err
	}
	if _, err := git("checkout-index", "--all", "--prefix="+files+string(filepath.Separator)); err != nil {
		return nil, "", err
	}
	tree, _, err := OpenBelow(files, files)
	return tree, id, err
}

// plainGit runs git with an index of its own. It disables settings that would change file contents, and so their
// hashes.
func plainGit(top, index string, args ...string) (string, error) {
	plain := []string{"-C", top, "-c", "core.fsmonitor=false", "-c", "core.autocrlf=false", "-c", "core.eol=lf", "-c", "core.hooksPath=" + os.DevNull,
		"-c", "filter.lfs.smudge=", "-c", "filter.lfs.process=", "-c", "filter.lfs.required=false"}
	command := exec.Command("git", append(plain, args...)...)
	command.Env = append(os.Environ(), "GIT_INDEX_FILE="+index)
	text, err := command.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(string(text)))
	}
	return strings.TrimSpace(string(text)), nil
}
