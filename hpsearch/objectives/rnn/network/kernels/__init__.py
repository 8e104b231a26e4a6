"""Recurrent layers compiled for this processor by numba: whole passes, forwards and backwards, on one thread.

A small layer's time goes not into its products but into what surrounds them: torch spends microseconds on each of its
operations, oneDNN on each of its calls, and here a pass is one call. What it reads and writes is torch's memory, by
address, as an array each would take microseconds again; 0 is none: zeros to read, nothing to write. `kept` is what
the forward pass leaves to the backward pass, and its type, float32 or float64, is that of all numbers.

Within, memory is laid out by gate, [gates, steps, batch * width], where `width` is the units rounded up to whole
vectors: a gate at a step is one block, and what goes element by element is one loop that LLVM makes vectors of, if it
writes to one place alone. The units that fill up have weights and biases of zero: so have their states and gradients.
"""
