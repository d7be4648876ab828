#!/bin/sh
# Rebuilds the guests that are committed as WebAssembly because they are not
# written in Go, and compares them with what is committed. It installs nothing:
# it needs clang and wasm-ld 14, as Debian 12 packages them (clang, lld).
#
#   .ci/guests.sh          compare; exit 1 on a difference
#   .ci/guests.sh --write  replace the committed files
set -eu
cd "$(dirname "$0")/.."

for tool in clang wasm-ld sha256sum; do
	if ! command -v "$tool" >/dev/null; then
		echo "guests: $tool is missing; on Debian 12 install clang and lld" >&2
		exit 1
	fi
done

build() { # source, output, target
	case "$3" in
	*/lines/dwarf[45].wasm)
		debug=${3%.wasm}
		set -- "$1" "$2" -O0 "-gdwarf-${debug##*dwarf}" -fdebug-compilation-dir=. -Wno-infinite-recursion
		;;
	*) set -- "$1" "$2" -Oz -Wl,--strip-all ;;
	esac
	source=$1 output=$2
	shift 2
	clang --target=wasm32 -std=c11 -ffreestanding -nostdlib -Wall -Wextra -Werror -Isdk/c \
		-fno-builtin -Wl,--no-entry -Wl,-z,stack-size=16384 "$@" -o "$output" "$source"
}

digest() { sha256sum "$1" | cut -d' ' -f1; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0
while read -r source target; do
	build "$source" "$scratch/guest.wasm" "$target"
	if [ "${1:-}" = "--write" ]; then
		cp "$scratch/guest.wasm" "$target"
		chmod 644 "$target"
	fi
	if [ ! -f "$target" ]; then
		echo "guests: $target is missing; write it with .ci/guests.sh --write" >&2
		failed=1
	elif [ "$(digest "$scratch/guest.wasm")" != "$(digest "$target")" ]; then
		echo "guests: $target is not what $source builds to" >&2
		echo "  built     $(digest "$scratch/guest.wasm") by $(clang --version | head -n 1)" >&2
		echo "  committed $(digest "$target") by clang 14 of Debian 12" >&2
		echo "  after a change of the source: .ci/guests.sh --write" >&2
		failed=1
	else
		echo "guests: $target $(digest "$target")"
	fi
done <<'LIST'
plugins/echo/echo.c plugins/echo/echo.wasm
examples/weather/summarise/summarise.c examples/weather/plugins/summarise.wasm
host/internal/wasm/testdata/extism/extism.c host/internal/wasm/testdata/extism/extism.wasm
host/internal/wasm/testdata/lines/parse.c host/internal/wasm/testdata/lines/dwarf4.wasm
host/internal/wasm/testdata/lines/parse.c host/internal/wasm/testdata/lines/dwarf5.wasm
bench/guests/c/reactor.c bench/guests/c/reactor.wasm
bench/guests/c/extism.c bench/guests/c/extism.wasm
bench/guests/c/extism-mebibyte.c bench/guests/c/extism-mebibyte.wasm
bench/guests/c/kernels.c bench/guests/c/kernels.wasm
bench/guests/c/mebibyte.c bench/guests/c/mebibyte.wasm
bench/guests/c/runaway.c bench/guests/c/runaway.wasm
bench/guests/c/stamp.c bench/guests/c/stamp.wasm
LIST
exit "$failed"
