# Sourced by the build scripts of the engines: a compiler and sources, both by
# version and checksum. It keeps them in UNIFLOW_TOOLS, or beside what `make`
# keeps in TOOLS. On a bare Debian 12 it installs what is missing, as root. Two
# builds may run side by side.
#
#   zig            the compiler (set UNIFLOW_ZIG to use one that is there)
#   fetch_source   a source package of Debian
#   compile        many files at once

tools=${UNIFLOW_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/uniflow-tools}
if [ -n "${TOOLS:-}" ]; then tools=$(realpath -m "$TOOLS")/languages; fi
mkdir -p "$tools"
export ZIG_GLOBAL_CACHE_DIR="${ZIG_GLOBAL_CACHE_DIR:-$tools/zig-cache}" ZIG_LOCAL_CACHE_DIR="${ZIG_LOCAL_CACHE_DIR:-$tools/zig-cache}"
export LC_ALL=C SOURCE_DATE_EPOCH=1700000000 PYTHONHASHSEED=0

zig_version=0.15.2
zig_hashes="--hash=sha256:806316453d1ede7174ed3fefb8e5348154629089c3bb5fe812dfd0e172fac130 --hash=sha256:edc0aa60ec964a4cf462d40f68d7de242ddf37fd9a80f2afaee6397059463230"

say() { echo "$(basename "$0"): $*" >&2; }

# alone has one build at a time do what follows, until the group of commands ends.
alone() { exec 9>"$tools/lock" && flock 9; }

# need COMMAND PACKAGE installs a package of Debian when the command is missing.
need() {
	command -v "$1" >/dev/null && return
	[ "$(id -u)" = 0 ] || { say "$1 is missing; install the package $2"; exit 1; }
	say "installing $2"
	apt-get -o DPkg::Lock::Timeout=120 update -qq
	DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y -qq --no-install-recommends "$2" >/dev/null
}

# host_python is Python 3.11, whose bytecode the engine runs; Debian's, where there are several.
host_python() {
	[ -x /usr/bin/python3.11 ] || need python3.11 python3
	python=$(PATH=/usr/bin:$PATH command -v python3.11)
}

# fetch_zig puts zig of zig_version first in PATH.
fetch_zig() {
	local zig found=
	for zig in "${UNIFLOW_ZIG:-}" "$tools/zig/ziglang/zig" "$tools/zig-$zig_version/ziglang/zig"; do
		if [ -x "$zig" ] && [ "$("$zig" version)" = "$zig_version" ]; then found=$zig; break; fi
	done
	if [ -z "$found" ]; then
		(alone && download_zig "$tools/zig-$zig_version")
		found="$tools/zig-$zig_version/ziglang/zig"
	fi
	export PATH="$(dirname "$found"):$PATH"
}

download_zig() {
	if [ -x "$1/ziglang/zig" ]; then return; fi
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
	rm -rf "$1"
	mv "$wheel/out" "$1"
	rm -rf "$wheel"
}

# debian_mirror prints where this machine gets Debian from.
debian_mirror() {
	cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null | awk '
		$1 == "URIs:" || $1 == "deb" {
			for (i = 2; i <= NF; i++) {
				if ($i ~ /\/debian\/?$/) { print $i; found = 1; exit }
				if (other == "" && $i ~ /:\/\/.*debian/ && $i !~ /security/) other = $i
			}
		}
		END { if (!found) print other }'
}

# fetch_source SUITE PACKAGE FILE SHA256 DIR unpacks the upstream sources of a package into DIR.
fetch_source() {
	local file="$tools/$3"
	echo "$4  $file" | sha256sum -c --status 2>/dev/null || (alone && download_source "$1" "$2" "$3")
	echo "$4  $file" | sha256sum -c --status || { say "$3 is not what is pinned"; exit 1; }
	case $file in *.xz) need xz xz-utils ;; *.bz2) need bzip2 bzip2 ;; esac
	mkdir -p "$5"
	tar -xf "$file" -C "$5" --strip-components=1
}

download_source() {
	say "fetching $3"
	local apt options
	apt=$(mktemp -d "$tools/apt.XXXXXX")
	mkdir "$apt/lists"
	echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(debian_mirror) $1 main" >"$apt/sources.list"
	options=(-qq -o Dir::Etc::SourceList="$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
		-o Dir::State::Lists="$apt/lists" -o Dir::Cache="$apt" -o APT::Sandbox::User=root)
	apt-get "${options[@]}" update
	(cd "$apt" && apt-get "${options[@]}" source --download-only "$2" >/dev/null)
	mv "$apt/$3" "$tools/$3"
	rm -rf "$apt"
}

# compile OUT FLAGS... compiles the files that stand on stdin, a line each with
# flags of its own, into the folder OUT, on all processors; for size, where a
# line does not say otherwise.
compile() {
	export OUT=$1
	export FLAGS="${*:2}"
	grep -v '^#' | tr '\n' '\0' | xargs -0 -n1 -P"$(nproc)" bash -euc '
		set -f -- $0
		case "$*" in *\ -O*) ;; *) set -- "$@" -Os ;; esac
		exec zig cc -target wasm32-wasi -g0 -c $FLAGS "${@:2}" -o "$OUT/$(echo "${1#../}" | tr / _).o" "$1"'
}
