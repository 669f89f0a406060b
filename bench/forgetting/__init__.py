"""What a cell forgot: lm-eval tasks and drift, per item, against the pristine base."""
