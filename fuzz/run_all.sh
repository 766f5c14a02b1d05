#!/usr/bin/env bash
# Fuzzes every target for so many seconds each (default 600), then sees the canary die. Exits 1 if anything else crashed.
#   fuzz/run_all.sh [SECONDS] [TARGET...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:-600}
shift || true
targets=("$@")
((${#targets[@]})) || targets=(operations naive settings scenario recording pickle reproducer worker)
limits=(-rss_limit_mb=2048 -malloc_limit_mb=512 -timeout=20 -len_control=20)

run() { # target, seconds, further options
    local target=$1 dictionary=()
    [[ -f fuzz/dictionaries/$target.dict ]] && dictionary=("-dict=fuzz/dictionaries/$target.dict")
    nice -n 10 cargo +nightly fuzz run -s none "$target" -- -max_total_time="$2" -print_final_stats=1 \
        "${limits[@]}" "${dictionary[@]}" "${@:3}"
}

cargo test --quiet --test fuzz_smoke -- --ignored write_seeds >/dev/null
log=$(mktemp -d)
trap 'rm -rf "$log"' EXIT
failed=0
printf '%-12s %12s %10s %8s %8s %s\n' target executions per-second cover features result
report() { # target, result
    local file=$log/$1
    printf '%-12s %12s %10s %8s %8s %s\n' "$1" \
        "$(sed -n 's/^stat::number_of_executed_units: *//p' "$file" | tail -1)" \
        "$(sed -n 's/^stat::average_exec_per_sec: *//p' "$file" | tail -1)" \
        "$(grep -o 'cov: [0-9]*' "$file" | tail -1 | cut -c6-)" \
        "$(grep -o 'ft: [0-9]*' "$file" | tail -1 | cut -c5-)" "$2"
}
for target in "${targets[@]}"; do
    if run "$target" "$seconds" >"$log/$target" 2>&1; then
        report "$target" "nothing found"
    else
        report "$target" "FAILED: $(grep -o 'fuzz/artifacts/[^ ]*' "$log/$target" | tail -1)"
        grep -h "panicked at" -A 2 "$log/$target" | head -6 || true
        failed=1
    fi
done

# No corpus: a minute from nothing must do.
empty=$(mktemp -d)
if run canary 60 -artifact_prefix="$log/" "$empty" >"$log/canary" 2>&1; then
    report canary "NOT FOUND: this fuzzing finds nothing"
    failed=1
else
    report canary "found, as it must be"
fi
rm -rf "$empty"
exit "$failed"
