module conformance

go 1.25

require ringback v0.0.0

replace ringback => ../../go
