#!/bin/sh
# Builds the conformance programs of the kits for processes that are not Go: bin/languages/process-python and
# bin/languages/process-node, one file each. It takes the Python and Node that are there, also those that .ci/languages.sh
# keeps in TOOLS, and installs Debian's where there are none.
set -eu
cd "$(dirname "$0")/.."
mkdir -p bin/languages
out=$PWD/bin/languages
PATH="$(realpath -m "${TOOLS:-bin/tools}")/languages/bin:$PATH"

install() {
	apt-get -o DPkg::Lock::Timeout=120 update -qq
	DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y -qq --no-install-recommends "$@" >/dev/null
}

python3 -m pip --version >/dev/null 2>&1 || install python3 python3-pip
python3 sdk/process/python/uniflow_process/pack.py sdk/process/python/conformance.py -o "$out/process-python"

command -v npm >/dev/null || install nodejs npm
cd sdk/process/node
npm ci --silent --no-audit --no-fund
node_modules/.bin/esbuild conformance.js --bundle --platform=node --target=node18 --format=cjs --log-level=warning \
	"--banner:js=#!/usr/bin/env node" --outfile="$out/process-node"
chmod +x "$out/process-node"
for kit in python node; do
	echo "process: process-$kit, $(wc -c <"$out/process-$kit") bytes"
done
