"""``python -m ssl3d_lite.cli`` does what the command ``ssl3d`` does."""

import sys

from .main import main

sys.exit(main())
