#!/usr/bin/env bash
# Writes reports/examples anew: what pgjam says of a demo's recording, and of some scenarios of the
# lab, each of which it plays for about a minute.
#
#   reports/examples.sh PGJAM DEMO    the built binary, and the folder that `make demo` filled
set -euo pipefail

pgjam=$1
recording=$2/recording
examples=$(dirname "$0")/examples

if [[ ! -x $pgjam || ! -d $recording ]]; then
    echo "examples: no recording of a demo in $2; make one: make demo" >&2
    exit 1
fi
rm -rf "$examples"
mkdir -p "$examples"
"$pgjam" --quiet --color never report "$recording" --output "$examples/county-rollout.txt" \
    --html "$examples/county-rollout.html" --svg "$examples"
"$pgjam" --quiet report "$recording" --format json --output "$examples/county-rollout.json"
# A queue behind an ALTER TABLE, a row that many hold in turn, a plan that changed as somebody
# arrived, and a new system that harms nobody.
for scenario in ddl-queue hot-object own-plan harmless-onboarding; do
    "$pgjam" --quiet --color never lab "$scenario" --diagnose \
        --html "$examples/$scenario.html" --output "$examples/$scenario.txt" >/dev/null
done
# The throw-away server's folder has another name every time.
sed -i -E 's#/[^ "<]*/pgjam-[A-Za-z0-9]{6}:#/tmp/pgjam-lab:#g' "$examples"/*.{txt,html,json}
ls -l "$examples"
