"""How the process ends that workers are forked from: at once, with nothing tidied.

All that it holds are imported modules. Python would free them one by one, for 1.2 s (torch
2.15), in which whatever reads the output of `qatrix` waits, since this process holds the pipe,
too. To be imported there and nowhere else: what other processes leave by, their exit code
among it, is lost.
"""

import atexit
import os

atexit.register(os._exit, os.EX_OK)
