"""Lines for a JupyterHub's own jupyterhub_config.py: students share one GPU of the hub's machine.

Take them after those of jupyterhub_config.py. README.md says how many students fit on a GPU.
"""

STUDENTS = 8  # at the same time

c = get_config()  # type: ignore[name-defined]  # noqa: F821
c.Spawner.environment = {
    "SSL3D_SCALE": "class",
    "CUDA_VISIBLE_DEVICES": "0",
    "OMP_NUM_THREADS": "4",
    # what each may take of the GPU's memory: torch refuses more with an error in one line
    "PYTORCH_ALLOC_CONF": f"per_process_memory_fraction:{0.95 / STUDENTS:.4f}",
}
c.Spawner.cpu_limit = 4
c.Spawner.mem_limit = "8G"
c.JupyterHub.active_server_limit = STUDENTS  # the next one is told to wait

# Memory is given back when a kernel ends, not when a notebook is closed: end those that are idle.
# pip install jupyterhub-idle-culler
c.JupyterHub.load_roles = [
    {
        "name": "idle-culler",
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
        "services": ["idle-culler"],
    }
]
c.JupyterHub.services = [
    {"name": "idle-culler", "command": ["python", "-m", "jupyterhub_idle_culler", "--timeout=1800"]}
]
