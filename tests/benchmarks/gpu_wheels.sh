#!/usr/bin/env bash
# Fetches into .whl/ what a GPU machine without a network lacks: gpu.sh installs it there.
# Run it in the project's root, where a package index can be reached. The GPU machine is taken to have
# Python 3.12 and torch with NumPy, SciPy, scikit-learn, pandas, Matplotlib, Pillow, tqdm, Jinja2 and safetensors.
set -euo pipefail
mkdir -p .whl
fetch() {
  python3 -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
    -d .whl "$1" >/dev/null 2>&1 || echo "not fetched: $1"
}
for name in monai lightning-fabric lightning-utilities nibabel nilearn pooch platformdirs psutil pydantic tomlkit \
  annotated-types typing-inspection threadpoolctl pytest pytest-timeout pytest-xdist execnet iniconfig pluggy \
  hypothesis sortedcontainers hatchling pathspec trove-classifiers editables "$@"; do
  fetch "$name"
done
# pydantic works with exactly one version of its core
core=$(python3 - <<'P'
import glob, re, zipfile
wheel = zipfile.ZipFile(sorted(glob.glob(".whl/pydantic-*.whl"))[-1])
about = next(wheel.read(name).decode() for name in wheel.namelist() if name.endswith("METADATA"))
print(re.search(r"pydantic[-_]core==([\w.]+)", about).group(1))
P
)
fetch "pydantic-core==$core"
du -sh .whl
