"""The training loop, its forward passes, and the fused adapters."""
