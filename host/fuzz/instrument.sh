#!/bin/sh
# Stands between cargo and rustc for our own crates: with the coverage that libFuzzer follows. What they depend on is built as
# always, so that a fuzz run costs no second build of it, and needs no nightly compiler.
rustc="$1"
shift
exec "$rustc" "$@" --cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares
