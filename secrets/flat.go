package secrets

import (
	"fmt"
	"regexp"
)

const (
	flatMap  = "__map_"
	flatList = "__list_"
)

var flatSeparator = regexp.MustCompile(flatMap + "|" + flatList)

// unflatten reads metadata from formats that do not nest: age__list_0__map_enc is sops.age[0].enc.
func unflatten(flat branch) (branch, error) {
	root := &flatNode{}
	for _, it := range flat {
		if it.comment {
			continue
		}
		if err := root.place(it.key, it.value); err != nil {
			return nil, err
		}
	}
	value, err := root.nested()
	if err != nil {
		return nil, err
	}
	nested, ok := value.(branch)
	if !ok {
		return nil, malformed("its sops part is not a mapping")
	}
	return nested, nil
}

// flatNode is a value, or what stands below it by name. The items of lists are named by their numbers.
type flatNode struct {
	value any
	items map[string]*flatNode
	list  bool
}

func (n *flatNode) place(key string, value any) error {
	separators := flatSeparator.FindAllString(key, -1)
	names := flatSeparator.Split(key, -1)
	if len(names) > maxDepth {
		return malformed("its values nest deeper than %d levels", maxDepth)
	}
	for i, name := range names {
		isList := i > 0 && separators[i-1] == flatList
		if n.value != nil || n.items != nil && n.list != isList {
			return malformed("its sops part contradicts itself at %q", shortened(key))
		}
		if n.items == nil {
			n.items, n.list = map[string]*flatNode{}, isList
		}
		if n.items[name] == nil {
			n.items[name] = &flatNode{}
		}
		n = n.items[name]
	}
	if n.value != nil || n.items != nil {
		return malformed("its sops part contradicts itself at %q", shortened(key))
	}
	n.value = value
	return nil
}

func (n *flatNode) nested() (any, error) {
	if n.items == nil {
		return n.value, nil
	}
	var (
		items  sequence
		values branch
	)
	for i := range len(n.items) {
		if !n.list {
			break
		}
		it := n.items[fmt.Sprint(i)]
		if it == nil {
			return nil, malformed("its sops part lacks items of a list")
		}
		value, err := it.nested()
		if err != nil {
			return nil, err
		}
		items = append(items, value)
	}
	if n.list {
		return items, nil
	}
	for name, it := range n.items {
		value, err := it.nested()
		if err != nil {
			return nil, err
		}
		values = append(values, item{key: name, value: value})
	}
	return values, nil
}
