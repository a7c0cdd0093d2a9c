"""Commands of the experiments: benchmarks, simulated annotators, data sets."""
