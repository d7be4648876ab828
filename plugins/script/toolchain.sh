# Sourced by the build scripts of the engines: a compiler and sources, both by
# version and checksum. It keeps them in UNIFLOW_TOOLS. On a bare Debian 12 it
# installs what is missing, as root.
#
#   zig            the compiler (set UNIFLOW_ZIG to use one that is there)
#   fetch_source   a source package of Debian
#   compile        many files at once

tools=${UNIFLOW_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/uniflow-tools}
mkdir -p "$tools"
export ZIG_GLOBAL_CACHE_DIR="$tools/zig-cache" ZIG_LOCAL_CACHE_DIR="$tools/zig-cache"
export LC_ALL=C SOURCE_DATE_EPOCH=1700000000 PYTHONHASHSEED=0

zig_version=0.15.2
zig_hashes="--hash=sha256:806316453d1ede7174ed3fefb8e5348154629089c3bb5fe812dfd0e172fac130 --hash=sha256:edc0aa60ec964a4cf462d40f68d7de242ddf37fd9a80f2afaee6397059463230"

say() { echo "$(basename "$0"): $*" >&2; }

# need COMMAND PACKAGE installs a package of Debian when the command is missing.
need() {
	command -v "$1" >/dev/null && return
	[ "$(id -u)" = 0 ] || { say "$1 is missing; install the package $2"; exit 1; }
	say "installing $2"
	[ -n "${apt_is_fresh:-}" ] || apt-get update -qq
	apt_is_fresh=1
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >/dev/null
}

# host_python is Python 3.11, whose bytecode the engine runs.
host_python() {
	[ -x /usr/bin/python3.11 ] || need python3.11 python3
	python=$(PATH=/usr/bin:$PATH command -v python3.11)
}

# fetch_zig puts zig of zig_version first in PATH.
fetch_zig() {
	local dir="$tools/zig-$zig_version"
	if [ -n "${UNIFLOW_ZIG:-}" ]; then
		dir=$(dirname "$UNIFLOW_ZIG")
	elif [ ! -x "$dir/ziglang/zig" ]; then
		host_python
		"$python" -m pip --version >/dev/null 2>&1 || need pip3 python3-pip
		local wheel
		wheel=$(mktemp -d "$tools/wheel.XXXXXX")
		say "fetching zig $zig_version"
		echo "ziglang==$zig_version $zig_hashes" >"$wheel/requirements.txt"
		"$python" -m pip download -q --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
			-d "$wheel" -r "$wheel/requirements.txt"
		"$python" -m zipfile -e "$wheel"/ziglang-*.whl "$wheel/out"
		chmod +x "$wheel/out/ziglang/zig"
		rm -rf "$dir"
		mv "$wheel/out" "$dir"
		rm -rf "$wheel"
	fi
	[ -n "${UNIFLOW_ZIG:-}" ] || dir="$dir/ziglang"
	export PATH="$dir:$PATH"
	[ "$(zig version)" = "$zig_version" ] || { say "zig is $(zig version), want $zig_version"; exit 1; }
}

# debian_mirror prints where this machine gets Debian from.
debian_mirror() {
	cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
		awk '$1 == "URIs:" || $1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /\/debian\/?$/) { print $i; exit } }'
}

# fetch_source SUITE PACKAGE FILE SHA256 DIR unpacks the upstream sources of a package into DIR.
fetch_source() {
	local suite=$1 package=$2 file="$tools/$3" sum=$4 dir=$5
	if ! echo "$sum  $file" | sha256sum -c --status 2>/dev/null; then
		say "fetching $3"
		local apt
		apt=$(mktemp -d "$tools/apt.XXXXXX")
		mkdir "$apt/lists"
		echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(debian_mirror) $suite main" >"$apt/sources.list"
		local options=(-qq -o Dir::Etc::SourceList="$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
			-o Dir::State::Lists="$apt/lists" -o Dir::Cache="$apt" -o APT::Sandbox::User=root)
		apt-get "${options[@]}" update
		(cd "$apt" && apt-get "${options[@]}" source --download-only "$package" >/dev/null)
		mv "$apt/$3" "$file"
		rm -rf "$apt"
		echo "$sum  $file" | sha256sum -c --status || { say "$3 is not what is pinned"; exit 1; }
	fi
	case $file in *.xz) need xz xz-utils ;; *.bz2) need bzip2 bzip2 ;; esac
	mkdir -p "$dir"
	tar -xf "$file" -C "$dir" --strip-components=1
}

# compile OUT FLAGS... compiles the files that stand on stdin, a line each with
# flags of its own, into the folder OUT, on all processors.
compile() {
	export OUT=$1
	export FLAGS="${*:2}"
	grep -v '^#' | tr '\n' '\0' | xargs -0 -n1 -P"$(nproc)" bash -euc '
		set -f -- $0
		exec zig cc -target wasm32-wasi -c $FLAGS "${@:2}" -o "$OUT/$(echo "${1#../}" | tr / _).o" "$1"'
}
