#!/bin/bash
# Proves the unit on a real systemd, in a throw-away container: tests/systemd/run.sh [options of the lab]
#
# $SYSTEMD_LAB is a program that boots one: it copies the project in, runs --prepare once with network, boots systemd without
# network, runs --test in it as root and ends with that one's exit code. Options such as `--suite bookworm` are passed on.
# What is proved stands in inside.sh.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

: "${SYSTEMD_LAB:?names the program that boots a systemd; without one this cannot run}"
exec "$SYSTEMD_LAB" --project "$root" --dest /srv/project --timeout 300 \
  --prepare "$here/prepare.sh" --prepare-key "$root/pyproject.toml" --prepare-key "$root/.ci/constraints.txt" \
  --test "$here/inside.sh" "$@"
