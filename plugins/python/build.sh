#!/bin/bash
# Builds the engine of Python scripts: CPython and its library as one module.
#
#   plugins/python/build.sh OUT.wasm
#
# The sources come from Debian, the compiler is zig; both are pinned. What is
# fetched is kept in UNIFLOW_TOOLS.
set -euo pipefail
out=$(realpath -m "${1:?usage: build.sh OUT.wasm}")
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../script/toolchain.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
host_python
fetch_zig
fetch_source bookworm python3.11 python3.11_3.11.2.orig.tar.gz \
	2411c74bda5bbcfcddaf4531f66d1adc73f247f529aee981b029513aefdbf849 "$work/cpython"
fetch_source bookworm zlib zlib_1.2.13.dfsg.orig.tar.bz2 \
	71feb7947e3c00ef125f83b79a4e529bde31171e5babe48b391f06758d1ab0a1 "$work/zlib"
cp -r "$here" "$work/python"
cp -r "$here/../script" "$work/script"
cd "$work/cpython"
mkdir "$work/objects" "$work/generated"
"$python" -I ../python/freeze.py Lib "$here/../../sdk/python" ../generated
{ cat "$here/sources.txt"; echo ../python/engine.c; echo ../python/modules.c; } |
	compile ../objects -std=c11 -fwrapv -fno-strict-aliasing -fvisibility=hidden -fno-sanitize=undefined -DNDEBUG \
		-Wno-everything -DPy_BUILD_CORE -D_WASI_EMULATED_SIGNAL -D_WASI_EMULATED_GETPID -D_WASI_EMULATED_PROCESS_CLOCKS \
		-I../python -I. -IInclude -IInclude/internal -I../zlib -I../generated
zig cc -target wasm32-wasi -mexec-model=reactor -O2 -s -o "$work/python.wasm" ../objects/*.o \
	-lwasi-emulated-signal -lwasi-emulated-getpid -lwasi-emulated-process-clocks -Wl,--gc-sections -Wl,-z,stack-size=1048576
install -D -m 644 "$work/python.wasm" "$out"
say "$(stat -c %s "$out") bytes, $(sha256sum "$out" | cut -d' ' -f1)"
