#!/bin/sh
# Builds the conformance programs of the kits for processes that are not Go: bin/languages/process-python and
# bin/languages/process-node, one file each. It needs Python with pip, and Node with npm.
set -eu
cd "$(dirname "$0")/.."
mkdir -p bin/languages
out=$PWD/bin/languages

python3 sdk/process/python/uniflow_process/pack.py sdk/process/python/conformance.py -o "$out/process-python"

cd sdk/process/node
npm ci --silent --no-audit --no-fund
node_modules/.bin/esbuild conformance.js --bundle --platform=node --target=node18 --format=cjs --log-level=warning \
	"--banner:js=#!/usr/bin/env node" --outfile="$out/process-node"
chmod +x "$out/process-node"
ls -l "$out/process-python" "$out/process-node"
