"""The program from Python: run a grid, and take its results along as pandas frames.

What is public is in `bench.__all__`; everything else may change without notice.
"""
