package vectors

import "ringback/internal/exports/vectors"

func embed(cases string) {
	vectors.Cases = func() string { return cases }
}
