#!/usr/bin/env bash
# Compiles every requirements file from pyproject.toml; `make pins` calls it.
# Usage: requirements/compile.sh OUTPUT_FOLDER   (uses the pins already there, so nothing moves unasked)
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:?usage: requirements/compile.sh OUTPUT_FOLDER}
uv=${UV:-uv}
compile() { # file, python version, further arguments
  local file=$1 python=$2
  shift 2
  "$uv" pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
    --universal --python-version "$python" "$@" --output-file "$out/$file" >/dev/null
}
compile local.txt 3.13 pyproject.toml --extra local
for extra in dashboard emitter proxy s3-sink mirror cli; do
  compile "$extra.txt" 3.13 pyproject.toml --extra "$extra" --constraint "$out/local.txt"
done
compile spark.txt 3.13 pyproject.toml --extra analyser --extra stream-reader --constraint "$out/local.txt"
compile wheel.txt 3.13 --group pyproject.toml:wheel --constraint "$out/local.txt"
compile dev.txt 3.13 --group pyproject.toml:dev --constraint "$out/local.txt"
# What a job on Databricks has: the runtime's libraries, and what the wheel brings. Then what its tests need besides.
compile databricks.txt 3.12 pyproject.toml requirements/databricks.in
compile databricks-dev.txt 3.12 --group pyproject.toml:databricks-dev --constraint "$out/databricks.txt"
# LocalStack does not resolve for Python 3.14, so this one is for 3.13 alone.
"$uv" pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
  --python-version 3.13 requirements/localstack.in --constraint requirements/localstack-constraints.txt \
  --output-file "$out/localstack.txt" >/dev/null
# Airflow, for the laptop's 3.13 and MWAA's 3.12, as its packages stood just after this release: later ones of its
# dependencies broke it (pydantic 2.14). What the other environments hold too has their version, so that it is fetched once.
newest=2026-04-23
shared=$(mktemp)
trap 'rm -f "$shared"' EXIT
names='boto3|botocore|cffi|cryptography|greenlet|msgspec|numpy|pandas|psutil|pyarrow|s3transfer'
cat "$out/local.txt" "$out/dev.txt" | grep -oE "^($names)==[^ ]+" | sort -u >"$shared"
newer=$(tr '|' '\n' <<<"$names" | sed 's/.*/--exclude-newer-package &=2026-11-24/')
# shellcheck disable=SC2086 # one argument per word, on purpose
compile airflow.txt 3.12 requirements/airflow.in --constraint "$shared" --exclude-newer "$newest" $newer
compile airflow-dev.txt 3.12 requirements/airflow-dev.in --constraint "$out/airflow.txt"
# Looks at the templates; its libraries are older than ours.
compile checkov.txt 3.13 requirements/checkov.in
