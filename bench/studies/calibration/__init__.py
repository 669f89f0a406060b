"""The calibration study: what CorDA should calibrate on."""
