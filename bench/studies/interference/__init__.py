"""What facts lose when they are trained together."""
