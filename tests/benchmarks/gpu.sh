#!/usr/bin/env bash
# All that only a GPU can tell, in order of worth, on a machine that is lent for ten minutes and has no network:
#
#     bash tests/benchmarks/gpu_wheels.sh               # before, where a package index can be reached
#     OUT=gpu_out bash tests/benchmarks/gpu.sh          # on the GPU machine, in the project's root
#     SSL3D_GPU=cpu OUT=gpu_out bash tests/benchmarks/gpu.sh   # a rehearsal on a CPU, at small sizes
#
# Each step has a limit of its own, and one that fails stops no other. Exits 1 if one failed.
set -u
out=${OUT:-gpu_out}
device=${SSL3D_GPU:-cuda}
mkdir -p "$out"
log=$out/log.txt
export PYTHONUNBUFFERED=1 TQDM_DISABLE=1 SSL3D_GPU=$device
failed=()

step() { # name, limit in seconds, command
  echo "== $1 ($(date +%T))" | tee -a "$log"
  timeout $(($2 * patience)) "${@:3}" >>"$log" 2>&1 || { failed+=("$1"); tail -n 15 "$log"; }
}

if [ "$device" = cuda ]; then
  scale=class rehearsal=() patience=1
else
  scale=smoke rehearsal=(bench growth peers) patience=4
fi

if [ -d .whl ]; then
  step install 120 python3 -m pip install -q --no-index --find-links .whl --no-deps .whl/*.whl
fi
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
[ "$device" = cpu ] || step card 10 nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader
step versions 60 python3 -c "import torch, ssl3d_lite; print(torch.__version__, torch.cuda.is_available())"
step tests 170 python3 -m pytest -q -n0 -m gpu -p no:cacheprovider --junitxml="$out/tests.xml" tests/test_gpu.py
step study 100 python3 -m ssl3d_lite.cli study tour --scale "$scale" --device "$device" --out "$out/tour"
step benchmarks 280 python3 tests/benchmarks/gpu.py --out "$out" --device "$device" --skip study "${rehearsal[@]}"
if [ ${#failed[@]} -gt 0 ]; then
  echo "failed: ${failed[*]}; see $log"
  exit 1
fi
echo "all done; see $out"
