"""For every test: one torch thread, set before torch is imported; on two cores more only wait for each other."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
