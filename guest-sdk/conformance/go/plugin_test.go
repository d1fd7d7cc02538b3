package main

import (
	"testing"

	"ringback/ringbacktest"
)

func TestVectors(t *testing.T) {
	ringbacktest.Vectors(t, "vectors.json")
}
