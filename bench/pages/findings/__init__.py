"""Findings: answers to the questions that the benchmark was built for, from committed results."""
