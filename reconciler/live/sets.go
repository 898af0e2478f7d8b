package live

// add puts an element into the set of that name.
func add[K, E comparable](sets map[K]set[E], name K, element E) {
	if sets[name] == nil {
		sets[name] = set[E]{}
	}
	sets[name][element] = struct{}{}
}

// drop takes an element out of the set of that name, and the set away when that was its last.
func drop[K, E comparable](sets map[K]set[E], name K, element E) {
	delete(sets[name], element)
	if len(sets[name]) == 0 {
		delete(sets, name)
	}
}
