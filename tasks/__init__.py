"""Facts to learn and to keep: the `Fact` type, prompt, scoring, and one file per task."""
