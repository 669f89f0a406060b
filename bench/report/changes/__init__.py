"""What changed between two results folders: cells paired, differences with intervals, pages."""
