#!/bin/sh
# Runs once in the container's root, with network: /opt/notifier gets a virtual environment with everything the project
# depends on and what builds it, at the versions checks use. The project itself is put in later, without network.
set -eu
python3 -m venv /opt/notifier
python3 - > /tmp/requirements.txt <<'PY'
import tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)
print("\n".join(project["project"]["dependencies"] + project["build-system"]["requires"]))
PY
/opt/notifier/bin/pip install --quiet --constraint .ci/constraints.txt --requirement /tmp/requirements.txt
