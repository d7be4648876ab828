#!/bin/sh
# Installs the database servers that the tests of plugins/sql start (build tag languages), as Debian packages them. The
# tests start servers of their own in folders of their own; no service is needed.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get install -y -qq --no-install-recommends postgresql mariadb-server >/dev/null
