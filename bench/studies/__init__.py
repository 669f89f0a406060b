"""Studies: questions that one table and one picture answer."""

FOLDER = "studies"
"""The folder of studies inside a results folder."""
