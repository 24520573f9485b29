"""Lines for a JupyterHub's own jupyterhub_config.py: what each student's server is given."""

c = get_config()  # noqa: F821
c.Spawner.environment = {"SSL3D_SCALE": "class", "OMP_NUM_THREADS": "2"}
c.Spawner.cpu_limit = 2  # for spawners that can limit: Docker, Kubernetes, systemd
c.Spawner.mem_limit = "4G"
c.Spawner.default_url = "/lab"
# The folder that `ssl3d course build` made for students goes into each home once, for example with
# nbgitpuller (a link that copies it) or with a hook of the spawner:
#
#   import shutil, pwd
#   def copy_course(spawner):
#       home = pwd.getpwnam(spawner.user.name).pw_dir
#       shutil.copytree("/srv/course/student", f"{home}/course", dirs_exist_ok=False)
#   c.Spawner.pre_spawn_hook = copy_course
#
# The data are the same for all: cohorts/ can be a link to one folder that all can read.
