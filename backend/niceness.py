"""Priority of the threads that compute: below those that answer."""

import os
import sys
import threading

# Steps below the rest of the process. Measured on 2 busy cores, 64 photos of 1200x900 in one /predict: /health at
# the 95th percentile took 50 to 63 ms with all threads alike, 22 to 31 ms with the computing ones 5 steps down, at
# the same captions per second. With that, torch may use every core: a full-size ResNet-50 on 2 threads and on 1 both
# leave /health at 16 ms.
NICER_BY = 5


def be_nice(steps: int = NICER_BY) -> None:
    """Lower this thread's priority, and with it that of the helpers torch starts from it. Linux alone can."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + steps)
