#!/usr/bin/env bash
# Ask what study.toml says, and decide. A study of its own for every version of the study file and the prompts: answers of
# two versions must not mix, and what was answered once is not asked again. Exit code 0: pass; 1: fail; 6: too little data.
set -euo pipefail
version="$(find study.toml prompts -type f 2>/dev/null | LC_ALL=C sort | xargs cat | git hash-object --stdin)"
study="studies/${version:0:12}"
# Calls that failed (1) are missing answers: the gate knows what they may have been.
code=0
evenhand run study.toml --out "$study" || code=$?
[ "$code" -le 1 ] || exit "$code"
evenhand check "$study" --max-pb "${MAX_PB:-3}" --min-safety "${MIN_SAFETY:-90}"
