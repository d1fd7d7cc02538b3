package vectors

// Cases is set by the package vectors.
var Cases = func() string { return "[]" }
