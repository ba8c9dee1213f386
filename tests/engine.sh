#!/bin/sh
# Prints a Python in which packages are there that read recordings and are not ours.
#
# usage   tests/engine.sh PACKAGE==VERSION...
# needs   python3 with venv, and the registry once; later runs take what is there
# leaves  ${XDG_CACHE_HOME:-~/.cache}/pgjam/engines/PACKAGES; under root /var/cache stands for
#         ~/.cache, as for the servers
set -eu

fail() {
    echo "engine.sh: $*" >&2
    exit 1
}
[ $# -gt 0 ] || fail "which packages? For instance: tests/engine.sh duckdb==2.0.1"

if [ "$(id -u)" = 0 ]; then
    usual=/var/cache
else
    usual=$HOME/.cache
fi
engines=${XDG_CACHE_HOME:-$usual}/pgjam/engines
home=$engines/$(echo "$*" | tr ' ' '+')

if ! [ -e "$home/ready" ]; then
    command -v python3 >/dev/null || fail "python3 is needed to fetch $*"
    mkdir -p "$engines"
    # A virtual environment cannot be moved, so it is made in its place by one run at a time.
    exec 9>"$engines/.lock"
    if command -v flock >/dev/null; then
        flock 9
    fi
    if ! [ -e "$home/ready" ]; then
        rm -rf "$home"
        python3 -m venv "$home" >&2 || fail "python3 cannot make a virtual environment in $home"
        "$home/bin/python" -m pip install --quiet --disable-pip-version-check "$@" >&2 ||
            fail "pip cannot fetch $*"
        touch "$home/ready"
    fi
fi
echo "$home/bin/python"
