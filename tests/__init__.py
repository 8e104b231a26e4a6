"""The tests. Two run at a time, each on one core: libraries that started a thread a core would stand in each other's
way (a Gaussian process took ten times as long). What is compiled is kept, whatever the environment says: the hundreds
of processes would compile hpsearch anew, and pytest every test."""

import os
import sys

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
