package shared

// Waits reports whether an operation of a kind may wait; with an empty kind, whether
// one of any kind may.
func Waits(kind Kind, op string) bool {
	if kind != "" {
		return operations[kind][op].waits
	}
	for _, of := range operations {
		if of[op].waits {
			return true
		}
	}
	return false
}

// kindOf returns the kind of the object of a call without one: the object's own, or
// for a new object the only kind that has the operation.
func (s *Space) kindOf(c *Call) (Kind, *Error) {
	if obj := s.objects[c.Name]; obj != nil {
		return obj.base().kind, nil
	}
	if usual := usualKinds[c.Op]; usual != "" {
		return usual, nil
	}
	var kinds []Kind
	for _, kind := range Kinds() {
		if _, ok := operations[kind][c.Op]; ok {
			kinds = append(kinds, kind)
		}
	}
	switch len(kinds) {
	case 0:
		return "", errorf(ErrArgument, "no kind of shared object has an operation %q", c.Op)
	case 1:
		return kinds[0], nil
	}
	return "", errorf(ErrArgument, "there is no shared object %.100q yet; name its kind: %s", c.Name, join(kinds))
}

// usualKinds are the kinds of new objects for operations that several kinds have.
var usualKinds = map[string]Kind{"add": Value, "acquire": Lock}
