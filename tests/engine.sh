#!/bin/sh
# Prints a Python in which a package is there that reads recordings and is not ours.
#
# usage   tests/engine.sh duckdb==2.0.1
# needs   python3 with venv, and the registry once; later runs take what is there
# leaves  ${XDG_CACHE_HOME:-~/.cache}/pgjam/engines/PACKAGE; under root /var/cache stands for
#         ~/.cache, as for the servers
set -eu

fail() {
    echo "engine.sh: $*" >&2
    exit 1
}
package=${1:-}
[ -n "$package" ] || fail "which package? For instance: tests/engine.sh duckdb==2.0.1"

if [ "$(id -u)" = 0 ]; then
    usual=/var/cache
else
    usual=$HOME/.cache
fi
engines=${XDG_CACHE_HOME:-$usual}/pgjam/engines
home=$engines/$package

if ! [ -e "$home/ready" ]; then
    command -v python3 >/dev/null || fail "python3 is needed to fetch $package"
    mkdir -p "$engines"
    # A virtual environment cannot be moved, so it is made in its place by one run at a time.
    exec 9>"$engines/.lock"
    if command -v flock >/dev/null; then
        flock 9
    fi
    if ! [ -e "$home/ready" ]; then
        rm -rf "$home"
        python3 -m venv "$home" >&2 || fail "python3 cannot make a virtual environment in $home"
        "$home/bin/python" -m pip install --quiet --disable-pip-version-check "$package" >&2 ||
            fail "pip cannot fetch $package"
        touch "$home/ready"
    fi
fi
echo "$home/bin/python"
