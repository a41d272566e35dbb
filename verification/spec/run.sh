#!/bin/sh
# Checks configurations: those here must pass, those in mutants/ and reach/ must be violated. Prints what TLC found.
#   TLC="java -cp tla2tools.jar tlc2.TLC" ./run.sh [configuration...]
# LIMIT: seconds for each (default 600); one that does not end in that time is reported as unfinished.
cd "$(dirname "$0")" || exit 1
TLC=${TLC:-java -Xmx3g -XX:+UseSerialGC -cp tla2tools.jar tlc2.TLC}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0
for cfg in ${*:-*.cfg mutants/*.cfg reach/*.cfg}; do
  name=$(basename "$cfg" .cfg)
  timeout "${LIMIT:-600}" $TLC -workers 1 -deadlock -metadir "$work/m" -config "$cfg" "${name%%-*}.tla" > "$work/log" 2>&1
  rc=$?
  case $cfg in mutants/* | reach/*) want=violated ;; *) want=passed ;; esac
  case $rc in 0) got=passed ;; 12 | 13) got=violated ;; 124) got=unfinished ;; *) got=error ;; esac
  case $got in "$want") verdict=ok ;; unfinished) verdict=unfinished ;; *) verdict=WRONG bad=1 ;; esac
  states=$(grep -E 'distinct states found' "$work/log" | tail -1 | sed -E 's/.* ([0-9,]+) distinct states found.*/\1/')
  depth=$(sed -nE 's/.*depth of the complete state graph search is ([0-9]+).*/\1/p' "$work/log")
  what=$(sed -nE 's/^Error: (Invariant [A-Za-z]+ is violated|Temporal properties were violated).*/\1/p' "$work/log" | head -1)
  echo "$verdict $cfg: $states states, depth ${depth:--}${what:+, $what}"
  rm -rf "$work/m"
done
exit $bad
