"""Running a grid: workers on this machine or on a cluster, the queue of cells, their leases."""
