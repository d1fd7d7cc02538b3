// Package vectors gives a plugin cases that the host runs when the plugin is uploaded.
package vectors

// Embed gives the cases, an array in JSON; with `//go:embed vectors.json` they are a file beside the source. Call it in an init
// function.
func Embed(cases string) {
	embed(cases)
}
