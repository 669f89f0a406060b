"""From records and fact rows to tables, plots and pages; everything is recomputed from disk."""
