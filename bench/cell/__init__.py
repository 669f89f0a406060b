"""One cell in this process: its context, what its recipe decides, attaching, phases."""
