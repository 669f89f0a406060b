"""Experiment trackers: each cell becomes a run in TensorBoard, W&B, MLflow or Trackio.

A run is made from a cell's stored record and fact rows alone, so that `run --log-to` and `log`
send the same. To add a tracker, write a module with a class like the others', and name it in
`bench.trackers.registry`.
"""
