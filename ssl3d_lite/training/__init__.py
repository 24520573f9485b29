"""The loop, and the two things that it trains: an encoder on a proxy task, a network on labels."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
