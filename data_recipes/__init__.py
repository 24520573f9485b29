"""From raw files to cohorts: one module a data set.

Each recipe is registered in ``pyproject.toml`` as an entry point of ``ssl3d_lite.recipes``, as a
recipe of any other package is; :func:`ssl3d_lite.data.registry.load_recipe` finds it by its name.
"""
