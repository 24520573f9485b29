"""Self-supervised learning on 3D medical images: see what a network sees, and trust the number.

    import ssl3d_lite as ssl3d

    cohort = ssl3d.open_cohort("hippocampus")
    encoder = ssl3d.make_encoder(cohort, seed=0)
    task = ssl3d.make_task("cpc", encoder)
    history = ssl3d.pretrain(task, encoder, cohort, steps=400)
    print(ssl3d.probe(encoder, cohort, labels=2))

``__init__.pyi`` beside this file lists the names. Each is imported when it is first used, so that
``import ssl3d_lite`` costs nothing, and a proxy task needs neither a browser nor a trainer.
"""

from importlib.metadata import version

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__version__ = version("ssl3d-lite")
