// Package types has the types of what a plugin exports and imports, as the server reads them.
package types

import "embed"

// Files are by the names of the interfaces.
//
//go:embed *.bin
var Files embed.FS
