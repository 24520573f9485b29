"""Lines for a JupyterHub's own jupyterhub_config.py: what each student's server is given."""

import os
import pwd
import shutil
from pathlib import Path

COURSE = Path(
    os.environ.get("SSL3D_COURSE", "/srv/course/student")
)  # that `ssl3d course build` made

c = get_config()  # noqa: F821
c.Spawner.environment = {"SSL3D_SCALE": "class", "OMP_NUM_THREADS": "2"}
c.Spawner.cpu_limit = 2  # for spawners that can limit: Docker, Kubernetes, systemd
c.Spawner.mem_limit = "4G"
c.Spawner.default_url = "/lab"


def home_of(name):
    """A student's home, and who owns it; below SSL3D_HOMES where that is set."""
    homes = os.environ.get("SSL3D_HOMES")
    if homes:
        return Path(homes) / name, None
    user = pwd.getpwnam(name)
    return Path(user.pw_dir), (user.pw_uid, user.pw_gid)


def give_course(spawner):
    """Copy the course into a student's home at the first login. Later logins add what is new, and
    touch nothing that is there: it is the student's work. Scans are linked, not copied."""
    home, owner = home_of(spawner.user.name)
    for path in sorted(COURSE.rglob("*")):
        inner = path.relative_to(COURSE)
        if inner.parts[0] == "cohorts" and len(inner.parts) > 1:
            continue  # all of it by one link
        place = home / "course" / inner
        place.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(place):
            continue
        if inner.parts[0] == "cohorts":
            place.symlink_to(path)
        elif path.is_dir():
            place.mkdir()
        else:
            shutil.copyfile(path, place)
    for place in (home / "course", *(home / "course").rglob("*")) if owner else ():
        os.chown(place, *owner, follow_symlinks=False)


c.Spawner.pre_spawn_hook = give_course
