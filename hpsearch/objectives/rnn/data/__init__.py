"""Data sets: read, divided, scaled, batched."""
