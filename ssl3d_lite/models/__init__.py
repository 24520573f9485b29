"""Networks: encoders, what is built on them, and how their weights move from one to the other."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
