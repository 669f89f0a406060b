"""What facts trained in sequence lose to the updates that follow."""
