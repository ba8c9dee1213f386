#!/bin/sh
# Drives a page in Chromium by a script beside this file.
#
# usage   tests/browser/drive.sh SCRIPT ARGUMENT…
# needs   Chromium, node 20 or newer and npm, and the registry once; later runs take what is there
# leaves  ${XDG_CACHE_HOME:-~/.cache}/pgjam/browser; under root in /var/cache, beside the servers
set -eu

fail() {
    echo "drive.sh: $*" >&2
    exit 1
}
# Playwright without its browsers, which has no dependencies of its own, and the auditor of
# accessibility that the field uses. Fixed, so that a page is not judged anew by a release.
driver=playwright-core@1.65.1
auditor=axe-core@4.14.1

if [ "$(id -u)" = 0 ]; then
    usual=/var/cache
else
    usual=$HOME/.cache
fi
cache=${XDG_CACHE_HOME:-$usual}/pgjam
home=$cache/browser/$driver+$auditor
if ! [ -d "$home" ]; then
    for tool in node npm; do
        command -v "$tool" >/dev/null || fail "$tool is needed to fetch $driver and $auditor"
    done
    mkdir -p "$cache/browser"
    # Whole or not at all: another run may look at the same time.
    making=$(mktemp -d "$cache/browser/.making-XXXXXX")
    trap 'rm -rf "$making"' EXIT
    npm install --silent --no-audit --no-fund --no-save --ignore-scripts --prefix "$making" "$driver" "$auditor" >&2 ||
        fail "npm cannot fetch $driver and $auditor"
    [ -e "$home" ] || mv "$making/node_modules" "$home"
fi
for browser in /usr/bin/chromium /usr/bin/chromium-browser /usr/bin/google-chrome ''; do
    [ -x "$browser" ] && break
done
[ -n "$browser" ] || fail "a real Chromium is needed: apt-get install chromium (looked in /usr/bin)"
script=$(dirname "$0")/$1
shift
NODE_PATH=$home exec node "$script" "$browser" "$@"
