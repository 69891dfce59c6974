"""On the path of Triton's embedded Python alone, which is older than the standard library that it imports.

Its C lock lacks what `multiprocessing.resource_tracker` of Python 3.11.7 and newer asks it; the one in Python has it.
"""

import threading
from multiprocessing import resource_tracker

resource_tracker._resource_tracker._lock = threading._PyRLock()
