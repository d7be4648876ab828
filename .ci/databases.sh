#!/bin/sh
# Installs the database servers that the tests of plugins/sql start (build tag languages), as Debian packages them. The
# tests start servers of their own in folders of their own; no service is needed.
set -eu
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="postgresql"
PATH="$PATH:/usr/sbin"
command -v mariadbd >/dev/null || missing="${missing:-} mariadb-server"
[ -n "${missing:-}" ] || exit 0
echo "databases: installing $missing"
export DEBIAN_FRONTEND=noninteractive
apt-get -o DPkg::Lock::Timeout=120 update -qq
# shellcheck disable=SC2086 # several words
apt-get -o DPkg::Lock::Timeout=120 install -y -qq --no-install-recommends $missing >/dev/null
