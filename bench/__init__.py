"""The harness: grid, runner, training, evaluation, results, report and command line."""
