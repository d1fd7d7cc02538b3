#!/usr/bin/env bash
# Builds engine.wasm. The result is kept beside this file, because servers and CI are built on machines that have none of these
# tools; a test holds it to the digests of what it is made of.
#
#   apt-get install -y --no-install-recommends clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32
#
# The bindings are made by ../../guest-sdk/generate, of wit/ and ../../wit/1.0.0.
set -euo pipefail
cd "$(dirname "$0")"
work="${1:-$(mktemp -d)}"
# Where engine.wasm goes: beside this file, or elsewhere, to be compared.
out="${2:-.}"

# quickjs-ng 0.16.2, as a crate carries it.
crate=rquickjs-sys
crate_version=0.14.0
crate_sha256=cee271d0eeba64f0915b846cb7ae02e16faf3dfdffdca91731101d9d30fe3423
wizer=10.0.0
wizer_sha256=bd74fcd8677c5c511f8a7b053965d774bf0534109638a8e1b015d6190d26cb6e

if [ ! -d "$work/crates/vendor" ]; then
    mkdir -p "$work/crates/src"
    : >"$work/crates/src/lib.rs"
    printf '[package]\nname = "sources"\nversion = "0.0.0"\nedition = "2024"\n[dependencies]\n%s = "=%s"\n[workspace]\n' \
        "$crate" "$crate_version" >"$work/crates/Cargo.toml"
    cargo vendor --quiet --manifest-path "$work/crates/Cargo.toml" "$work/crates/vendor" >/dev/null
fi
grep -q "\"package\":\"$crate_sha256\"" "$work/crates/vendor/$crate/.cargo-checksum.json" || {
    echo "$crate $crate_version is not what this was written for" >&2
    exit 1
}
if [ ! -d "$work/node_modules" ]; then
    npm install --silent --no-fund --no-audit --ignore-scripts --prefix "$work" "@bytecodealliance/wizer@$wizer"
fi
wizer="$work/node_modules/@bytecodealliance/wizer-linux-x64/wizer"
echo "$wizer_sha256  $wizer" | sha256sum --check --quiet

# For WASI the sources set no limit to the stack, since not every runtime has the room that they would assume. Ours has.
sources="$work/quickjs"
rm -rf "$sources"
cp -r "$work/crates/vendor/$crate/quickjs" "$sources"
sed -i '/^static void update_stack_limit/,/^}/s/^#if defined(__wasi__)$/#if 0/' "$sources/quickjs.c"
grep -A3 '^static void update_stack_limit' "$sources/quickjs.c" | grep -q '^#if 0$'
cat src/imports.c >>"$sources/quickjs.c"
# A script that recurses gets an error, as long as the stack that the sources count ends before that of the machine, which nobody
# counts: what recurses with little of the one is given more of it.
room() {
    local held='__asm__ volatile("" ::"r"(room))'
    perl -0pi -e "s/\n(static [^;{}]*\b$1\([^;{}]*\)\n\{)/\n\$1 char room[$2]; $held;/ or die '$1 is not there'" \
        "$sources/quickjs.c"
}
room json_parse_value 128
room js_parse_assign_expr2 320
room js_parse_unary 64
room js_parse_function_decl2 1024

flags=(--target=wasm32-wasi --sysroot=/usr -std=gnu23 -D_GNU_SOURCE -DNDEBUG -Oz "-ffile-prefix-map=$work=." -I "$sources" -I bindings)
objects=()
for file in "$sources"/{quickjs,libregexp,libunicode,dtoa}.c src/engine.c src/subject.c src/services.c src/host.c bindings/script.c; do
    object="$work/$(basename "$file" .c).o"
    warnings=(-w)
    case $file in src/*) warnings=(-Wall -Wextra -Werror) ;; esac
    clang-19 "${flags[@]}" "${warnings[@]}" -c "$file" -o "$object" &
    objects+=("$object")
done
for job in $(jobs -p); do wait "$job"; done
# The stack comes first in memory, so that what grows beyond it traps.
clang-19 --target=wasm32-wasi --sysroot=/usr -nostartfiles -Wl,--no-entry -Wl,--stack-first -Wl,-z,stack-size=262144 \
    -Wl,--strip-debug -Wl,--gc-sections "${objects[@]}" bindings/script_component_type.o -o "$work/core.wasm"
"$wizer" "$work/core.wasm" -o "$out/engine.wasm"
ls -l "$work/core.wasm" "$out/engine.wasm"
# What it is made of, and what came out: a test compares them.
[ "$out" != . ] || LC_ALL=C sha256sum engine.wasm build.sh src/* bindings/* wit/* | sort -k2 >engine.sha256
