"""Self-supervised learning on 3D medical images: see what a network sees, and trust the number.

The whole path in a few lines::

    import ssl3d_lite as ssl3d

    cohort = ssl3d.open_cohort("hippocampus")
    encoder = ssl3d.make_encoder(cohort, seed=0)
    task = ssl3d.make_task("cpc", encoder)
    history = ssl3d.pretrain(task, encoder, cohort, steps=400)
    print(ssl3d.probe(encoder, cohort, labels=2))

``__init__.pyi`` beside this file lists the names. Each is imported when it is first used, so that
``import ssl3d_lite`` costs nothing, and a proxy task needs neither a browser nor a trainer.
"""

import lazy_loader

_imported, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name):
    if name != "__version__":
        return _imported(name)
    from importlib.metadata import version

    return version("ssl3d-lite")
