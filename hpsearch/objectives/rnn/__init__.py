"""The recurrent objective. Torch is imported by `model`, `loop`, `checkpoint` and `objective` alone."""
