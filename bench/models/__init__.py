"""Base models: where they come from, loading, devices, and copies that share weights."""
