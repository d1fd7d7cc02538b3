//go:build !wasip1

package vectors

func embed(string) {}
