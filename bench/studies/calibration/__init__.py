"""What CorDA should calibrate on."""
