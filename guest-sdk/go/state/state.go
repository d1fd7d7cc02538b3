// Package state is a small store of the plugin's own, shared by its versions and calls in one workspace. Keys have 1 to 256
// bytes, values at most 64 KiB, else "too-large"; at most 10,000 keys, else "too-many-keys".
package state

import "ringback/internal/host"

// Get is the value of a key; nil when it is not set.
func Get(key string) ([]byte, error) { return host.StateGet(key) }

// Set sets a key, and returns when the value is on disk.
func Set(key string, value []byte) error { return host.StateSet(key, value) }

// Remove removes a key; one that is not there is no mistake.
func Remove(key string) error { return host.StateRemove(key) }
