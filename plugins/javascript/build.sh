#!/bin/bash
# Builds the engine of JavaScript scripts: QuickJS as a module.
#
#   plugins/javascript/build.sh OUT.wasm
#
# The sources come from Debian, the compiler is zig; both are pinned. What is
# fetched is kept in UNIFLOW_TOOLS.
set -euo pipefail
out=$(realpath -m "${1:?usage: build.sh OUT.wasm}")
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../script/toolchain.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fetch_zig
fetch_source trixie quickjs quickjs_2025.04.26.orig.tar.xz \
	ec81da5b3249ed648dbc7df4a1654988910e66a118d9b71cb63534216efcfbbe "$work/quickjs"
cp -r "$here" "$work/javascript"
cp -r "$here/../script" "$work/script"
cp "$here/../../sdk/javascript/uniflow.js" "$work/javascript/"
cd "$work/quickjs"
mkdir "$work/objects"
# Of the systems that QuickJS knows, EMSCRIPTEN is the one that is nearest: no threads.
printf '%s\n' 'quickjs.c -O2' 'dtoa.c -O2' 'cutils.c -O2' 'libregexp.c -O2' libunicode.c '../javascript/engine.c --embed-dir=../javascript' |
	compile ../objects -fwrapv -fvisibility=hidden -fno-sanitize=undefined -DNDEBUG -Wno-everything \
		-DEMSCRIPTEN -DCONFIG_STACK_CHECK -DCONFIG_VERSION=\"2025-04-26\" -D_GNU_SOURCE -I../javascript/compat -I.
zig cc -target wasm32-wasi -mexec-model=reactor -O2 -s -o "$work/javascript.wasm" ../objects/*.o \
	-Wl,--gc-sections -Wl,-z,stack-size=1048576
install -D -m 644 "$work/javascript.wasm" "$out"
say "$(stat -c %s "$out") bytes, $(sha256sum "$out" | cut -d' ' -f1)"
