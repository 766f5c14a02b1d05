#!/usr/bin/env bash
# How long planted defects survive coverage-guided fuzzing: one line of JSON for each defect and seed, appended to OUT.
#   fuzz/survival.sh DEFECTS_FILE OUT.jsonl [SECONDS=60] [SEEDS=5] [JOBS=1]
# Each run starts from an empty corpus and ends at the first conviction or after SECONDS; its line counts the operations asked.
set -euo pipefail
if (($# < 2)); then
    sed -n '2,4s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
fi
defects=$(realpath "$1")
out=$(realpath -m "$2")
seconds=${3:-60} seeds=${4:-5} jobs=${5:-1}
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo +nightly fuzz build -s none survivor >&2
host=$(rustc +nightly -vV | sed -n 's/^host: //p')
export program=$PWD/fuzz/target/$host/release/survivor seconds POOLPROOF_SURVIVAL_OUT=$out

one() { # defect, seed
    local folder status=0
    folder=$(mktemp -d)
    mkdir "$folder/corpus"
    POOLPROOF_DEFECT=$1 nice -n 10 "$program" -seed="$2" -max_total_time="$seconds" -max_len=4104 -len_control=0 \
        -rss_limit_mb=2048 -timeout=20 -artifact_prefix="$folder/" "$folder/corpus" >"$folder/log" 2>&1 || status=$?
    if ((status)); then
        echo "survival.sh: $1, seed $2: exit code $status and no line" >&2
        tail -n 3 "$folder/log" >&2
    fi
    rm -rf "$folder"
    return "$status"
}
export -f one

{ grep -v '^[[:space:]]*\(#\|$\)' "$defects" || true; } | while read -r defect; do
    for ((seed = 1; seed <= seeds; seed++)); do printf '%s %s\n' "$defect" "$seed"; done
done | xargs -r -P "$jobs" -L 1 bash -c 'one "$@"' one
