"""Is a GPU right, and how fast: stages that each write their tables as they end.

Models have random weights in real shapes. `python -m device_check OUT TOKENIZER [STAGE...]`, with
the checkout and this folder's parent on the path.
"""
