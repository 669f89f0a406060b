"""A run: workers on this machine or on a cluster, the queue of cells and its leases."""
